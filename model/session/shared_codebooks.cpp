// SPDX-License-Identifier: Apache-2.0
#include "model/session/shared_codebooks.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/hash.h"
#include "vq/tensor/code_families.h"
#include "vq/tensor/stored_tensor.h"

namespace vq {

std::uint64_t seed_of(std::uint64_t seed, const std::string& name) {
    const std::string digits = hash_hex(name).substr(0, 12);
    return seed ^ std::stoull(digits, nullptr, 16);
}

std::string shared_label(const TensorPlan& first, const std::map<std::string, Array>& taken) {
    const std::string base = first.settings.code.scope == CodebookScope::model
                                 ? "model"
                                 : fmt::format("layer.{}", first.layer);
    std::string name = base;
    for (int n = 2; taken.contains(name); ++n) name = fmt::format("{}-{}", base, n);
    return name;
}

SharedCodebooks::SharedCodebooks(const WeightSource& source, const ModelPlan& plan,
                                 std::uint64_t seed)
    : source_(source),
      plan_(plan),
      seed_(seed),
      groups_(sharing_groups(plan)),
      group_of_(plan.tensors.size(), -1) {
    for (std::size_t g = 0; g < groups_.size(); ++g)
        for (const std::size_t i : groups_[g].tensors) group_of_[i] = static_cast<int>(g);
}

const SharedCodes& SharedCodebooks::of(std::size_t i, const Progress& progress) {
    std::erase_if(codes_, [&](const auto& entry) {
        return groups_[static_cast<std::size_t>(entry.first)].tensors.back() < i;
    });
    const int g = group_of_.at(i);
    if (g < 0) return none_;
    const auto found = codes_.find(g);
    if (found != codes_.end()) return found->second;
    SharedCodes made = make(groups_[static_cast<std::size_t>(g)], progress);
    for (const SharedCode& c : made) arrays_[c.name] = store_codebook(*c.code);
    return codes_[g] = std::move(made);
}

double SharedCodebooks::share_of(std::size_t i) const {
    const int g = group_of_.at(i);
    return g < 0 ? 0.0 : groups_[static_cast<std::size_t>(g)].share();
}

SharedCodes SharedCodebooks::make(const SharingGroup& group, const Progress& progress) {
    const TensorPlan& first = plan_.tensors[group.tensors.front()];
    const CodeSettings& code = first.settings.code;
    if (code.scope == CodebookScope::universal) return family_of(code).universal(code);
    const std::string label = shared_label(first, arrays_);
    SharedCodes codes;
    codes.push_back({label, train(group, code, progress)});
    if (code.outliers > 0)
        codes.push_back({label + outliers_suffix, train(group, outlier_settings(code), progress)});
    return codes;
}

CodePtr SharedCodebooks::train(const SharingGroup& group, const CodeSettings& code,
                               const Progress& progress) {
    const Index each =
        std::max<Index>(1, code.kmeans.samples / static_cast<Index>(group.tensors.size()));
    std::vector<Matrix> parts;
    Index rows = 0;
    for (const std::size_t i : group.tensors) {
        progress.check();
        const TensorPlan& tensor = plan_.tensors[i];
        parts.push_back(sample_vectors(source_.read(tensor.name), tensor.settings, code.dim, each,
                                       seed_of(seed_, tensor.name)));
        rows += parts.back().rows();
    }
    Matrix all(rows, code.dim);
    Index at = 0;
    for (const Matrix& part : parts) {
        all.middleRows(at, part.rows()) = part;
        at += part.rows();
    }
    return family_of(code).train({.x = all}, code, seed_, progress);
}

}  // namespace vq
