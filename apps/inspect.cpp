// SPDX-License-Identifier: Apache-2.0
// vq inspect: what is in a store, tensor by tensor, without decoding it; or what a model that is
// not quantized yet consists of.
#include <fmt/format.h>

#include "apps/common.h"
#include "io/families/inventory.h"
#include "io/families/linear_groups.h"
#include "io/files/output_checks.h"
#include "io/files/output_file.h"
#include "io/hdf5/store.h"
#include "model/ops/packed_model.h"
#include "model/packed_audit.h"
#include "model/session/pages/page.h"
#include "vq/tensor/code_use.h"
#include "vq/tensor/store_audit.h"
#include "vq/tensor/store_totals.h"
#include "vq/tensor/stored_tensor.h"

namespace vq::apps {
namespace {

Json tensor_json(const StoredTensor& tensor) {
    Json json = {{"name", tensor.name},
                 {"rows", tensor.shape.rows},
                 {"cols", tensor.shape.cols},
                 {"bits_per_weight", tensor.bits_per_weight}};
    if (!is_dense(tensor)) {
        json["rel_mse"] = tensor.rel_mse;
        json["rel_proxy"] = tensor.rel_proxy;
    }
    json["spec"] = tensor.spec;
    return json;
}

Json use_json(const std::vector<StageUse>& stages) {
    Json json = Json::array();
    for (const StageUse& s : stages)
        json.push_back({{"bits", s.bits},
                        {"entropy", s.entropy},
                        {"words", s.words},
                        {"used", s.used},
                        {"codes", s.codes}});
    return json;
}

/// One line a stage: what its indices carry, and how many of its words occur.
std::string use_text(const std::vector<StageUse>& stages) {
    std::string text;
    for (const StageUse& s : stages)
        text += fmt::format("    {:>2} bits: entropy {:.3f}, {} of {} words in {} codes\n", s.bits,
                            s.entropy, s.used, s.words, s.codes);
    return text;
}

Json audit_json(const Audit& audit) {
    Json kinds = Json::object();
    for (const AuditEntry& entry : audit.entries) kinds[entry.kind] = entry.bytes;
    return {
        {"kinds", kinds}, {"file_bytes", audit.file_bytes}, {"unexplained", audit.unexplained()}};
}

/// Every byte of the file by what it is for.
std::string audit_text(const Audit& audit) {
    std::string text = "\nbytes of the file\n";
    for (const AuditEntry& entry : audit.entries)
        text += fmt::format(
            "  {:<26} {:>14} {:>7.3f}%\n", entry.kind, entry.bytes,
            100 * static_cast<double>(entry.bytes) / static_cast<double>(audit.file_bytes));
    text += fmt::format("  {:<26} {:>14}\n", "unexplained", audit.unexplained());
    return text + fmt::format("  {:<26} {:>14}\n", "all", audit.file_bytes);
}

Json part_json(const ModelPart& part) {
    return {{"name", part.name},
            {"linear", part.linear},
            {"tensors", part.tensors},
            {"weights", part.weights},
            {"active_weights", part.active},
            {"bytes_in_16_bits", 2 * part.weights}};
}

/// A model: what it is made of, and what of it would be quantized. Bytes are those of 16 bits a
/// weight, whatever the file has.
Answer inspect_model(const std::string& path, const Common& common) {
    const std::unique_ptr<WeightSource> source = open_model_or_store(path, common);
    const ModelConfig& config = source->config();
    const ModelInventory all = take_inventory(config);
    const auto count = [](std::int64_t n) { return format_count(static_cast<double>(n)); };
    const auto size = [](std::int64_t n) { return format_bytes(2 * static_cast<double>(n)); };
    Answer answer;
    answer.text =
        fmt::format("{}: {}, layers {}, width {}, vocabulary {}\n", path, config.architecture,
                    config.n_layers(), config.hidden_size, config.vocab_size);
    Json mixers = Json::object();
    for (const MixerCount& mixer : all.mixers) {
        mixers[mixer.name] = mixer.layers;
        answer.text += fmt::format("layers with {}: {}\n", mixer.name, mixer.layers);
    }
    if (all.mixture_layers > 0)
        answer.text +=
            fmt::format("layers with experts: {}, each of {}, of which a token reads {}\n",
                        all.mixture_layers, all.experts, all.active_experts);
    answer.text += fmt::format("\n{:<16} {:>8} {:>10} {:>10} {:>10}\n", "part", "tensors",
                               "weights", "16 bits", "stored as");
    Json parts = Json::array();
    for (const ModelPart& part : all.parts) {
        parts.push_back(part_json(part));
        const bool table = part.name == "embedding" || part.name == "head";
        answer.text += fmt::format("{:<16} {:>8} {:>10} {:>10} {:>10}\n", part.name, part.tensors,
                                   count(part.weights), size(part.weights),
                                   part.linear ? "--bits"
                                   : table     ? "8 bits"
                                               : "32 bits");
    }
    answer.text += fmt::format(
        "\n{} weights, {} of them in linear layers, {} read for a token; {} in 16 bits\n",
        count(all.weights), count(all.linear), count(all.active), size(all.weights));
    answer.document = {{"model", path},
                       {"family", config.architecture},
                       {"layers", config.n_layers()},
                       {"hidden_size", config.hidden_size},
                       {"vocab_size", config.vocab_size},
                       {"max_position", config.max_position},
                       {"tied_embeddings", config.tie_embeddings},
                       {"mixers", mixers},
                       {"mixture_layers", all.mixture_layers},
                       {"experts", all.experts},
                       {"active_experts", all.active_experts},
                       {"weights", all.weights},
                       {"linear_weights", all.linear},
                       {"active_weights", all.active},
                       {"bytes_in_16_bits", 2 * all.weights},
                       {"parts", parts}};
    if (source->packed() != nullptr) {
        const Audit audit = audit_packed(*source->packed(), table_names(config));
        answer.document["audit"] = audit_json(audit);
        answer.text += audit_text(audit);
    }
    return answer;
}

Answer run(const std::string& path, bool codes, const Common& common) {
    if (!is_store(path)) {
        if (codes) throw Error("a model has no codes", "--codes", "name a store (*.vq.h5)");
        return inspect_model(path, common);
    }
    const StoreReader store(path);
    const StoreMeta& meta = store.meta();
    const StoreTotals totals = totals_of(store);
    Json tensors = Json::array();
    std::string table = fmt::format("{:<44} {:>13} {:>8} {:>10} {:>10}\n", "tensor", "shape",
                                    "bits", "rel. MSE", "rel. proxy");
    for (const std::string& name : store.names()) {
        const StoredTensor tensor = store.info(name);
        const std::string shape = fmt::format("{} x {}", tensor.shape.rows, tensor.shape.cols);
        if (is_dense(tensor)) {
            table += fmt::format("{:<44} {:>13} {:>8.3f} {:>10} {:>10}\n", name, shape,
                                 tensor.bits_per_weight, "-", "-");
        } else {
            table += fmt::format("{:<44} {:>13} {:>8.3f} {:>10.5f} {:>10.5f}\n", name, shape,
                                 tensor.bits_per_weight, tensor.rel_mse, tensor.rel_proxy);
        }
        tensors.push_back(tensor_json(tensor));
        if (codes && !is_dense(tensor)) {
            const std::vector<StageUse> stages =
                code_use(parse_stored(store.read(name), meta.shared).coded);
            table += use_text(stages);
            tensors.back()["stages"] = use_json(stages);
        }
    }
    const Audit audit = audit_store(path);
    Answer answer;
    answer.document = {{"store", path},
                       {"file_bytes", totals.file_bytes},
                       {"model_bytes", totals.model_bytes},
                       {"bits_per_weight", totals.bits_per_weight},
                       {"quantized_weights", totals.quantized_weights},
                       {"embedding_weights", totals.embedding_weights},
                       {"dense_weights", totals.dense_weights},
                       {"fingerprint", meta.fingerprint},
                       {"seed", meta.seed},
                       {"tool_version", meta.tool_version},
                       {"provenance", meta.provenance},
                       {"audit", audit_json(audit)},
                       {"tensors", tensors}};
    answer.text = table;
    answer.text += fmt::format(
        "\n{}: {}; {} weights at {:.4f} bits, {} of embeddings, {} kept dense\n", path,
        format_bytes(static_cast<double>(totals.file_bytes)),
        format_count(static_cast<double>(totals.quantized_weights)), totals.bits_per_weight,
        format_count(static_cast<double>(totals.embedding_weights)),
        format_count(static_cast<double>(totals.dense_weights)));
    answer.text += fmt::format("made by vqkit {} with seed {}, fingerprint {}\n", meta.tool_version,
                               meta.seed, meta.fingerprint);
    answer.text += audit_text(audit);
    if (meta.provenance.contains("command"))
        answer.text += fmt::format("command: {}\n", meta.provenance["command"].get<std::string>());
    if (const auto recipe = meta.provenance.find("recipe");
        recipe != meta.provenance.end() && recipe->is_array())
        answer.text += recipe_text(*recipe);
    return answer;
}

void write_page(const std::string& page, const std::string& path, Answer& answer) {
    if (!is_store(path)) throw Error("no store", path, "--html shows stores (*.vq.h5)");
    check_can_write(page, {path});
    write_text_file(page, inspect_page(answer.document));
    answer.text += fmt::format("page: {}\n", page);
}

}  // namespace

void add_inspect(CLI::App& app, Invocation& invocation) {
    auto path = std::make_shared<std::string>();
    auto page = std::make_shared<std::string>();
    CLI::App* command = add_command(app, invocation, "inspect",
                                    "what is in a store: bits and errors of every tensor; or in a "
                                    "model: parts and their sizes",
                                    "vq inspect model-2bit.vq.h5", no_random_numbers);
    command->add_option("FILE", *path, "a *.vq.h5 file, or a model: HF folder, GGUF, packed file")
        ->required();
    auto codes = std::make_shared<bool>(false);
    command->add_flag("--codes", *codes,
                      "also how evenly codewords are used: entropy and words of each stage (codes "
                      "with codebooks)");
    command
        ->add_option("--html", *page,
                     "also writes a page with maps of bits and errors by layer (stores)")
        ->type_name("OUT.html");
    command->callback([path, codes, page, &invocation] {
        invocation.run = [path, codes, page, &invocation] {
            Answer answer = run(*path, *codes, invocation.common);
            if (!page->empty()) write_page(*page, *path, answer);
            return answer;
        };
    });
}

}  // namespace vq::apps
