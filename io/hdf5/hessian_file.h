// SPDX-License-Identifier: Apache-2.0
// Hessian files (*.h5): the second-moment sums of every group of linear layers, for reuse and
// merging.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/matrix.h"
#include "base/progress.h"

namespace vq {

/// One group as stored: sum x x^T (n, n), sum x (n), count; `names` are the tensors that read this
/// input. Mirrors vq::HessianSum without depending on it.
struct HessianRecord {
    std::vector<std::string> names;
    MatrixD xxt;
    VectorD x;
    std::int64_t count = 0;
};

/// Root attributes: model hash, provenance.
struct HessianFileMeta {
    std::string model_hash;
    Json provenance;
};

/// Writes record after record (lower triangle as fp64, packed, checksummed); finish() renames the
/// temporary file into place. Without finish() nothing is left behind.
class HessianWriter {
public:
    HessianWriter(std::string path, const HessianFileMeta& meta);
    ~HessianWriter();
    HessianWriter(const HessianWriter&) = delete;
    HessianWriter& operator=(const HessianWriter&) = delete;
    void write(const HessianRecord& record);
    void finish();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

class HessianReader {
public:
    explicit HessianReader(const std::string& path);
    ~HessianReader();
    HessianReader(const HessianReader&) = delete;
    HessianReader& operator=(const HessianReader&) = delete;
    const HessianFileMeta& meta() const;
    Index size() const;                 ///< number of records
    HessianRecord read(Index i) const;  ///< record i, in the order in which it was written
    bool has(const std::string& tensor) const;
    HessianRecord find(const std::string& tensor) const;  ///< the record that names this tensor

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// What a file of Hessians holds.
struct HessianTotals {
    Index groups = 0;         ///< records
    std::int64_t tokens = 0;  ///< of the record that saw most
};

/// Adds the sums of collections of the same model, record by record (exact: fp64 addition of the
/// sums, integer addition of the counts), into `out`, which may be one of the `inputs`, of which
/// there is at least one. The inputs' provenance becomes the list "merged" of `provenance`. Throws
/// Error that names the record when the files differ in their records or widths, and when they are
/// of two models.
HessianTotals merge_hessian_files(const std::vector<std::string>& inputs, const std::string& out,
                                  Json provenance, const Progress& progress);

}  // namespace vq
