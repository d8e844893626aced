#include "vq/run/code_checks.h"

#include <algorithm>
#include <string>

#include "base/error.h"
#include "lattice/e8p/e8p_code.h"
#include "vq/tensor/code_spec.h"

namespace vq {

namespace {

[[noreturn]] void fail(const std::string& what, const std::string& where, const std::string& todo) {
    throw Error(what, where, todo);
}

void check_trellis(const Settings& s) {
    if (!(s.code.rate >= 1 && s.code.rate <= 4))
        fail("a trellis has 1 to 4 bits a weight", "code.rate", "set it, or use --bits");
    if (s.code.along != Along::outputs)
        fail("a trellis runs along output rows", "code.along", "use code.along=outputs");
    if (s.block > 1) fail("a trellis takes one column at a time", "feedback.block", "use 0 or 1");
    if (s.code.outliers > 0) fail("a trellis has no code for outliers", "code.outliers", "use 0");
    if (s.scale_search > 0)
        fail("scales are searched row by row, and a trellis spans rows", "scale.search", "use 0");
}

void check_e8p(const Settings& s) {
    if (s.code.dim != 8) fail("E8P has vectors of 8 weights", "code.dim", "use 8");
    const auto& choices = E8pCode::stage_choices();
    if (std::find(choices.begin(), choices.end(), s.code.stage_bits) == choices.end())
        fail("E8P has 2, 3 or 4 bits a weight", "code.stage_bits", "use 16, 16+8 or 16+16");
    if (s.code.outliers > 0) fail("E8P has no code for outliers", "code.outliers", "use 0");
}

void check_bitmod(const Settings& s) {
    if (s.code.stage_bits != std::vector<int>{3} && s.code.stage_bits != std::vector<int>{4})
        fail("BitMoD has 3 or 4 bits a weight", "code.stage_bits", "use 3 or 4");
    if (s.code.along != Along::inputs)
        fail("BitMoD has groups of input weights", "code.along", "use code.along=inputs");
    if (s.code.outliers > 0) fail("BitMoD has no code for outliers", "code.outliers", "use 0");
}

void check_grid(const Settings& s) {
    const RateRange range = rates_of(s.code);
    if (!(s.code.rate >= range.least && s.code.rate <= range.most))
        fail("these grids have " + std::to_string(range.least) + " to " +
                 std::to_string(range.most) + " bits a weight",
             "code.rate", "set it, or use --bits");
    if (s.code.dim != 1) fail("a scalar grid takes single weights", "code.dim", "use 1");
    if (s.code.along != Along::inputs)
        fail("grids by column lie along inputs", "code.along", "use code.along=inputs");
    if (s.code.scope != CodebookScope::universal)
        fail("grids by column are fixed", "code.scope", "use code.scope=universal");
    if (s.block > 1) fail("grids take one column at a time", "feedback.block", "use 0 or 1");
    if (s.code.outliers > 0)
        fail("columns have their own bits and need no code for outliers", "code.outliers", "use 0");
}

}  // namespace

void check_code_family(const Settings& s) {
    switch (s.code.kind) {
        case CodeKind::trellis: check_trellis(s); break;
        case CodeKind::e8p: check_e8p(s); break;
        case CodeKind::bitmod: check_bitmod(s); break;
        case CodeKind::grid: check_grid(s); break;
        case CodeKind::residual: break;
    }
}

}  // namespace vq
