// SPDX-License-Identifier: Apache-2.0
// The quantized store (*.vq.h5): one HDF5 file, readable with h5py alone (docs/store-format.md).
// This unit knows files, not algorithms: a tensor is a set of attributes and named arrays.
//
// HDF5 files do not survive a killed writer. So every finished tensor goes to a part file of its
// own in `<path>.parts/` (write, fsync, rename), and StoreWriter::finish() gathers all parts into
// one file (write, fsync, rename) and removes the folder. A resumed run finds its parts again by
// fingerprint.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/matrix.h"
#include "base/progress.h"
#include "io/checkpoints/weight_source.h"
#include "io/files/array.h"

namespace vq {

struct StoredTensor {
    std::string name;
    TensorShape shape;
    Json spec;                   ///< how to decode it; {"code": "dense"} for tensors kept dense
    double bits_per_weight = 0;  ///< all bits of `arrays`, shared codebooks' share included
    double rel_mse = 0;          ///< |W - What|^2 / |W|^2
    double rel_proxy = 0;        ///< tr(E H E^T) / tr(W H W^T)
    double seconds = 0;          ///< time it took to quantize
    std::map<std::string, Array> arrays;  ///< "codes", "codebooks", "row_scale", ...
    /// Bytes of all arrays, as their types and shapes have it.
    std::int64_t bytes() const;
};

/// What the root of the store holds besides the tensors.
struct StoreMeta {
    std::string fingerprint;  ///< hash of model content, calibration content, every setting, seed
    std::uint64_t seed = 0;
    std::string tool_version;
    std::string config_json;   ///< config.json verbatim
    TokenizerFiles tokenizer;  ///< under /tokenizer
    Json provenance;           ///< command, calibration hash and tokens, versions
    std::map<std::string, Array>
        shared;  ///< codebooks of scope layer or model, by name, /codebooks
};

class StoreWriter {
public:
    /// Prepares `<path>.parts/`. With resume, parts whose fingerprint equals `fingerprint` are kept
    /// and found by has(); others make it throw Error that names the first stale one. Without
    /// resume, parts that are there make it throw Error (use --resume, or remove the folder).
    /// Checks early that the folder of `path` exists and can be written.
    StoreWriter(std::string path, std::string fingerprint, bool resume);
    ~StoreWriter();
    StoreWriter(const StoreWriter&) = delete;
    StoreWriter& operator=(const StoreWriter&) = delete;
    /// A finished tensor of an earlier run is there, whole (checksums verified).
    bool has(const std::string& name) const;
    StoredTensor read_part(const std::string& name) const;
    /// Writes one finished tensor; atomic. Throws Error on a full disk.
    void write_part(const StoredTensor& tensor);
    /// Gathers the named parts, in this order, with `meta` into `path`, atomically, then removes
    /// the parts. The bytes of the file depend only on the content (no times inside).
    void finish(const StoreMeta& meta, const std::vector<std::string>& order);
    /// Removes the parts folder if it is empty (or unconditionally with `all`).
    void discard(bool all);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// Bytes of the store that StoreWriter::finish() would make of these tensors, every byte of HDF5's
/// own counted. Arrays of `tensors` and of `meta` need types and shapes alone.
std::int64_t store_file_bytes(const StoreMeta& meta, const std::vector<StoredTensor>& tensors);

class StoreReader {
public:
    /// Opens and checks format and version; throws Error when it is not a vqkit store.
    explicit StoreReader(const std::string& path);
    ~StoreReader();
    StoreReader(const StoreReader&) = delete;
    StoreReader& operator=(const StoreReader&) = delete;
    const StoreMeta& meta() const;
    const std::vector<std::string>& names() const;
    bool has(const std::string& name) const;
    /// One tensor without its arrays: attributes only.
    StoredTensor info(const std::string& name) const;
    /// One tensor with its arrays, checksums verified. Thread-safe (HDF5 calls are serialised).
    StoredTensor read(const std::string& name) const;
    std::int64_t file_bytes() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// True when `path` is an HDF5 file (and so is taken for a store, not for a checkpoint).
bool is_store(const std::string& path);

}  // namespace vq
