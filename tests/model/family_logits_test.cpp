// SPDX-License-Identifier: Apache-2.0
// A tiny model of every family computes what transformers computes for it, and the same in pieces
// with a cache.
#include <gtest/gtest.h>

#include <cstring>

#include "io/checkpoints/checkpoint.h"
#include "tests/model/family_cases.h"

namespace vq::test {
namespace {

class FamilyLogits : public ::testing::TestWithParam<std::string> {
protected:
    FamilyLogits() {
        write_family_model(folder_.path(), GetParam());
        source_ = open_checkpoint(folder_.path());
    }
    const WeightSource& source() const { return *source_; }

private:
    TempFolder folder_;
    std::unique_ptr<WeightSource> source_;
};

TEST_P(FamilyLogits, AreThoseOfTransformers) {
    const Matrix logits = logits_of(source(), family_tokens());
    const std::vector<std::string> cases = family_cases();
    const auto number =
        static_cast<std::size_t>(std::find(cases.begin(), cases.end(), GetParam()) - cases.begin());
    std::vector<float> expected(static_cast<std::size_t>(logits.size()));
    const std::size_t bytes = expected.size() * sizeof(float);
    ASSERT_LE((number + 1) * bytes, family_reference().logits.size());
    std::memcpy(expected.data(), family_reference().logits.data() + number * bytes, bytes);
    for (Index i = 0; i < logits.size(); ++i)
        ASSERT_NEAR(logits.data()[i], expected[static_cast<std::size_t>(i)], 1e-4)
            << "token " << i / logits.cols() << ", word " << i % logits.cols();
}

// Windows have 8 tokens: pieces begin and end inside of them and beyond.
TEST_P(FamilyLogits, InPiecesWithACacheAreTheSame) {
    const std::vector<TokenId> tokens = family_tokens();
    const auto count = static_cast<Index>(tokens.size());
    const LanguageModel model(source(), Precision::fp32, count, {});
    const Matrix whole = logits_of(model, tokens);
    for (const Index first : {1, 9, 17}) {
        KvCache cache(model.config(), count);
        for (Index at = 0, piece = first; at < count; at += piece, piece = at % 4 == 0 ? 3 : 1) {
            piece = std::min(piece, count - at);
            const Matrix part = logits_of(
                model, std::vector<TokenId>(tokens.begin() + at, tokens.begin() + at + piece),
                &cache);
            ASSERT_LT((part - whole.middleRows(at, piece)).cwiseAbs().maxCoeff(), 1e-4)
                << "at " << at;
        }
    }
}

// Published checkpoints of Gemma 4 hold them.
TEST(UnusedTensors, KeysOfLayersThatLookAtOthersAreLeftOut) {
    const TempFolder plain;
    const TempFolder more;
    write_family_model(plain.path(), "gemma4-e");
    const std::string layer = "model.layers.3.self_attn.";
    write_family_model(more.path(), "gemma4-e",
                       {{layer + "k_proj.weight", SafetensorType::f32, {24, 32}},
                        {layer + "v_proj.weight", SafetensorType::f32, {24, 32}},
                        {layer + "k_norm.weight", SafetensorType::f32, {12}}});
    const auto source = open_checkpoint(more.path());
    EXPECT_FALSE(source->has(layer + "k_proj.weight"));
    ASSERT_FALSE(source->notes().empty());
    EXPECT_EQ(source->notes().front(),
              "3 tensors of keys and values that no layer looks at are left out");
    EXPECT_EQ(logits_of(*source, family_tokens()),
              logits_of(*open_checkpoint(plain.path()), family_tokens()));
    write_family_model(more.path(), "gemma4-e",
                       {{"model.layers.1.self_attn.extra.weight", SafetensorType::f32, {24, 32}}});
    EXPECT_THROW(open_checkpoint(more.path()), Error);
}

INSTANTIATE_TEST_SUITE_P(Families, FamilyLogits, ::testing::ValuesIn(family_cases()),
                         family_case_name);

}  // namespace
}  // namespace vq::test
