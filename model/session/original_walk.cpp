// SPDX-License-Identifier: Apache-2.0
#include "model/session/original_walk.h"

#include "base/error.h"

namespace vq {

const HessianSum* KeptSums::find(Index layer, Index group) const {
    const auto found = sums_.find({layer, group});
    return found == sums_.end() ? nullptr : &found->second;
}

void KeptSums::keep(Index layer, Index group, const HessianSum& sum) {
    const auto bytes = static_cast<std::int64_t>(sizeof(double)) * (sum.xxt.size() + sum.x.size());
    if (bytes > left_) return;
    left_ -= bytes;
    sums_.insert_or_assign({layer, group}, sum);
}

void OriginalWalk::collect(Index layer, Index group, HessianSum& sum, DriftSum* /*drift*/) {
    if (const HessianSum* kept = kept_.find(layer, group)) {
        sum = *kept;
        return;
    }
    if (walk_ == nullptr) walk_ = start_();
    // Blocks of which everything was kept were passed over.
    while (layer_ < layer) walk_->finish(layer_++);
    walk_->collect(layer, group, sum, nullptr);
    kept_.keep(layer, group, sum);
}

void OriginalWalk::replace(const std::string& /*name*/, Matrix /*weight*/) {
    VQ_ASSERT(false && "the original layers stay as they are");
}

void OriginalWalk::finish(Index layer) {
    if (walk_ == nullptr || layer_ != layer) return;
    walk_->finish(layer);
    ++layer_;
}

}  // namespace vq
