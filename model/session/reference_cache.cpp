// SPDX-License-Identifier: Apache-2.0
// Layout: root attributes format = "vqkit-reference", format_version, vocab_size, ctx, protocol,
// tokens_hash, text_hash, likeliest; /provenance (JSON); datasets ids (places, n) u32, log_p and
// weight (places, n) f32, rest (places) f32, top (places) u32, nll (places) f64.
#include "model/session/reference_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/hash.h"
#include "io/files/atomic_file.h"
#include "io/hdf5/h5.h"
#include "io/hdf5/h5_internal.h"
#include "io/hdf5/store_layout.h"

namespace vq {

namespace {

constexpr const char* format_name = "vqkit-reference";
constexpr std::int64_t version = 1;

const char* protocol_name(EvalProtocol protocol) {
    return protocol == EvalProtocol::llamacpp ? "llamacpp" : "every-token";
}

std::string tokens_hash(const EvalText& text) {
    Hasher hasher;
    hasher.add(text.tokens.data(), text.tokens.size() * sizeof(TokenId));
    return hasher.hex();
}

/// The file is for this text, cut like this.
void check_text(const h5::Group& root, const std::string& path, const EvalText& text) {
    const std::string protocol = root.get_text("protocol");
    const std::int64_t ctx = root.get_i64("ctx");
    if (protocol != protocol_name(text.protocol))
        throw Error("the reference was saved with another protocol",
                    fmt::format("{}: {}, not {}", path, protocol, protocol_name(text.protocol)),
                    "evaluate with --protocol " + protocol + ", or save the reference again");
    if (ctx != text.ctx)
        throw Error("the reference was saved with windows of another length",
                    fmt::format("{}: {} tokens, not {}", path, ctx, text.ctx),
                    fmt::format("evaluate with --ctx {}, or save the reference again", ctx));
    if (root.get_text("tokens_hash") != tokens_hash(text))
        throw Error("the reference was saved on another text, or with another tokenizer", path,
                    "evaluate the text that it was saved on, with the same --max-tokens");
    if (root.get_text("text_hash") != text.hash())
        throw Error("the reference was saved with another token before each window", path,
                    "save the reference again, with a model of the same tokenizer");
}

/// What arithmetic relies on, whatever wrote the file.
void check_values(const ReferenceTable& table, const h5::Group& root) {
    const auto n = static_cast<std::size_t>(table.kept());
    const auto vocabulary = static_cast<std::uint32_t>(table.vocab_size);
    for (std::size_t i = 0; i < table.ids.size(); ++i)
        if (table.ids[i] >= vocabulary || (i % n != 0 && table.ids[i] <= table.ids[i - 1]))
            throw h5::damaged("is not an ascending list of tokens", root.where("ids"));
    const auto all = [&](const auto& values, auto&& holds, const char* name) {
        if (!std::all_of(values.begin(), values.end(), holds))
            throw h5::damaged("holds impossible values", root.where(name));
    };
    all(
        table.log_p, [](float v) { return v <= 1e-3F && !std::isnan(v); }, "log_p");
    all(
        table.weight, [](float v) { return v >= 0 && std::isfinite(v); }, "weight");
    for (std::size_t i = 0; i < table.ids.size(); i += n) {
        std::int64_t sampled = 0;
        for (std::size_t j = i; j < i + n; ++j) {
            if (!(table.weight[j] > 0)) continue;
            ++sampled;
            if (!std::isfinite(table.log_p[j]))
                throw h5::damaged("holds impossible values", root.where("log_p"));
        }
        if (sampled > table.kept() - table.k)
            throw h5::damaged("samples too many tokens", root.where("weight"));
    }
    all(
        table.rest, [](float v) { return v >= 0 && v <= 1; }, "rest");
    all(
        table.top, [&](std::uint32_t v) { return v < vocabulary; }, "top");
    all(
        table.nll, [](double v) { return std::isfinite(v) && v >= -1e-3; }, "nll");
}

}  // namespace

void write_reference_cache(const std::string& path, const ReferenceTable& table,
                           const EvalText& text, const Json& provenance) {
    VQ_ASSERT(table.places() == text.losses());
    AtomicFile output(path);
    const h5::Lock lock;
    h5::File file = h5::File::create(output.temp());
    {
        h5::Group root = file.root();
        root.set_text("format", format_name);
        root.set_i64("format_version", version);
        root.set_i64("vocab_size", table.vocab_size);
        root.set_i64("likeliest", table.k);
        root.set_i64("ctx", text.ctx);
        root.set_text("protocol", protocol_name(text.protocol));
        root.set_text("tokens_hash", tokens_hash(text));
        root.set_text("text_hash", text.hash());
        root.write_text("provenance",
                        provenance.dump(-1, ' ', false, Json::error_handler_t::replace));
        const std::vector<std::int64_t> rows = {table.places()};
        const std::vector<std::int64_t> matrix = {table.places(), table.kept()};
        root.write("ids", ElementType::u32, matrix, table.ids.data());
        root.write("log_p", ElementType::f32, matrix, table.log_p.data());
        root.write("weight", ElementType::f32, matrix, table.weight.data());
        root.write("rest", ElementType::f32, rows, table.rest.data());
        root.write("top", ElementType::u32, rows, table.top.data());
        root.write("nll", ElementType::f64, rows, table.nll.data());
    }
    file.close();
    output.commit();
}

ReferenceCache read_reference_cache(const std::string& path, const EvalText& text,
                                    Index vocab_size) {
    const h5::Lock lock;
    const h5::File file = h5::File::open(path);
    const h5::Group root = file.root();
    check_format(root, format_name, version, version, path);
    check_text(root, path, text);
    if (root.get_i64("vocab_size") != vocab_size)
        throw Error("the reference has another vocabulary",
                    fmt::format("{}: {} tokens, the model has {}", path, root.get_i64("vocab_size"),
                                vocab_size),
                    "compare models of one family");
    // The shapes must be those of the text, which is there: nothing is allocated that the file does
    // not hold.
    const std::vector<std::int64_t> shape = root.info("ids").shape;
    if (shape.size() != 2 || shape[0] != text.losses() || shape[1] < 1 || shape[1] > vocab_size)
        throw h5::damaged("has the wrong shape", root.where("ids"));
    const std::int64_t likeliest = root.get_i64("likeliest");
    if (likeliest < 1 || likeliest > shape[1])
        throw h5::damaged("keeps an impossible number of tokens", root.where("ids"));
    ReferenceCache cache{ReferenceTable(vocab_size, likeliest, shape[1] - likeliest, text.losses()),
                         root.read_json("provenance")};
    ReferenceTable& table = cache.table;
    const std::vector<std::int64_t> rows = {table.places()};
    root.read_into("ids", ElementType::u32, shape, table.ids.data());
    root.read_into("log_p", ElementType::f32, shape, table.log_p.data());
    root.read_into("weight", ElementType::f32, shape, table.weight.data());
    root.read_into("rest", ElementType::f32, rows, table.rest.data());
    root.read_into("top", ElementType::u32, rows, table.top.data());
    root.read_into("nll", ElementType::f64, rows, table.nll.data());
    check_values(table, root);
    return cache;
}

}  // namespace vq
