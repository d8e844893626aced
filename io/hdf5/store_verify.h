// SPDX-License-Identifier: Apache-2.0
// Verification of a store: reads every byte and says what is wrong, tensor by tensor.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/progress.h"
#include "io/hdf5/store.h"

namespace vq {

struct StoreProblem {
    std::string tensor;  ///< empty when the file as a whole is meant
    std::string what;    ///< one line, with the place in the file
};

struct VerifyReport {
    std::vector<StoreProblem> problems;  ///< empty: the store is sound
    std::int64_t tensors = 0;            ///< tensors looked at
    std::int64_t arrays = 0;             ///< datasets of tensors whose checksums were verified
    std::int64_t array_bytes = 0;        ///< their bytes
    std::int64_t file_bytes = 0;
};

/// Looks deeper into one tensor, for example at the range of its codes; throws Error to report a
/// problem. The checks here stay at the level of files: this unit knows no code.
using TensorCheck = std::function<void(const StoreMeta& meta, const StoredTensor& tensor)>;

/// Checks the checksums of all datasets, that attributes and specs are there and parse, that
/// numbers are finite and shapes possible, and that the stated bits per weight cover the arrays.
/// Damage is reported, not thrown; throws Error when `path` cannot be opened or is not a store at
/// all.
VerifyReport verify_store(const std::string& path, const Progress& progress,
                          const TensorCheck& check = {});

}  // namespace vq
