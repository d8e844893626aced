// SPDX-License-Identifier: Apache-2.0
#include "model/word_table.h"

#include <algorithm>

#include "model/ops/packed_model.h"

namespace vq {

WordTable::WordTable(Matrix rows) : rows_(std::move(rows)), width_(rows_.cols()) {}

WordTable::WordTable(std::shared_ptr<const PackedWeights> packed, const std::string& name)
    : packed_(std::move(packed)),
      tensor_(packed_->find(name)),
      width_(packed_->file().info(tensor_).cols) {}

void WordTable::read(std::span<const TokenId> tokens, float* out) const {
    if (packed_ == nullptr) {
        for (const TokenId token : tokens) out = std::copy_n(rows_.row(token).data(), width_, out);
        return;
    }
    vqd::Decoder decoder(packed_->file());
    for (const TokenId token : tokens) {
        decoder.dequantize_rows(tensor_, token, 1, out);
        out += width_;
    }
}

}  // namespace vq
