// SPDX-License-Identifier: Apache-2.0
// vqkit::decode for C++: the C interface with lifetimes, exceptions and a scratch of its own.
// Header only; links against the same library.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "decode/vqkit_decode.h"

namespace vqd {

/// A packed file in memory, which must outlive it.
class File {
public:
    /// Throws std::runtime_error with the reason.
    File(const void* data, std::size_t bytes) {
        char message[512] = "";
        if (vqd_open(data, bytes, &file_, message, sizeof(message)) != VQD_OK)
            throw std::runtime_error(message);
    }
    ~File() { vqd_close(file_); }
    File(File&& other) noexcept : file_(std::exchange(other.file_, nullptr)) {}
    File& operator=(File&& other) noexcept {
        std::swap(file_, other.file_);
        return *this;
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    const vqd_file* get() const { return file_; }
    const char* isa() const { return vqd_isa(file_); }
    std::size_t size() const { return vqd_tensor_count(file_); }
    vqd_tensor_info info(std::size_t tensor) const {
        vqd_tensor_info info{};
        check(vqd_tensor(file_, tensor, &info));
        return info;
    }
    /// Throws std::runtime_error when there is no such tensor.
    std::size_t find(const std::string& name) const {
        std::size_t tensor = 0;
        if (vqd_find(file_, name.c_str(), &tensor) != VQD_OK)
            throw std::runtime_error("no such tensor: " + name);
        return tensor;
    }
    /// Null when there is none of that name.
    const vqd_blob_info* blob(std::string_view name, vqd_blob_info& info) const {
        for (std::size_t i = 0; i < vqd_blob_count(file_); ++i)
            if (vqd_blob(file_, i, &info) == VQD_OK &&
                std::string_view(info.name, info.name_bytes) == name)
                return &info;
        return nullptr;
    }

private:
    friend class Decoder;
    static void check(vqd_status status) {
        if (status != VQD_OK) throw std::runtime_error("vqkit::decode: bad argument");
    }
    vqd_file* file_ = nullptr;
};

/// Products on one thread (plus those of `threads`), with a scratch that grows as needed.
class Decoder {
public:
    explicit Decoder(const File& file, const vqd_threads& threads = {})
        : file_(&file), threads_(threads) {}
    /// y (rows) = W x.
    void matvec(std::size_t tensor, const float* x, float* y, vqd_mode mode = VQD_INT8) {
        matmul(tensor, x, 1, y, mode);
    }
    /// y (batch, rows) = x (batch, cols) W^T.
    void matmul(std::size_t tensor, const float* x, std::size_t batch, float* y,
                vqd_mode mode = VQD_INT8) {
        grow(vqd_scratch_bytes(file_->get(), tensor, batch));
        File::check(vqd_matmul(file_->get(), tensor, mode, x, batch, y, scratch_.data(),
                               scratch_.size(), &threads_));
    }
    /// y[i] = W_i x for tensors of as many columns.
    void matvecs(const std::vector<std::size_t>& tensors, const float* x, float* const* y,
                 vqd_mode mode = VQD_INT8) {
        grow(vqd_matvecs_scratch_bytes(file_->get(), tensors.data(), tensors.size()));
        File::check(vqd_matvecs(file_->get(), tensors.data(), tensors.size(), mode, x, y,
                                scratch_.data(), scratch_.size(), &threads_));
    }
    void dequantize_rows(std::size_t tensor, std::int64_t row, std::int64_t count, float* out) {
        grow(vqd_dequantize_scratch_bytes(file_->get(), tensor));
        File::check(vqd_dequantize_rows(file_->get(), tensor, row, count, out, scratch_.data(),
                                        scratch_.size()));
    }

private:
    void grow(std::size_t bytes) {
        if (scratch_.size() < bytes) scratch_.resize(bytes);
    }
    const File* file_;
    vqd_threads threads_;
    std::vector<std::byte> scratch_;
};

}  // namespace vqd
