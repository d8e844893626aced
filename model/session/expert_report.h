// SPDX-License-Identifier: Apache-2.0
// How well the experts of a block were seen by the calibration text.
#pragma once

#include <string>
#include <vector>

#include "base/matrix.h"

namespace vq {

struct ExpertReport {
    Index layer = 0;
    Index experts = 0;
    Index least = 0;  ///< tokens of the expert that saw the fewest
    Index median = 0;
    Index most = 0;
    Index enough = 0;          ///< inputs of the widest of an expert's layers
    std::vector<Index> under;  ///< experts that saw fewer tokens than that
};

/// `tokens`: of each expert, at least one.
ExpertReport expert_report(Index layer, std::vector<Index> tokens, Index enough);
/// One line for the log.
std::string expert_line(const ExpertReport& report);

}  // namespace vq
