// SPDX-License-Identifier: Apache-2.0
#include "vq/exports/export_safetensors.h"

#include "base/error.h"
#include "base/json.h"
#include "io/checkpoints/checkpoint.h"
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

}  // namespace

SafetensorsExport export_safetensors(const WeightSource& source, const std::string& dtype_name,
                                     const std::string& path, const Progress& progress) {
    const Dtype& dtype = dtype_of(dtype_name);
    AtomicFolder folder(path);
    std::vector<SafetensorEntry> entries;
    Index weights = 0;
    for (const auto& [name, shape, vector] : expected_tensors(source.config())) {
        std::vector<std::int64_t> dims = {shape.rows, shape.cols};
        if (vector) dims = {shape.rows * shape.cols};
        entries.push_back({name, dtype.type, dims});
        weights += shape.rows * shape.cols;
    }
    SafetensorsWriter writer(folder.file("model.safetensors"), entries);
    Index done = 0;
    for (const SafetensorEntry& entry : entries) {
        progress.check();
        progress.report(static_cast<double>(done), static_cast<double>(weights), entry.name);
        const Matrix values = source.read(entry.name);
        writer.write(entry.name, values.data());
        done += values.size();
    }
    writer.finish();
    write_text_file(folder.file("config.json"), config_for(source, dtype));
    for (const auto& [name, content] : source.tokenizer_files())
        write_text_file(folder.file(name), content);
    folder.commit();
    return {static_cast<std::int64_t>(entries.size()), weights * dtype.bytes};
}

}  // namespace vq
