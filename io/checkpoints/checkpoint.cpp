// SPDX-License-Identifier: Apache-2.0
#include "io/checkpoints/checkpoint.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <unordered_set>

#include "base/error.h"
#include "io/files/file_kind.h"
#include "io/gguf/gguf.h"

namespace vq {

std::vector<ExpectedTensor> expected_tensors(const ModelConfig& config) {
    std::vector<ExpectedTensor> list;
    for_each_tensor(config, [&](const ModelTensor& tensor, const LayerConfig*) {
        const bool vector = is_vector(tensor.role) && tensor.rows == 1;
        list.push_back({tensor.weight(), {tensor.rows, tensor.cols}, vector});
        if (tensor.bias) list.push_back({tensor.bias_name(), {1, tensor.bias_size()}, true});
    });
    return list;
}

void check_model_tensors(const WeightSource& source, const std::string& where) {
    const ModelConfig& config = source.config();
    std::unordered_set<std::string> expected;
    for (const auto& [name, shape, vector] : expected_tensors(config)) {
        expected.insert(name);
        if (!source.has(name))
            throw Error("tensor is missing", fmt::format("{}: {}", where, name),
                        "check that the checkpoint is complete and its configuration is its own");
        const TensorShape found = source.shape(name);
        if (found.rows != shape.rows || found.cols != shape.cols)
            throw Error(fmt::format("tensor is {} x {}, the configuration calls for {} x {}",
                                    found.rows, found.cols, shape.rows, shape.cols),
                        fmt::format("{}: {}", where, name),
                        "check that configuration and weights belong together");
    }
    // A tensor that the runtime would not use means another model than the configuration says.
    for (const std::string& name : source.names())
        if (expected.count(name) == 0 && !is_foreign(config, name))
            throw Error(fmt::format("tensor is not part of a {} model with this configuration",
                                    config.architecture),
                        fmt::format("{}: {}", where, name),
                        "check that configuration and weights belong together");
}

std::string unused_note(std::int64_t count) {
    return fmt::format("{} tensors of keys and values that no layer looks at are left out", count);
}

void check_finite(const Matrix& values, const std::string& where) {
    const float* data = values.data();
    const Index count = values.size();
    constexpr Index chunk = 4096;
    for (Index begin = 0; begin < count; begin += chunk) {
        const Index end = std::min(begin + chunk, count);
        // x - x is 0 for finite x and NaN otherwise: one branch a chunk.
        float sum = 0;
        for (Index i = begin; i < end; ++i) sum += data[i] - data[i];
        if (sum == 0) continue;
        for (Index i = begin; i < end; ++i) {
            if (std::isfinite(data[i])) continue;
            throw Error(fmt::format("weight at row {}, column {} is {}", i / values.cols(),
                                    i % values.cols(), data[i]),
                        where, "the checkpoint is damaged: get it again");
        }
    }
}

std::unique_ptr<WeightSource> open_checkpoint(const std::string& path) {
    std::error_code code;
    if (std::filesystem::is_directory(path, code)) return open_hf_folder(path);
    const MappedFile probe(path);  // says what is wrong with the path itself
    if (has_gguf_magic(probe.bytes())) return open_gguf(path);
    refuse_recognized_kind(probe.bytes(), path);
    throw Error("is not a checkpoint", path,
                "give a folder with config.json and safetensors, or a GGUF file");
}

}  // namespace vq
