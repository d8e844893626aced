// SPDX-License-Identifier: Apache-2.0
#include "model/session/expert_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"

namespace vq {

ExpertReport expert_report(Index layer, std::vector<Index> tokens, Index enough) {
    VQ_ASSERT(!tokens.empty());
    ExpertReport out;
    out.layer = layer;
    out.experts = static_cast<Index>(tokens.size());
    out.enough = enough;
    for (std::size_t e = 0; e < tokens.size(); ++e)
        if (tokens[e] < enough) out.under.push_back(static_cast<Index>(e));
    std::sort(tokens.begin(), tokens.end());
    out.least = tokens.front();
    out.median = tokens[tokens.size() / 2];
    out.most = tokens.back();
    return out;
}

std::string expert_line(const ExpertReport& r) {
    std::string line = fmt::format("layer {}: experts saw {} to {} tokens, {} in the middle",
                                   r.layer, r.least, r.most, r.median);
    if (r.under.empty()) return line;
    line += fmt::format("; fewer than {} (their Hessians lean on all tokens): ", r.enough);
    if (static_cast<Index>(r.under.size()) == r.experts) return line + "all";
    return line + fmt::format("{}", fmt::join(r.under, ", "));
}

}  // namespace vq
