// SPDX-License-Identifier: Apache-2.0
#include "vq/exports/export_safetensors.h"

#include <fmt/format.h>

#include <functional>
#include <numeric>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "io/checkpoints/file_tensors.h"
#include "io/files/atomic_folder.h"
#include "io/files/safetensors.h"

namespace vq {

namespace {

struct Dtype {
    const char* name;
    SafetensorType type;
    const char* torch_name;
    Index bytes;
};
constexpr Dtype dtypes[] = {{"f16", SafetensorType::f16, "float16", 2},
                            {"bf16", SafetensorType::bf16, "bfloat16", 2},
                            {"f32", SafetensorType::f32, "float32", 4}};

const Dtype& dtype_of(const std::string& name) {
    for (const Dtype& dtype : dtypes)
        if (name == dtype.name) return dtype;
    throw Error("safetensors files have no such type here", "--dtype " + name,
                "use f16, bf16 or f32");
}

std::string config_for(const WeightSource& source, const Dtype& dtype) {
    Json config = Json::parse(source.config().hf_json);
    config.erase("quantization_config");
    config[config.contains("dtype") ? "dtype" : "torch_dtype"] = dtype.torch_name;
    return config.dump(2) + "\n";
}

std::int64_t weights_of(const FileTensor& tensor) {
    return std::accumulate(tensor.dims.begin(), tensor.dims.end(), std::int64_t{1},
                           std::multiplies<>());
}

/// Tensors [begin, end) that one file holds.
struct Shard {
    std::size_t begin;
    std::size_t end;
    std::string file;
};

constexpr std::size_t most_shards = 500;

std::vector<Shard> shards_of(const std::vector<FileTensor>& tensors, std::int64_t element_bytes,
                             std::int64_t most) {
    std::vector<Shard> shards;
    std::int64_t held = 0;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        const std::int64_t bytes = weights_of(tensors[i]) * element_bytes;
        if (shards.empty() || held + bytes > most) {
            shards.push_back({i, i, "model.safetensors"});
            held = 0;
        }
        held += bytes;
        shards.back().end = i + 1;
    }
    // Each is an open file to whoever loads them.
    if (shards.size() > most_shards)
        throw Error("the model would be in too many files",
                    fmt::format("--shard-size {}: {} files", most, shards.size()),
                    fmt::format("use larger ones: at most {} files", most_shards));
    for (std::size_t i = 0; shards.size() > 1 && i < shards.size(); ++i)
        shards[i].file = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    return shards;
}

std::string index_of(const std::vector<Shard>& shards, const std::vector<FileTensor>& tensors,
                     std::int64_t bytes) {
    Json map = Json::object();
    for (const Shard& shard : shards)
        for (std::size_t i = shard.begin; i < shard.end; ++i) map[tensors[i].name] = shard.file;
    return Json({{"metadata", {{"total_size", bytes}}}, {"weight_map", map}}).dump(2) + "\n";
}

}  // namespace

SafetensorsExport export_safetensors(const WeightSource& source, const std::string& dtype_name,
                                     const std::string& path, std::int64_t shard_bytes,
                                     const Progress& progress) {
    VQ_ASSERT(shard_bytes > 0);
    const Dtype& dtype = dtype_of(dtype_name);
    AtomicFolder folder(path);
    const std::vector<FileTensor> tensors = file_tensors(source);
    std::int64_t weights = 0;
    for (const FileTensor& tensor : tensors) weights += weights_of(tensor);
    const std::vector<Shard> shards = shards_of(tensors, dtype.bytes, shard_bytes);
    std::int64_t done = 0;
    for (const Shard& shard : shards) {
        std::vector<SafetensorEntry> entries;
        for (std::size_t i = shard.begin; i < shard.end; ++i)
            entries.push_back({tensors[i].name, dtype.type, tensors[i].dims});
        SafetensorsWriter writer(folder.file(shard.file), entries);
        for (std::size_t i = shard.begin; i < shard.end; ++i)
            for (const FilePart& part : tensors[i].parts) {
                progress.check();
                progress.report(static_cast<double>(done), static_cast<double>(weights), part.name);
                const bool bias = part.name.ends_with(".bias");
                const Matrix values = to_file_layout(source.read(part.name), part.layout, bias);
                writer.append(tensors[i].name, values.data(), values.size());
                done += values.size();
            }
        writer.finish();
    }
    if (shards.size() > 1)
        write_text_file(folder.file("model.safetensors.index.json"),
                        index_of(shards, tensors, weights * dtype.bytes));
    write_text_file(folder.file("config.json"), config_for(source, dtype));
    for (const auto& [name, content] : source.tokenizer_files())
        write_text_file(folder.file(name), content);
    progress.check();  // what was read last may have come from a file that shrank meanwhile
    folder.commit();
    return {static_cast<std::int64_t>(tensors.size()), weights * dtype.bytes,
            static_cast<std::int64_t>(shards.size())};
}

}  // namespace vq
