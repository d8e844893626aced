// SPDX-License-Identifier: Apache-2.0
// Attributes and datasets of h5::Group.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "io/hdf5/h5.h"
#include "io/hdf5/h5_internal.h"

namespace vq::h5 {

namespace {

constexpr std::size_t kMaxAttributeText = 60000;  // HDF5 keeps attributes up to 64 KiB
constexpr std::int64_t kMaxText = std::int64_t{64} << 20;
constexpr std::int64_t kChunkBytes = std::int64_t{1} << 20;  // of what we write
constexpr std::int64_t kMaxChunkBytes = kMaxText;            // of what we read
constexpr int kMaxRank = 8;

using Shape = std::vector<std::int64_t>;

/// False when the product does not fit 63 bits.
bool product(const Shape& shape, std::int64_t unit, std::int64_t& out) {
    out = unit;
    for (const std::int64_t extent : shape)
        if (extent < 0 || __builtin_mul_overflow(out, extent, &out)) return false;
    return true;
}

std::vector<hsize_t> extents(const Shape& shape) {
    return {shape.begin(), shape.end()};
}

/// Chunks of at most kChunkBytes, whole trailing dimensions first, balanced so that the last chunk
/// of a dimension is nearly full: what pads it is wasted.
std::vector<hsize_t> chunk_shape(const Shape& shape, std::int64_t unit) {
    std::vector<hsize_t> chunk(shape.size());
    std::int64_t inner = unit;
    for (std::size_t d = shape.size(); d-- > 0;) {
        const std::int64_t most = std::clamp<std::int64_t>(kChunkBytes / inner, 1, shape[d]);
        const std::int64_t pieces = (shape[d] + most - 1) / most;
        const std::int64_t extent = (shape[d] + pieces - 1) / pieces;
        chunk[d] = static_cast<hsize_t>(extent);
        inner *= extent;
    }
    return chunk;
}

/// What a dataset says of its storage, found to be whole and inside the file.
struct Storage {
    Shape shape;
    std::int64_t bytes = 0;
    bool checksummed = false;
};

/// Checks a dataset whose elements take `unit` bytes: rank and extents, layout, filters, and that
/// all its bytes are really stored, so that what is allocated for it is never more than the file's
/// size.
Storage check_storage(const Id& dataset, std::int64_t unit, const FileState& state,
                      const std::string& where) {
    const Id space = checked(H5Dget_space(dataset.get()), H5Sclose, state, "cannot be read", where);
    const int rank = H5Sget_simple_extent_ndims(space.get());
    if (H5Sget_simple_extent_type(space.get()) != H5S_SIMPLE || rank < 1 || rank > kMaxRank)
        throw damaged("is not an array of 1 to 8 dimensions", where);
    std::vector<hsize_t> dims(static_cast<std::size_t>(rank));
    if (H5Sget_simple_extent_dims(space.get(), dims.data(), nullptr) != rank)
        throw failure(state, "cannot be read", where);

    Storage out;
    out.shape.assign(dims.begin(), dims.end());
    if (!product(out.shape, unit, out.bytes) || out.bytes > state.bytes)
        throw damaged("claims more elements than the file holds", where);

    const Id options =
        checked(H5Dget_create_plist(dataset.get()), H5Pclose, state, "cannot be read", where);
    const H5D_layout_t layout = H5Pget_layout(options.get());
    if (H5Pget_external_count(options.get()) != 0 ||
        (layout != H5D_CHUNKED && layout != H5D_CONTIGUOUS && layout != H5D_COMPACT))
        throw damaged("keeps its data in another file", where);
    const int filters = H5Pget_nfilters(options.get());
    for (int i = 0; i < filters; ++i) {
        unsigned flags = 0;
        unsigned config = 0;
        std::size_t values = 0;
        const H5Z_filter_t filter = H5Pget_filter2(options.get(), static_cast<unsigned>(i), &flags,
                                                   &values, nullptr, 0, nullptr, &config);
        if (filter != H5Z_FILTER_FLETCHER32)
            throw damaged("uses a filter other than fletcher32", where);
        out.checksummed = true;
    }
    std::int64_t stored = out.bytes;
    if (layout == H5D_CHUNKED) {
        std::vector<hsize_t> chunk(dims.size());
        if (H5Pget_chunk(options.get(), rank, chunk.data()) != rank)
            throw failure(state, "cannot be read", where);
        const Shape chunk_extents(chunk.begin(), chunk.end());
        std::int64_t chunk_bytes = 0;
        std::int64_t chunks = 1;
        for (std::size_t d = 0; d < dims.size(); ++d) {
            if (chunk[d] == 0) throw damaged("has empty chunks", where);
            // At most one chunk an element, and those fit; no overflow.
            chunks *= static_cast<std::int64_t>(dims[d] / chunk[d] + (dims[d] % chunk[d] != 0));
        }
        if (!product(chunk_extents, unit, chunk_bytes) || chunk_bytes > kMaxChunkBytes)
            throw damaged("has too large chunks", where);
        if (__builtin_mul_overflow(chunks, chunk_bytes + filters * checksum_bytes, &stored))
            throw damaged("claims more chunks than the file holds", where);
    }
    if (stored > state.bytes || H5Dget_storage_size(dataset.get()) != static_cast<hsize_t>(stored))
        throw damaged("is not stored whole", where);
    return out;
}

/// Gives every chunk of a dataset its room in the file, and nothing else.
bool measure_chunks(const Id& dataset, const std::vector<hsize_t>& dims,
                    const std::vector<hsize_t>& chunk, std::int64_t unit) {
    auto elements = static_cast<std::size_t>(unit);
    for (const hsize_t extent : chunk) elements *= extent;
    const std::size_t bytes = elements + static_cast<std::size_t>(checksum_bytes);
    const std::unique_ptr<void, decltype(&std::free)> unread(std::calloc(bytes, 1), std::free);
    std::vector<hsize_t> at(dims.size(), 0);
    for (;;) {
        if (H5Dwrite_chunk(dataset.get(), H5P_DEFAULT, 0, at.data(), bytes, unread.get()) < 0)
            return false;
        std::size_t d = dims.size();
        while (d > 0 && (at[d - 1] += chunk[d - 1]) >= dims[d - 1]) at[--d] = 0;
        if (d == 0) return true;
    }
}

/// Creates a dataset, chunked and checksummed unless it is empty, and writes it. `data` null: the
/// file is only measured.
void write_dataset(hid_t group, const std::string& name, const Id& type, const Shape& shape,
                   std::int64_t unit, const void* data, const FileState& state,
                   const std::string& where) {
    const char* what = "cannot write the dataset";
    const std::vector<hsize_t> dims = extents(shape);
    const auto rank = static_cast<int>(dims.size());
    const Id space =
        checked(H5Screate_simple(rank, dims.data(), nullptr), H5Sclose, state, what, where);
    const Id options = checked(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, state, what, where);
    bool good = H5Pset_obj_track_times(options.get(), false) >= 0;
    const bool empty = std::find(shape.begin(), shape.end(), 0) != shape.end();
    std::vector<hsize_t> chunk;
    if (!empty) {  // HDF5 has no empty chunks
        chunk = chunk_shape(shape, unit);
        good = good && H5Pset_chunk(options.get(), rank, chunk.data()) >= 0 &&
               H5Pset_fletcher32(options.get()) >= 0;
    }
    if (!good) throw failure(state, what, where);
    Id dataset = checked(H5Dcreate2(group, name.c_str(), type.get(), space.get(), H5P_DEFAULT,
                                    options.get(), H5P_DEFAULT),
                         H5Dclose, state, what, where);
    if (!empty) {
        good = data == nullptr
                   ? measure_chunks(dataset, dims, chunk, unit)
                   : H5Dwrite(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0;
        if (!good) throw failure(state, what, where);
    }
    if (H5Dclose(dataset.release()) < 0 || state.driver.error_number != 0)
        throw failure(state, what, where);
}

void write_attribute(hid_t group, const std::string& name, const Id& type, const void* value,
                     const FileState& state, const std::string& where) {
    const char* what = "cannot write the attribute";
    const Id space = checked(H5Screate(H5S_SCALAR), H5Sclose, state, what, where);
    const Id attribute =
        checked(H5Acreate2(group, name.c_str(), type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT),
                H5Aclose, state, what, where);
    if (H5Awrite(attribute.get(), type.get(), value) < 0) throw failure(state, what, where);
}

Id open_attribute(hid_t group, const std::string& name, const FileState& state,
                  const std::string& where) {
    if (H5Aexists(group, name.c_str()) <= 0) throw damaged("missing attribute", where);
    Id attribute = checked(H5Aopen(group, name.c_str(), H5P_DEFAULT), H5Aclose, state,
                           "cannot be read", where);
    const Id space =
        checked(H5Aget_space(attribute.get()), H5Sclose, state, "cannot be read", where);
    if (H5Sget_simple_extent_type(space.get()) != H5S_SCALAR)
        throw damaged("is not a single value", where);
    return attribute;
}

/// Reads a scalar attribute whose stored type must be `standard`.
void read_number(hid_t group, const std::string& name, hid_t standard, void* value,
                 const FileState& state, const std::string& where) {
    const Id attribute = open_attribute(group, name, state, where);
    const Id type = checked(H5Aget_type(attribute.get()), H5Tclose, state, "cannot be read", where);
    if (H5Tequal(type.get(), standard) <= 0) throw damaged("has the wrong type", where);
    if (H5Aread(attribute.get(), standard, value) < 0)
        throw failure(state, "cannot be read", where);
}

/// Bytes of a string type of fixed length, at most `limit`.
std::size_t text_bytes(const Id& type, std::int64_t limit, const std::string& where) {
    const std::size_t bytes = H5Tget_size(type.get());
    if (H5Tget_class(type.get()) != H5T_STRING || H5Tis_variable_str(type.get()) != 0)
        throw damaged("is not text of fixed length", where);
    if (bytes == 0 || bytes > static_cast<std::size_t>(limit))
        throw damaged("is too long a text", where);
    return bytes;
}

void strip_padding(std::string& text) {
    while (!text.empty() && text.back() == '\0') text.pop_back();
}

}  // namespace

// ---- attributes

void Group::set_text(const std::string& name, std::string_view value) {
    VQ_ASSERT(value.size() <= kMaxAttributeText);
    const Lock lock;
    std::string padded(value);
    padded.resize(std::max<std::size_t>(value.size(), 1));
    write_attribute(id_.get(), name, text_type(padded.size()), padded.data(), *state_, where(name));
}

void Group::set_i64(const std::string& name, std::int64_t value) {
    const Lock lock;
    write_attribute(id_.get(), name, Id(H5Tcopy(H5T_STD_I64LE), H5Tclose), &value, *state_,
                    where(name));
}

void Group::set_u64(const std::string& name, std::uint64_t value) {
    const Lock lock;
    write_attribute(id_.get(), name, file_type(ElementType::u64), &value, *state_, where(name));
}

void Group::set_f64(const std::string& name, double value) {
    const Lock lock;
    write_attribute(id_.get(), name, file_type(ElementType::f64), &value, *state_, where(name));
}

bool Group::has_attribute(const std::string& name) const {
    const Lock lock;
    return H5Aexists(id_.get(), name.c_str()) > 0;
}

std::string Group::get_text(const std::string& name) const {
    const Lock lock;
    const std::string at = where(name);
    const Id attribute = open_attribute(id_.get(), name, *state_, at);
    const Id type = checked(H5Aget_type(attribute.get()), H5Tclose, *state_, "cannot be read", at);
    std::string text(text_bytes(type, kMaxAttributeText, at), '\0');
    if (H5Aread(attribute.get(), type.get(), text.data()) < 0)
        throw failure(*state_, "cannot be read", at);
    strip_padding(text);
    return text;
}

std::int64_t Group::get_i64(const std::string& name) const {
    const Lock lock;
    std::int64_t value = 0;
    read_number(id_.get(), name, H5T_STD_I64LE, &value, *state_, where(name));
    return value;
}

std::uint64_t Group::get_u64(const std::string& name) const {
    const Lock lock;
    std::uint64_t value = 0;
    read_number(id_.get(), name, H5T_STD_U64LE, &value, *state_, where(name));
    return value;
}

double Group::get_f64(const std::string& name) const {
    const Lock lock;
    double value = 0;
    read_number(id_.get(), name, H5T_IEEE_F64LE, &value, *state_, where(name));
    return value;
}

Json Group::get_json(const std::string& name) const {
    return parse_json(get_text(name), where(name));
}

// ---- datasets

Id Group::open_dataset(const std::string& name) const {
    H5L_info_t link{};
    if (!has(name)) throw damaged("missing", where(name));
    if (H5Lget_info(id_.get(), name.c_str(), &link, H5P_DEFAULT) < 0)
        throw failure(*state_, "cannot be read", where(name));
    if (link.type != H5L_TYPE_HARD) throw damaged("is a link, which is not followed", where(name));
    return checked(H5Dopen2(id_.get(), name.c_str(), H5P_DEFAULT), H5Dclose, *state_,
                   "is not a dataset", where(name));
}

void Group::write(const std::string& name, ElementType type, const Shape& shape, const void* data) {
    VQ_ASSERT(!shape.empty() && shape.size() <= kMaxRank);
    const Lock lock;
    write_dataset(id_.get(), name, file_type(type), shape, element_bytes(type), data, *state_,
                  where(name));
}

void Group::write(const std::string& name, const Array& array) {
    if (state_->driver.measuring && array.bytes.empty()) {
        write(name, array.type, array.shape, nullptr);
        return;
    }
    VQ_ASSERT(static_cast<std::int64_t>(array.bytes.size()) ==
              array.count() * element_bytes(array.type));
    write(name, array.type, array.shape, array.bytes.data());
}

DatasetInfo Group::info(const std::string& name) const {
    const Lock lock;
    const std::string at = where(name);
    const Id dataset = open_dataset(name);
    const Id type = checked(H5Dget_type(dataset.get()), H5Tclose, *state_, "cannot be read", at);
    const std::optional<ElementType> element = element_type_of(type.get());
    if (!element) throw damaged("has an element type that a store does not use", at);
    Storage storage = check_storage(dataset, element_bytes(*element), *state_, at);
    return {*element, std::move(storage.shape), storage.checksummed};
}

Array Group::read(const std::string& name) const {
    const Lock lock;
    DatasetInfo found = info(name);
    Array array{found.type, std::move(found.shape), {}};
    array.bytes.resize(static_cast<std::size_t>(array.count() * element_bytes(array.type)));
    read_into(name, array.type, array.shape, array.bytes.data());
    return array;
}

void Group::read_into(const std::string& name, ElementType type, const Shape& shape,
                      void* data) const {
    const Lock lock;
    const DatasetInfo found = info(name);
    if (found.type != type) throw damaged("has the wrong element type", where(name));
    if (found.shape != shape) throw damaged("has the wrong shape", where(name));
    if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return;
    const Id dataset = open_dataset(name);
    const Id element = file_type(type);
    if (H5Dread(dataset.get(), element.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        throw failure(*state_, "cannot be read", where(name));
}

void Group::write_text(const std::string& name, std::string_view text) {
    const Lock lock;
    if (static_cast<std::int64_t>(text.size()) > kMaxText)
        throw Error("text of " + std::to_string(text.size()) + " bytes is too long", where(name),
                    "at most 64 MiB can be stored");
    std::string padded(text);
    padded.resize(std::max<std::size_t>(text.size(), 1));
    write_dataset(id_.get(), name, text_type(padded.size()), {1},
                  static_cast<std::int64_t>(padded.size()), padded.data(), *state_, where(name));
}

std::string Group::read_text(const std::string& name) const {
    const Lock lock;
    const std::string at = where(name);
    const Id dataset = open_dataset(name);
    const Id type = checked(H5Dget_type(dataset.get()), H5Tclose, *state_, "cannot be read", at);
    std::string text;
    const std::size_t bytes = text_bytes(type, std::min(kMaxText, state_->bytes), at);
    const Storage storage = check_storage(dataset, static_cast<std::int64_t>(bytes), *state_, at);
    if (storage.shape != Shape{1}) throw damaged("is not one text", at);
    text.resize(bytes);
    if (H5Dread(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, text.data()) < 0)
        throw failure(*state_, "cannot be read", at);
    strip_padding(text);
    return text;
}

Json Group::read_json(const std::string& name) const {
    return parse_json(read_text(name), where(name));
}

}  // namespace vq::h5
