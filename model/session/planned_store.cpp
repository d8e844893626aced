// SPDX-License-Identifier: Apache-2.0
#include "model/session/planned_store.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "io/families/linear_groups.h"
#include "model/session/shared_codebooks.h"
#include "vq/layer/planned_tensor.h"
#include "vq/tensor/code_families.h"

namespace vq {

namespace {

/// Names and outlines of the codebooks of a group of tensors, as SharedCodebooks makes them.
SharedCodes planned_codes(const ModelPlan& plan, const SharingGroup& group,
                          const std::map<std::string, Array>& taken) {
    const TensorPlan& first = plan.tensors[group.tensors.front()];
    const CodeSettings& code = first.settings.code;
    const CodeFamily& family = family_of(code);
    if (code.scope == CodebookScope::universal) return family.universal(code);
    const std::string label = shared_label(first, taken);
    const CodePlace place = {.rows = first.shape.rows, .rate = {}};
    SharedCodes codes = {{label, family.make(code, place)}};
    if (code.outliers > 0)
        codes.push_back({label + outliers_suffix, family.make(outlier_settings(code), place)});
    return codes;
}

/// Of every tensor; those of one group have the same.
std::vector<std::uint64_t> planned_seeds(const ModelPlan& plan, std::uint64_t seed) {
    std::map<std::pair<Index, Index>, std::uint64_t> groups;
    std::vector<std::uint64_t> seeds;
    for (const TensorPlan& t : plan.tensors) {
        const std::uint64_t own = seed_of(seed, t.name);
        const bool table = t.role == PlanRole::embedding;
        seeds.push_back(table ? own : groups.try_emplace({t.layer, t.group}, own).first->second);
    }
    return seeds;
}

}  // namespace

PlannedStore planned_store(const WeightSource& source, const ModelPlan& plan, StoreMeta meta) {
    PlannedStore out;
    out.meta = std::move(meta);
    std::vector<std::vector<std::string>> shared(plan.tensors.size());
    for (const SharingGroup& group : sharing_groups(plan)) {
        const SharedCodes codes = planned_codes(plan, group, out.meta.shared);
        for (const SharedCode& code : codes) {
            out.meta.shared[code.name] = store_codebook(*code.code);
            for (const std::size_t i : group.tensors) shared[i].push_back(code.name);
        }
    }
    const std::vector<std::uint64_t> seeds = planned_seeds(plan, out.meta.seed);
    std::map<std::string, std::size_t> coded;
    for (std::size_t i = 0; i < plan.tensors.size(); ++i) coded[plan.tensors[i].name] = i;
    const std::vector<std::string> tables = table_names(source.config());
    for (const std::string& name : source.names()) {
        if (const auto found = coded.find(name); found != coded.end()) {
            const std::size_t i = found->second;
            const TensorPlan& t = plan.tensors[i];
            out.tensors.push_back(planned_tensor(t.name, t.shape, t.settings, shared[i], seeds[i]));
            if (t.role == PlanRole::embedding) out.tensors.back().spec["role"] = "embedding";
            continue;
        }
        const bool table = std::find(tables.begin(), tables.end(), name) != tables.end();
        StoredTensor dense =
            outline_dense(name, source.shape(name), table && fits_half(source.read(name)));
        if (is_foreign(source.config(), name)) keep_dims(dense, source.dims(name));
        out.tensors.push_back(std::move(dense));
    }
    return out;
}

}  // namespace vq
