// SPDX-License-Identifier: Apache-2.0
#include "vq/exports/export_safetensors.h"

#include <functional>
#include <numeric>

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

}  // namespace

SafetensorsExport export_safetensors(const WeightSource& source, const std::string& dtype_name,
                                     const std::string& path, const Progress& progress) {
    const Dtype& dtype = dtype_of(dtype_name);
    AtomicFolder folder(path);
    std::vector<SafetensorEntry> entries;
    Index weights = 0;
    const std::vector<FileTensor> tensors = file_tensors(source);
    for (const FileTensor& tensor : tensors) {
        entries.push_back({tensor.name, dtype.type, tensor.dims});
        weights +=
            std::accumulate(tensor.dims.begin(), tensor.dims.end(), Index{1}, std::multiplies<>());
    }
    SafetensorsWriter writer(folder.file("model.safetensors"), entries);
    Index done = 0;
    for (const FileTensor& tensor : tensors)
        for (const FilePart& part : tensor.parts) {
            progress.check();
            progress.report(static_cast<double>(done), static_cast<double>(weights), part.name);
            const bool bias = part.name.ends_with(".bias");
            const Matrix values = to_file_layout(source.read(part.name), part.layout, bias);
            writer.append(tensor.name, values.data(), values.size());
            done += values.size();
        }
    writer.finish();
    write_text_file(folder.file("config.json"), config_for(source, dtype));
    for (const auto& [name, content] : source.tokenizer_files())
        write_text_file(folder.file(name), content);
    progress.check();  // what was read last may have come from a file that shrank meanwhile
    folder.commit();
    return {static_cast<std::int64_t>(entries.size()), weights * dtype.bytes};
}

}  // namespace vq
