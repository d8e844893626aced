// SPDX-License-Identifier: Apache-2.0
// A small wrapper over the HDF5 1.10 C API: ids close themselves, HDF5's error stack becomes
// vq::Error, and nothing that a file says about itself is believed before it is checked.
//
// HDF5 is not thread-safe: every function here holds one process-wide lock while it runs. Its
// cleaning up at exit is turned off (H5dont_atexit), since it prints when a damaged file has
// confused it. Files are written so that their bytes depend on their content alone: no times, fixed
// format bounds (HDF5 1.10), objects in the order of the calls. Every dataset is chunked and
// carries a fletcher32 checksum a chunk, which reading verifies. Reading follows no soft or
// external links, no external raw data and no virtual datasets, so that a file cannot point to
// another one.
#pragma once

#include <hdf5.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "io/files/array.h"

namespace vq::h5 {

/// Holds the process-wide HDF5 lock (recursive) and keeps HDF5 from printing its errors.
class Lock {
public:
    Lock();
    ~Lock();
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

private:
    std::unique_lock<std::recursive_mutex> held_;
    H5E_auto2_t print_ = nullptr;
    void* print_data_ = nullptr;
};

/// An HDF5 id that closes itself.
class Id {
public:
    using Closer = herr_t (*)(hid_t);
    Id() = default;
    Id(hid_t id, Closer closer) : id_(id), closer_(closer) {}
    Id(Id&& other) noexcept : id_(std::exchange(other.id_, -1)), closer_(other.closer_) {}
    Id& operator=(Id&& other) noexcept {
        std::swap(id_, other.id_);
        std::swap(closer_, other.closer_);
        return *this;
    }
    ~Id() { reset(); }
    void reset();
    hid_t release() { return std::exchange(id_, -1); }
    hid_t get() const { return id_; }
    bool valid() const { return id_ >= 0; }

private:
    hid_t id_ = -1;
    Closer closer_ = nullptr;
};

struct FileState;  // path, size and first write error of an open file

/// Type and shape of a dataset.
struct DatasetInfo {
    ElementType type = ElementType::u8;
    std::vector<std::int64_t> shape;
    bool checksummed = false;
    std::int64_t bytes() const;
};

/// What an object takes of its file.
struct ObjectSpace {
    bool dataset = false;      ///< else a group
    std::int64_t header = 0;   ///< attributes among it
    std::int64_t indexes = 0;  ///< of links or of chunks
    std::int64_t bytes = 0;    ///< of a dataset's elements
    std::int64_t stored = 0;   ///< what they take, checksums and padding of chunks among it
    std::int64_t checksums = 0;
};

/// A group of an open file: attributes, datasets, other groups. Names are single links ("codes"),
/// never paths. All functions throw Error that names the file and the object.
class Group {
public:
    // Children.
    Group group(const std::string& name) const;
    Group create_group(const std::string& name);
    bool has(const std::string& name) const;
    /// Names of all links, in the order in which they were made.
    std::vector<std::string> children() const;

    // Attributes: scalars of fixed size.
    void set_text(const std::string& name,
                  std::string_view value);  ///< UTF-8, at most 60,000 bytes
    void set_i64(const std::string& name, std::int64_t value);
    void set_u64(const std::string& name, std::uint64_t value);
    void set_f64(const std::string& name, double value);
    bool has_attribute(const std::string& name) const;
    std::string get_text(const std::string& name) const;
    std::int64_t get_i64(const std::string& name) const;
    std::uint64_t get_u64(const std::string& name) const;
    double get_f64(const std::string& name) const;
    Json get_json(const std::string& name) const;  ///< a text attribute, parsed

    // Datasets.
    void write(const std::string& name, ElementType type, const std::vector<std::int64_t>& shape,
               const void* data);
    void write(const std::string& name, const Array& array);
    DatasetInfo info(const std::string& name) const;
    Array read(const std::string& name) const;
    /// Reads a dataset whose type and shape must be these.
    void read_into(const std::string& name, ElementType type,
                   const std::vector<std::int64_t>& shape, void* data) const;
    /// Text as a dataset: one string of fixed length, shape {1}. At most 64 MiB.
    void write_text(const std::string& name, std::string_view text);
    std::string read_text(const std::string& name) const;
    Json read_json(const std::string& name) const;

    /// Of the group, or of one of its children.
    ObjectSpace space() const;
    ObjectSpace space(const std::string& name) const;

    /// "model.vq.h5: /tensors/lm_head.weight", for messages.
    const std::string& where() const { return where_; }
    std::string where(const std::string& child) const;
    std::int64_t file_bytes() const;

private:
    friend class File;
    Group(std::shared_ptr<FileState> state, Id id, std::string where)
        : state_(std::move(state)), id_(std::move(id)), where_(std::move(where)) {}
    Id open_dataset(const std::string& name) const;

    std::shared_ptr<FileState> state_;
    Id id_;
    std::string where_;
};

class File {
public:
    /// A new file; it must not exist. Throws Error with the reason of the operating system.
    static File create(const std::string& path);
    /// Bytes of the file that `write` would make, of which nothing reaches a disk. Arrays need no
    /// bytes there, only types and shapes.
    static std::int64_t measure(const std::function<void(Group& root)>& write);
    /// An existing file, read only.
    static File open(const std::string& path);
    File(File&&) noexcept = default;
    File& operator=(File&&) = delete;
    ~File();

    Group root() const;
    std::int64_t superblock_bytes() const;
    /// Flushes to the disk and closes. Throws Error when any byte did not get there (disk full).
    /// Groups of the file must not be used any more.
    void close();

private:
    File(std::shared_ptr<FileState> state, Id id);
    std::shared_ptr<FileState> state_;
    Id id_;
};

}  // namespace vq::h5
