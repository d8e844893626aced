// SPDX-License-Identifier: Apache-2.0
#include "model/session/collect_hessians.h"

#include <fmt/format.h>

#include "base/cancel.h"
#include "base/error.h"
#include "io/families/linear_groups.h"
#include "model/calibration.h"

namespace vq {

HessianTotals collect_hessians(const WeightSource& source, const std::string& model,
                               const CalibrationText& text, Precision precision,
                               const std::string& out, Json provenance, const Progress& progress) {
    const CancelScope stop(progress.cancelled);
    const std::string origin = source.origin_hash();
    if (origin.empty())
        throw Error("does not say which checkpoint it was made from", model,
                    "collect from that checkpoint, or from the store");
    CalibrationWalk walk(source, text.windows, {.precision = precision}, progress);
    provenance["calibration_hash"] = text.hash;
    provenance["calibration_tokens"] = text.tokens;
    HessianWriter writer(out, {origin, std::move(provenance)});
    HessianTotals totals;
    for (Index layer = 0; layer < walk.layers(); ++layer) {
        const std::vector<LinearGroup> here = linear_groups(source.config(), layer);
        const auto total = static_cast<double>(walk.layers()) * static_cast<double>(here.size());
        for (std::size_t i = 0; i < here.size(); ++i) {
            progress.check();
            progress.report(static_cast<double>(totals.groups), total,
                            fmt::format("block {}: {}", layer, here[i].names.front()));
            HessianSum sum(here[i].cols);
            walk.collect(layer, static_cast<Index>(i), sum);
            writer.write({here[i].names, std::move(sum.xxt), std::move(sum.x), sum.count});
            ++totals.groups;
        }
        walk.finish(layer);
    }
    writer.finish();
    totals.tokens = walk.tokens();
    return totals;
}

}  // namespace vq
