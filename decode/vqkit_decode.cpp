// SPDX-License-Identifier: Apache-2.0
#include "decode/vqkit_decode.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <new>

#include "base/error.h"
#include "base/packed/packed_code.h"
#include "decode/product.h"

using vq::decode::Index;
using vq::decode::Kernels;
using vq::decode::PackedFile;
using vq::decode::Tensor;
using vq::decode::TensorKind;
using vq::decode::Threads;

struct vqd_file {  // NOLINT(readability-identifier-naming): a name of the C interface
    const Kernels* kernels;
    PackedFile packed;
};

namespace {

constexpr std::size_t scratch_align = 64;

void say(char* message, std::size_t bytes, const char* text) {
    if (message == nullptr || bytes == 0) return;
    const std::size_t n = std::min(bytes - 1, std::strlen(text));
    std::memcpy(message, text, n);
    message[n] = '\0';
}

const Tensor* tensor_at(const vqd_file* file, std::size_t tensor) {
    if (file == nullptr || tensor >= file->packed.tensors().size()) return nullptr;
    return &file->packed.tensors()[tensor];
}

/// The part of the caller's scratch that is aligned and has `needed` bytes, or null.
void* aligned(void* scratch, std::size_t bytes, std::size_t needed) {
    if (needed == 0) return scratch;
    // What callers are told to bring has room for it wherever their memory begins.
    return std::align(scratch_align, needed, scratch, bytes);
}

using vq::decode::most_together;

/// Of `count` tensors those of the round of vqd_matvecs that begins with number `first`; 0 when
/// there is none such or the call's tensors differ in columns.
std::size_t some_tensors(const vqd_file* file, const std::size_t* tensors, std::size_t count,
                         std::size_t first, const Tensor* (&out)[most_together]) {
    const Tensor* like = tensor_at(file, tensors[0]);
    const std::size_t n = std::min(count - first, most_together);
    for (std::size_t i = 0; i < n; ++i) {
        out[i] = tensor_at(file, tensors[first + i]);
        if (out[i] == nullptr || like == nullptr || out[i]->cols != like->cols) return 0;
    }
    return n;
}

const char* code_name(const Tensor& t) {
    switch (t.kind) {
        case TensorKind::dense_f32: return "f32";
        case TensorKind::dense_f16: return "f16";
        case TensorKind::dense_bf16: return "bf16";
        case TensorKind::coded: break;
    }
    return t.segments.back()->code->name;
}

}  // namespace

vqd_status vqd_open(const void* data, size_t bytes, vqd_file** file, char* message,
                    size_t message_bytes) {
    if (file == nullptr) return VQD_BAD_ARGUMENT;
    *file = nullptr;
    if (data == nullptr) {
        say(message, message_bytes, "no data");
        return VQD_BAD_ARGUMENT;
    }
    // Before the file is looked at: an environment that asks for instructions which the processor
    // lacks is not the file's fault.
    const Kernels* kernels = nullptr;
    try {
        kernels = &vq::decode::active_kernels();
    } catch (const std::exception& e) {
        say(message, message_bytes, e.what());
        return VQD_BAD_ISA;
    }
    try {
        *file = new vqd_file{kernels, PackedFile(data, bytes)};
        return VQD_OK;
    } catch (const std::bad_alloc&) {
        say(message, message_bytes, "out of memory");
        return VQD_NO_MEMORY;
    } catch (const std::exception& e) {
        say(message, message_bytes, e.what());
        return VQD_BAD_FILE;
    }
}

void vqd_close(vqd_file* file) {
    delete file;
}

int vqd_version(void) {
    return VQD_VERSION;
}

const char* vqd_isa(const vqd_file* file) {
    return file == nullptr ? "" : file->kernels->name;
}

size_t vqd_tensor_count(const vqd_file* file) {
    return file == nullptr ? 0 : file->packed.tensors().size();
}

vqd_status vqd_tensor(const vqd_file* file, size_t tensor, vqd_tensor_info* info) {
    const Tensor* t = tensor_at(file, tensor);
    if (t == nullptr || info == nullptr) return VQD_BAD_ARGUMENT;
    *info = {t->name.data(),
             t->name.size(),
             t->rows,
             t->cols,
             code_name(*t),
             t->bytes,
             8.0 * static_cast<double>(t->bytes) /
                 (static_cast<double>(t->rows) * static_cast<double>(t->cols))};
    return VQD_OK;
}

vqd_status vqd_find(const vqd_file* file, const char* name, size_t* tensor) {
    if (file == nullptr || name == nullptr || tensor == nullptr) return VQD_BAD_ARGUMENT;
    const auto& all = file->packed.tensors();
    for (std::size_t i = 0; i < all.size(); ++i)
        if (all[i].name == name) {
            *tensor = i;
            return VQD_OK;
        }
    return VQD_BAD_ARGUMENT;
}

size_t vqd_blob_count(const vqd_file* file) {
    return file == nullptr ? 0 : file->packed.blobs().size();
}

vqd_status vqd_blob(const vqd_file* file, size_t blob, vqd_blob_info* info) {
    if (blob >= vqd_blob_count(file) || info == nullptr) return VQD_BAD_ARGUMENT;
    const auto& b = file->packed.blobs()[blob];
    *info = {b.name.data(), b.name.size(), b.data.data(), b.data.size()};
    return VQD_OK;
}

size_t vqd_scratch_bytes(const vqd_file* file, size_t tensor, size_t batch) {
    const Tensor* t = tensor_at(file, tensor);
    return t == nullptr ? 0
                        : vq::decode::scratch_bytes(*t, static_cast<Index>(batch)) + scratch_align;
}

size_t vqd_dequantize_scratch_bytes(const vqd_file* file, size_t tensor) {
    const Tensor* t = tensor_at(file, tensor);
    return t == nullptr ? 0 : vq::decode::dequantize_scratch_bytes(*t) + scratch_align;
}

vqd_status vqd_matvec(const vqd_file* file, size_t tensor, vqd_mode mode, const float* x, float* y,
                      void* scratch, size_t scratch_bytes, const vqd_threads* threads) {
    return vqd_matmul(file, tensor, mode, x, 1, y, scratch, scratch_bytes, threads);
}

vqd_status vqd_matmul(const vqd_file* file, size_t tensor, vqd_mode mode, const float* x,
                      size_t batch, float* y, void* scratch, size_t scratch_bytes,
                      const vqd_threads* threads) {
    const Tensor* t = tensor_at(file, tensor);
    if (t == nullptr || (batch > 0 && (x == nullptr || y == nullptr)) ||
        (mode != VQD_INT8 && mode != VQD_EXACT))
        return VQD_BAD_ARGUMENT;
    const std::size_t needed = vq::decode::scratch_bytes(*t, static_cast<Index>(batch));
    void* at = aligned(scratch, scratch_bytes, needed);
    if (needed > 0 && at == nullptr) return VQD_BAD_ARGUMENT;
    Threads pool;
    if (threads != nullptr) pool = {threads->parallel_for, threads->pool};
    vq::decode::multiply(*file->kernels, *t,
                         mode == VQD_EXACT ? vq::decode::Mode::exact : vq::decode::Mode::int8, x,
                         static_cast<Index>(batch), y, at, pool);
    return VQD_OK;
}

size_t vqd_matvecs_scratch_bytes(const vqd_file* file, const size_t* tensors, size_t count) {
    if (tensors == nullptr) return 0;
    std::size_t most = 0;
    for (std::size_t i = 0; i < count; i += most_together) {
        const Tensor* some[most_together];
        const std::size_t n = some_tensors(file, tensors, count, i, some);
        if (n == 0) return 0;
        most = std::max(most, vq::decode::scratch_bytes({some, n}));
    }
    return most + scratch_align;
}

vqd_status vqd_matvecs(const vqd_file* file, const size_t* tensors, size_t count, vqd_mode mode,
                       const float* x, float* const* y, void* scratch, size_t scratch_bytes,
                       const vqd_threads* threads) {
    if (count == 0) return VQD_OK;
    if (x == nullptr || y == nullptr || (mode != VQD_INT8 && mode != VQD_EXACT) ||
        std::find(y, y + count, nullptr) != y + count)
        return VQD_BAD_ARGUMENT;
    const std::size_t needed = vqd_matvecs_scratch_bytes(file, tensors, count);
    if (needed == 0) return VQD_BAD_ARGUMENT;
    void* at = aligned(scratch, scratch_bytes, needed - scratch_align);
    if (needed > scratch_align && at == nullptr) return VQD_BAD_ARGUMENT;
    Threads pool;
    if (threads != nullptr) pool = {threads->parallel_for, threads->pool};
    const auto how = mode == VQD_EXACT ? vq::decode::Mode::exact : vq::decode::Mode::int8;
    for (std::size_t i = 0; i < count; i += most_together) {
        const Tensor* some[most_together];
        const std::size_t n = some_tensors(file, tensors, count, i, some);
        vq::decode::multiply(*file->kernels, {some, n}, how, x, y + i, at, pool);
    }
    return VQD_OK;
}

vqd_status vqd_dequantize_rows(const vqd_file* file, size_t tensor, int64_t row, int64_t count,
                               float* out, void* scratch, size_t scratch_bytes) {
    const Tensor* t = tensor_at(file, tensor);
    if (t == nullptr || row < 0 || count < 0 || row > t->rows || count > t->rows - row ||
        (count > 0 && out == nullptr))
        return VQD_BAD_ARGUMENT;
    const std::size_t needed = vq::decode::dequantize_scratch_bytes(*t);
    void* at = aligned(scratch, scratch_bytes, needed);
    if (needed > 0 && at == nullptr) return VQD_BAD_ARGUMENT;
    vq::decode::dequantize_rows(*file->kernels, *t, row, count, out, at);
    return VQD_OK;
}
