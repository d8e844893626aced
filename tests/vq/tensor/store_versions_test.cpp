// SPDX-License-Identifier: Apache-2.0
// Stores of earlier format versions stay readable.
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "io/hdf5/store.h"
#include "io/hdf5/store_verify.h"
#include "vq/tensor/store_totals.h"
#include "vq/tensor/stored_model.h"
#include "vq/tensor/stored_tensor.h"

namespace vq {
namespace {

/// A one-block Llama by gptq, written by the version before embeddings were coded.
const std::string version_1 = std::string(VQKIT_TEST_DATA) + "/tensor/data/version1.vq.h5";

TEST(StoreVersions, AStoreOfVersion1IsWholeAndDecodesAsItDidThen) {
    EXPECT_TRUE(verify_store(version_1, {}).problems.empty());
    EXPECT_TRUE(verify_codes(version_1, {}).empty());
    const auto model = open_stored_model(version_1);
    const struct {
        const char* name;
        double sum;
        double squares;
    } tensors[] = {
        {"model.embed_tokens.weight", -40.55837005376816, 632.0364919769582},
        {"model.layers.0.self_attn.q_proj.weight", 2.2093065977096558, 31.128947229002705},
        {"model.layers.0.mlp.down_proj.weight", -1.540049970149994, 30.87890914109543},
        {"model.norm.weight", 32.5972900390625, 60.404968813061714},
    };
    for (const auto& t : tensors) {
        const MatrixD w = model->read(t.name).cast<double>();
        // fp32 exports of that version, summed in fp64; column scales are divided out in fp32.
        EXPECT_NEAR(w.sum(), t.sum, 1e-5 * w.cwiseAbs().sum()) << t.name;
        EXPECT_NEAR(w.squaredNorm(), t.squares, 1e-5 * t.squares) << t.name;
    }
}

TEST(StoreVersions, EmbeddingsOfVersion1AreDense) {
    const StoreReader store(version_1);
    EXPECT_TRUE(is_dense(store.info("model.embed_tokens.weight")));
    const StoreTotals totals = totals_of(store);
    EXPECT_EQ(totals.embedding_weights, 0);
    EXPECT_EQ(totals.dense_weights, 640 * 32 + 3 * 32);
    EXPECT_EQ(totals.quantized_weights, 9216);
    EXPECT_NEAR(totals.bits_per_weight, 3.9028, 1e-4);
}

}  // namespace
}  // namespace vq
