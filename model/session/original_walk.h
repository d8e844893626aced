// SPDX-License-Identifier: Apache-2.0
// OriginalWalk: the inputs of the original layers, summed once for several plans. A walk through the
// text is run only as far as sums are missing.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "io/families/model_config.h"
#include "model/layer_walk.h"

namespace vq {

/// Sums by block and group, as many as `limit` bytes hold, the first ones asked for; the others are
/// collected again by every plan.
class KeptSums {
public:
    explicit KeptSums(std::int64_t limit) : left_(limit) {}
    /// Null: not kept.
    const HessianSum* find(Index layer, Index group) const;
    void keep(Index layer, Index group, const HessianSum& sum);

private:
    std::int64_t left_;
    std::map<std::pair<Index, Index>, HessianSum> sums_;
};

class OriginalWalk final : public LayerWalk {
public:
    using Start = std::function<std::unique_ptr<LayerWalk>()>;
    /// `start` makes a walk at the beginning of the text, when it is first needed.
    OriginalWalk(Start start, KeptSums& kept) : start_(std::move(start)), kept_(kept) {}

    /// The drift stays empty: nothing has moved the inputs.
    void collect(Index layer, Index group, HessianSum& sum, DriftSum* drift) override;
    /// Not for this walk, which is through the layers as they were.
    void replace(const std::string& name, Matrix weight) override;
    void finish(Index layer) override;
    /// Empty where all sums were kept.
    std::vector<Index> expert_tokens() const override {
        return walk_ == nullptr ? std::vector<Index>{} : walk_->expert_tokens();
    }

private:
    Start start_;
    KeptSums& kept_;
    std::unique_ptr<LayerWalk> walk_;
    Index layer_ = 0;  ///< block that `walk_` is in
};

}  // namespace vq
