// SPDX-License-Identifier: Apache-2.0
// What the tests of stores share: a folder of their own, sample tensors, whole-file helpers.
#pragma once

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "io/hdf5/store.h"

namespace vq::testing {

namespace fs = std::filesystem;

/// A folder that lives as long as the object.
class TempFolder {
public:
    TempFolder() {
        std::string pattern = (fs::temp_directory_path() / "vqkit-test-XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
        path_ = pattern;
    }
    ~TempFolder() { fs::remove_all(path_); }
    TempFolder(const TempFolder&) = delete;
    TempFolder& operator=(const TempFolder&) = delete;
    std::string operator/(const std::string& name) const { return (path_ / name).string(); }
    const fs::path& path() const { return path_; }
    /// Names of what lies in the folder.
    std::vector<std::string> list() const {
        std::vector<std::string> names;
        for (const auto& entry : fs::directory_iterator(path_))
            names.push_back(entry.path().filename().string());
        std::sort(names.begin(), names.end());
        return names;
    }

private:
    fs::path path_;
};

inline std::string slurp(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

inline void spill(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
}

/// Numbers that are not all alike, the same in every run.
inline std::vector<float> ramp(std::int64_t n, float scale = 0.125F) {
    std::vector<float> values(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = scale * static_cast<float>(static_cast<int>(i * 37 % 101) - 50);
    return values;
}

/// A tensor of 24 x 16 with packed codes of `code_bytes` bytes, codebooks and row scales.
inline StoredTensor sample_tensor(const std::string& name, std::int64_t code_bytes = 96) {
    StoredTensor tensor;
    tensor.name = name;
    tensor.shape = {24, 16};
    tensor.spec = Json{{"code", "kmeans"}, {"bits", 4}, {"dim", 4}};
    tensor.bits_per_weight = 1e6;  // no less than what the arrays take
    tensor.rel_mse = 0.0625;
    tensor.rel_proxy = 0.03125;
    tensor.seconds = 1.5;
    std::vector<std::uint8_t> codes(static_cast<std::size_t>(code_bytes));
    for (std::size_t i = 0; i < codes.size(); ++i)
        codes[i] = static_cast<std::uint8_t>(i * 11 + name.size());
    tensor.arrays["codes"] = Array::from_u8(codes);
    tensor.arrays["codebooks"] = Array::from_f16({1, 16, 4}, ramp(64).data());
    tensor.arrays["row_scale"] = Array::from_f32({24}, ramp(24).data());
    return tensor;
}

inline StoreMeta sample_meta() {
    StoreMeta meta;
    meta.fingerprint = "fp-1";
    meta.seed = 0xFFFFFFFFFFFFFFFFULL;
    meta.tool_version = "0.1.0";
    meta.config_json = "{\n  \"architectures\": [\"LlamaForCausalLM\"], \"x\": \"\xC3\xA9\"\n}\n";
    meta.tokenizer["tokenizer.json"] = "{}";
    meta.tokenizer["tokenizer.model"] = std::string("\0\1\2\xFF", 4);
    meta.tokenizer["empty.json"] = "";
    meta.provenance = Json{{"command", "vq quantize m -o s"}, {"calib_tokens", 12}};
    meta.shared["layers.0"] = Array::from_f16({2, 16, 4}, ramp(128).data());
    return meta;
}

inline std::string write_sample_store(const std::string& path,
                                      const std::vector<std::string>& names) {
    StoreWriter writer(path, "fp-1", false);
    for (const std::string& name : names) writer.write_part(sample_tensor(name));
    writer.finish(sample_meta(), names);
    return path;
}

/// The message of the Error that f throws; empty when it throws none.
inline std::string error_of(const std::function<void()>& f) {
    try {
        f();
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

/// While it lives, no file of this process grows beyond `bytes`: a full disk.
class FullDisk {
public:
    explicit FullDisk(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
        ::getrlimit(RLIMIT_FSIZE, &before_);
        const rlimit limit{bytes, before_.rlim_max};
        if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) throw std::runtime_error("setrlimit");
    }
    ~FullDisk() {
        ::setrlimit(RLIMIT_FSIZE, &before_);
        std::signal(SIGXFSZ, handler_);
    }
    FullDisk(const FullDisk&) = delete;
    FullDisk& operator=(const FullDisk&) = delete;

private:
    void (*handler_)(int);
    rlimit before_{};
};

}  // namespace vq::testing
