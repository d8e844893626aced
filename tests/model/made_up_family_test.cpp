// SPDX-License-Identifier: Apache-2.0
// The runtime, calibration and generation find their tensors by what they are for, whatever a
// family calls them.
#include <gtest/gtest.h>

#include "model/calibration.h"
#include "model/language_model.h"
#include "tests/io/families/made_up_family.h"
#include "tests/model/reference.h"
#include "tests/model/tiny_model.h"

namespace vq {
namespace {

test::MemorySource weaver_model() {
    return test::random_model(parse_hf_config(test::weaver_config, "weaver", test::weaver), 81);
}

TEST(MadeUpFamily, RunsAndMatchesTheReference) {
    const test::MemorySource source = weaver_model();
    const auto tokens = test::random_tokens(50, source.model.vocab_size, 82);
    const LanguageModel model(source, Precision::fp32, 50, {});
    Matrix hidden(50, source.model.hidden_size);
    KvCache cache(source.model, 50);
    model.forward(tokens, &cache, hidden.data());
    const MatrixD want = test::reference_forward(source, tokens).logits;
    for (Index t = 0; t < 50; ++t) {
        const Vector logits = model.logits(hidden.row(t).data());
        EXPECT_LT((logits.cast<double>() - want.row(t).transpose()).cwiseAbs().maxCoeff(), 2e-4);
    }
}

TEST(MadeUpFamily, IsCalibratedByItsOwnNames) {
    const test::MemorySource source = weaver_model();
    const auto tokens = test::random_tokens(50, source.model.vocab_size, 83);
    const auto want = test::reference_forward(source, tokens).group_input;
    CalibrationWalk walk(source, {tokens}, {}, {});
    for (Index l = 0; l < walk.layers(); ++l) {
        const auto groups = linear_groups(source.model, l);
        for (std::size_t g = 0; g < groups.size(); ++g) {
            HessianSum sum(groups[g].cols);
            walk.collect(l, static_cast<Index>(g), sum);
            const MatrixD& x = want[static_cast<std::size_t>(l)][g];
            EXPECT_LT((sum.xxt - x.transpose() * x).norm(), 2e-5 * sum.xxt.norm());
        }
        walk.finish(l);
    }
}

}  // namespace
}  // namespace vq
