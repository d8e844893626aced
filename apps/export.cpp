// SPDX-License-Identifier: Apache-2.0
// vq export: a model or a store as a dense Hugging Face folder, for tools that know no codebooks; a
// store as a packed file, for the decode library.
#include <fmt/format.h>

#include "apps/common.h"
#include "apps/progress_bar.h"
#include "base/error.h"
#include "io/files/output_checks.h"
#include "io/hdf5/store.h"
#include "vq/exports/export_packed.h"
#include "vq/exports/export_safetensors.h"

namespace vq::apps {
namespace {

struct Options {
    std::string model;
    std::string format;
    std::string output;
    std::string dtype;                             ///< empty: the format's
    std::int64_t shard_bytes = usual_shard_bytes;  ///< of safetensors
    bool shards_given = false;
};

Answer run_packed(const Options& options, const Common& common) {
    const double begin = seconds_since_start();
    if (!is_store(options.model))
        throw Error("only stores can be packed", options.model, "quantize the model first");
    if (!options.dtype.empty() && options.dtype != "int8" && options.dtype != "f16")
        throw Error("packed files keep dense matrices as int8 or f16", "--dtype " + options.dtype,
                    "use one of these, or leave --dtype away");
    if (options.shards_given)
        throw Error("a packed file is one file", "--shard-size", "leave it away");
    const auto matrices = options.dtype == "f16" ? PackedMatrices::f16 : PackedMatrices::int8;
    check_can_write(options.output, {options.model});
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
    const std::string dtype = options.dtype.empty() ? "f16" : options.dtype;
    const auto source = open_model_or_store(options.model, common);
    SafetensorsExport done;
    {
        ProgressBar bar(common, "weights");
        done =
            export_safetensors(*source, dtype, options.output, options.shard_bytes, bar.progress());
    }
    Answer answer;
    answer.document = {{"model", options.model},
                       {"output", options.output},
                       {"format", options.format},
                       {"dtype", dtype},
                       {"files", done.files},
                       {"tensors", done.tensors},
                       {"weight_bytes", done.weight_bytes},
                       {"seconds", seconds_since_start() - begin},
                       {"peak_rss_bytes", peak_rss_bytes()}};
    answer.text = fmt::format("{}: {} tensors as {}, {}\n", options.output, done.tensors, dtype,
                              format_bytes(static_cast<double>(done.weight_bytes)));
    return answer;
}

}  // namespace

void add_export(CLI::App& app, Invocation& invocation) {
    auto options = std::make_shared<Options>();
    CLI::App* command = add_command(
        app, invocation, "export", "writes a store (or a model) in the format of other tools",
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
                     "the store keeps dense: int8 (default; a scale for 32 values) or f16")
        ->check(CLI::IsMember({"f16", "bf16", "f32", "int8"}))
        ->type_name("TYPE");
    command
        ->add_option("--shard-size", options->shard_bytes,
                     "safetensors: the most bytes of weights in one file, as 4GB (default); more "
                     "make several files and their index")
        ->transform(CLI::AsSizeValue(true))
        ->check(CLI::PositiveNumber)
        ->type_name("SIZE")
        ->each([options](const std::string&) { options->shards_given = true; });
    command->callback([options, &invocation] {
        invocation.run = [options, &invocation] { return run(*options, invocation.common); };
    });
}

}  // namespace vq::apps
