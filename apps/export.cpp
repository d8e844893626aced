// SPDX-License-Identifier: Apache-2.0
// vq export: a model or a store as a dense Hugging Face folder, for tools that know no codebooks; a
// store as a packed file, for the decode library.
#include <fmt/format.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "apps/common.h"
#include "apps/progress_bar.h"
#include "base/error.h"
#include "io/checkpoints/checkpoint.h"
#include "io/files/safetensors.h"
#include "io/hdf5/store.h"
#include "vq/exports/export_packed.h"

namespace vq::apps {
namespace {

namespace fs = std::filesystem;

struct Options {
    std::string model;
    std::string format;
    std::string output;
    std::string dtype;  ///< empty: the format's
};

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

/// A folder that takes its name once it is whole, and is gone otherwise.
class AtomicFolder {
public:
    explicit AtomicFolder(const std::string& path) : path_(fs::path(path).lexically_normal()) {
        if (!path_.has_filename()) path_ = path_.parent_path();
        std::error_code error;
        if (fs::exists(path_, error) && !(fs::is_directory(path_, error) && fs::is_empty(path_)))
            throw Error("the output is there already", path_.string(),
                        "remove it, or choose another name");
        if (!fs::is_directory(path_, error)) check_can_write(path_.string());
        temp_ = path_.string() + ".tmp";
        fs::remove_all(temp_, error);
        if (!fs::create_directory(temp_, error))
            throw system_error("make the folder", temp_.string(), error.value());
    }
    ~AtomicFolder() {
        std::error_code ignored;
        if (!committed_) fs::remove_all(temp_, ignored);
    }
    AtomicFolder(const AtomicFolder&) = delete;
    AtomicFolder& operator=(const AtomicFolder&) = delete;

    std::string file(const std::string& name) const { return (temp_ / name).string(); }
    void commit() {
        std::error_code error;
        fs::rename(temp_, path_, error);
        if (error) throw system_error("rename the folder to", path_.string(), error.value());
        committed_ = true;
        sync_folder_of(path_.string());
    }

private:
    fs::path path_;
    fs::path temp_;
    bool committed_ = false;
};

void write_file(const std::string& path, const std::string& content) {
    std::ofstream file(path, std::ios::binary);
    file.write(content.data(), static_cast<std::streamsize>(content.size()));
    file.close();
    if (!file) throw system_error("write", path, errno);
}

std::string config_for(const WeightSource& source, const Dtype& dtype) {
    Json config = Json::parse(source.config().hf_json);
    config.erase("quantization_config");
    config[config.contains("dtype") ? "dtype" : "torch_dtype"] = dtype.torch_name;
    return config.dump(2) + "\n";
}

Answer run_packed(const Options& options, const Common& common) {
    const double begin = seconds_since_start();
    if (!is_store(options.model))
        throw Error("only stores can be packed", options.model, "quantize the model first");
    if (!options.dtype.empty() && options.dtype != "int8" && options.dtype != "f16")
        throw Error("packed files keep what is not quantized as int8 or f16",
                    "--dtype " + options.dtype, "use one of these, or leave --dtype away");
    const auto matrices = options.dtype == "f16" ? PackedMatrices::f16 : PackedMatrices::int8;
    check_can_write(options.output);
    PackedExport done;
    {
        ProgressBar bar(common, "tensors");
        done = export_packed(options.model, options.output, matrices, bar.progress());
    }
    Answer answer;
    answer.document = {{"model", options.model},
                       {"output", options.output},
                       {"format", options.format},
                       {"tensors", done.tensors},
                       {"quantized_tensors", done.coded},
                       {"file_bytes", done.bytes},
                       {"seconds", seconds_since_start() - begin},
                       {"peak_rss_bytes", peak_rss_bytes()}};
    answer.text =
        fmt::format("{}: {} tensors, {} of them quantized, {}\n", options.output, done.tensors,
                    done.coded, format_bytes(static_cast<double>(done.bytes)));
    return answer;
}

Answer run(const Options& options, const Common& common) {
    if (options.format == "packed") return run_packed(options, common);
    const double begin = seconds_since_start();
    const Dtype& dtype = dtype_of(options.dtype.empty() ? "f16" : options.dtype);
    const auto source = open_model_or_store(options.model);
    AtomicFolder folder(options.output);

    std::vector<SafetensorEntry> entries;
    double weights = 0;
    for (const auto& [name, shape, vector] : expected_tensors(source->config())) {
        std::vector<std::int64_t> dims = {shape.rows, shape.cols};
        if (vector) dims = {shape.rows * shape.cols};
        entries.push_back({name, dtype.type, dims});
        weights += static_cast<double>(shape.rows) * static_cast<double>(shape.cols);
    }
    {
        ProgressBar bar(common, "weights");
        const Progress progress = bar.progress();
        SafetensorsWriter writer(folder.file("model.safetensors"), entries);
        double done = 0;
        for (const SafetensorEntry& entry : entries) {
            progress.check();
            progress.report(done, weights, entry.name);
            const Matrix values = source->read(entry.name);
            writer.write(entry.name, values.data());
            done += static_cast<double>(values.size());
        }
        writer.finish();
    }
    write_file(folder.file("config.json"), config_for(*source, dtype));
    for (const auto& [name, content] : source->tokenizer_files())
        write_file(folder.file(name), content);
    folder.commit();

    const double bytes = weights * static_cast<double>(dtype.bytes);
    Answer answer;
    answer.document = {{"model", options.model},
                       {"output", options.output},
                       {"format", options.format},
                       {"dtype", dtype.name},
                       {"tensors", entries.size()},
                       {"weight_bytes", static_cast<std::int64_t>(bytes)},
                       {"seconds", seconds_since_start() - begin},
                       {"peak_rss_bytes", peak_rss_bytes()}};
    answer.text = fmt::format("{}: {} tensors as {}, {}\n", options.output, entries.size(),
                              dtype.name, format_bytes(bytes));
    return answer;
}

}  // namespace

void add_export(CLI::App& app, Session& session) {
    auto options = std::make_shared<Options>();
    CLI::App* command = add_command(
        app, session, "export", "writes a store (or a model) in the format of other tools",
        "vq export model-2bit.vq.h5 --to safetensors -o model-dense", no_random_numbers);
    command->add_option("MODEL", options->model, "a store, a HF folder or a GGUF file")->required();
    command
        ->add_option("--to", options->format,
                     "safetensors: a dense Hugging Face folder that transformers loads; packed: "
                     "one file for generate, eval and the decode library")
        ->required()
        ->check(CLI::IsMember({"safetensors", "packed"}))
        ->type_name("FORMAT");
    command->add_option("-o,--output", options->output, "the folder or file to make")
        ->required()
        ->type_name("PATH");
    command
        ->add_option("--dtype", options->dtype,
                     "safetensors: f16 (default), bf16 or f32; packed, of the matrices that "
                     "are not quantized: int8 (default; a scale for 32 values) or f16")
        ->check(CLI::IsMember({"f16", "bf16", "f32", "int8"}))
        ->type_name("TYPE");
    command->callback([options, &session] {
        session.run = [options, &session] { return run(*options, session.common); };
    });
}

}  // namespace vq::apps
