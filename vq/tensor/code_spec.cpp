#include "vq/tensor/code_spec.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "codebooks/bitmod/bitmod_code.h"
#include "codebooks/residual/residual_code.h"
#include "codebooks/residual/universal.h"
#include "lattice/e8p/e8p_code.h"
#include "lattice/trellis/trellis_code.h"

namespace vq {

namespace {

using Parameters = std::function<std::vector<float>(Index)>;

Index integer(const Json& entry, const char* key, Index low, Index high, const SpecFault& fail) {
    if (!entry.contains(key) || !entry[key].is_number_integer()) fail(std::string("no ") + key);
    const auto value = entry[key].get<Index>();
    if (value < low || value > high) fail(std::string(key) + " is out of range");
    return value;
}

/// A structured code's constants must be those of this program.
CodePtr with_constants(CodePtr code, const Json& entry, std::initializer_list<const char*> keys,
                       const SpecFault& fail) {
    const Json own = code->describe();
    for (const char* key : keys)
        if (!entry.contains(key) || entry[key] != own[key])
            fail(std::string("a code with another ") + key + " than this program knows");
    return code;
}

CodePtr parse_trellis(const Json& entry, const Parameters& /*parameters*/, const SpecFault& fail) {
    const auto bits = static_cast<int>(integer(entry, "bits", 1, 4, fail));
    const auto dim = static_cast<int>(integer(entry, "dim", 16, 4096, fail));
    const auto multiplier =
        static_cast<std::uint32_t>(integer(entry, "multiplier", 0, 0xFFFFFFFF, fail));
    return with_constants(std::make_shared<TrellisCode>(dim, bits, 1, multiplier), entry, {"gain"},
                          fail);
}

CodePtr parse_e8p(const Json& entry, const Parameters& /*parameters*/, const SpecFault& fail) {
    const std::vector<int> bits = parse_stage_bits(entry, fail);
    const auto& choices = E8pCode::stage_choices();
    if (std::find(choices.begin(), choices.end(), bits) == choices.end())
        fail("E8P has no such stages");
    return with_constants(std::make_shared<E8pCode>(bits, 1), entry, {"dim", "gains"}, fail);
}

CodePtr parse_bitmod(const Json& entry, const Parameters& /*parameters*/, const SpecFault& fail) {
    const auto bits = static_cast<int>(integer(entry, "bits", 3, 4, fail));
    const auto dim = static_cast<int>(integer(entry, "dim", 1, 1024, fail));
    return with_constants(std::make_shared<BitmodCode>(dim, bits), entry,
                          {"magnitudes", "specials"}, fail);
}

CodePtr parse_residual(const Json& entry, const Parameters& parameters, const SpecFault& fail) {
    const auto dim = static_cast<int>(integer(entry, "dim", 1, 64, fail));
    const std::vector<int> bits = parse_stage_bits(entry, fail);
    Index words = 0;
    for (const int b : bits) words += Index{1} << b;
    const std::vector<float> values = parameters(words * dim);
    std::vector<Matrix> codebooks;
    const float* at = values.data();
    for (const int b : bits) {
        codebooks.emplace_back(Eigen::Map<const Matrix>(at, Index{1} << b, dim));
        at += codebooks.back().size();
    }
    return std::make_shared<ResidualCode>(std::move(codebooks), 1);
}

struct Family {
    const char* name;
    CodePtr (*parse)(const Json&, const Parameters&, const SpecFault&);
};
constexpr Family families[] = {{"residual", parse_residual},
                               {"trellis", parse_trellis},
                               {"e8p", parse_e8p},
                               {"bitmod", parse_bitmod}};

const Family* find_family(const std::string& name) {
    const auto* const found = std::find_if(std::begin(families), std::end(families),
                                           [&](const Family& f) { return f.name == name; });
    return found == std::end(families) ? nullptr : found;
}

}  // namespace

std::vector<int> parse_stage_bits(const Json& entry, const SpecFault& fail) {
    if (!entry.contains("stage_bits") || !entry["stage_bits"].is_array()) fail("no stage_bits");
    std::vector<int> bits;
    int sum = 0;
    for (const Json& b : entry["stage_bits"]) {
        if (!b.is_number_integer() || b.get<Index>() < 1 || b.get<Index>() > 16)
            fail("stage_bits is out of range");
        bits.push_back(b.get<int>());
        sum += bits.back();
        if (sum > 64) fail("a code has more than 64 bits");
    }
    if (bits.empty()) fail("no stage_bits");
    return bits;
}

bool has_codebooks(const CodeSettings& code) {
    return code.kind == CodeKind::residual || code.kind == CodeKind::grid;
}

RateRange rates_of(const CodeSettings& code) {
    if (code.kind == CodeKind::trellis) return {1, 4, 0};
    if (code.kind != CodeKind::grid) return {0, 0, 0};
    const std::vector<int> bits = scalar_grid_bits(code.grid);
    return {bits.front(), std::max(bits.front(), std::min(bits.back(), code.most_stage_bits)), 1};
}

CodePtr untrained_code(const Settings& s, bool outliers) {
    VQ_ASSERT(rates_of(s.code).most == 0);
    if (s.code.kind == CodeKind::e8p) return std::make_shared<E8pCode>(s.code.stage_bits, s.beam);
    if (s.code.kind == CodeKind::bitmod)
        return std::make_shared<BitmodCode>(s.code.dim, s.code.stage_bits.front());
    const Index dim = outliers ? s.code.outlier_dim : s.code.dim;
    std::vector<Matrix> codebooks;
    for (const int b : outliers ? std::vector<int>{s.code.outlier_bits} : s.code.stage_bits)
        codebooks.emplace_back(Matrix::Zero(Index{1} << b, dim));
    return std::make_shared<ResidualCode>(std::move(codebooks), s.beam, s.revisions);
}

int vector_bits(const CodeSettings& code, const std::vector<int>& stages) {
    const int sum = std::accumulate(stages.begin(), stages.end(), 0);
    return code.kind == CodeKind::bitmod ? BitmodCode::code_bits(code.dim, sum) : sum;
}

std::vector<std::vector<int>> stages_of(const Settings& s, int bits) {
    std::vector<std::vector<int>> all;
    if (s.code.kind == CodeKind::e8p)
        all = E8pCode::stage_choices();
    else if (s.code.kind == CodeKind::bitmod)
        all = {{3}, {4}};
    else if (s.code.scope == CodebookScope::universal && s.code.dim == 1)
        for (const int b : scalar_grid_bits(s.code.grid)) all.push_back({b});
    else if (s.code.scope == CodebookScope::universal)
        all = universal_stages(s.code.dim);
    else
        all = {split_bits(bits, s.code.most_stage_bits)};
    std::erase_if(
        all, [&](const std::vector<int>& stages) { return vector_bits(s.code, stages) != bits; });
    return all;
}

std::vector<std::pair<std::string, CodePtr>> universal_choices(const Settings& s) {
    std::vector<std::pair<std::string, CodePtr>> out;
    const auto add_grid = [&](int bits) {
        out.emplace_back("universal." + scalar_grid_name(s.code.grid, bits),
                         scalar_grid(s.code.grid, bits));
    };
    if (s.code.kind == CodeKind::grid) {
        const RateRange range = rates_of(s.code);
        for (int bits = range.least; bits <= range.most; ++bits) add_grid(bits);
        return out;
    }
    if (s.code.dim == 1 && s.code.stage_bits.size() == 1) {
        add_grid(s.code.stage_bits.front());
        return out;
    }
    const auto code = universal_code(s.code.dim, s.code.stage_bits, s.beam);
    out.emplace_back("universal." + universal_name(s.code.dim, s.code.stage_bits),
                     std::make_shared<ResidualCode>(code->codebooks(), s.beam, s.revisions));
    return out;
}

double codebook_bits(const Settings& s) {
    double bits = 0;
    if (!has_codebooks(s.code)) return bits;
    if (s.code.kind == CodeKind::grid) {
        const RateRange range = rates_of(s.code);
        for (int b = range.least; b <= range.most; ++b) bits += 16.0 * static_cast<double>(1 << b);
        return bits;
    }
    for (const int b : s.code.stage_bits) bits += 16.0 * s.code.dim * static_cast<double>(1 << b);
    if (s.code.outliers > 0)
        bits += 16.0 * s.code.outlier_dim * static_cast<double>(1 << s.code.outlier_bits);
    return bits;
}

bool known_family(const std::string& family) {
    return find_family(family) != nullptr;
}

CodePtr parse_code(const std::string& family, const Json& entry, const Parameters& parameters,
                   const SpecFault& fail) {
    const Family* found = find_family(family);
    if (found == nullptr) fail("unknown code");
    return found->parse(entry, parameters, fail);
}

}  // namespace vq
