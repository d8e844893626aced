// SPDX-License-Identifier: Apache-2.0
#include "io/hdf5/h5.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <string_view>

#include "io/files/atomic_file.h"
#include "io/hdf5/h5_internal.h"

namespace vq::h5 {

namespace {

constexpr std::int64_t kMaxLinks = 1 << 20;
constexpr ElementType kElementTypes[] = {ElementType::u8,  ElementType::u16, ElementType::i32,
                                         ElementType::u32, ElementType::u64, ElementType::f16,
                                         ElementType::f32, ElementType::f64};

struct Library {
    std::recursive_mutex mutex;
    int depth = 0;  // of nested locks

    // After an error inside a damaged file HDF5 may keep some memory of its own, and then complains
    // on stderr when it cleans up at exit. All our files are closed by then: it need not clean up.
    Library() { H5dont_atexit(); }
};

Library& library() {
    static Library instance;
    return instance;
}

/// Keeps the first entry of a walk that starts at the innermost failure.
herr_t keep_first(unsigned n, const H5E_error2_t* entry, void* out) noexcept {
    if (n == 0 && entry->desc != nullptr) *static_cast<std::string*>(out) = entry->desc;
    return 0;
}

std::string innermost_reason() {
    std::string reason;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_first, &reason);
    std::replace(reason.begin(), reason.end(), '\n', ' ');
    return reason;
}

Id property_list(hid_t kind, const FileState& state) {
    return checked(H5Pcreate(kind), H5Pclose, state, "cannot use HDF5", state.path);
}

Id file_access(FileState& state) {
    Id list = property_list(H5P_FILE_ACCESS, state);
    if (!use_driver(list.get(), &state.driver) ||
        H5Pset_fclose_degree(list.get(), H5F_CLOSE_STRONG) < 0 ||
        H5Pset_libver_bounds(list.get(), H5F_LIBVER_V110, H5F_LIBVER_V110) < 0)
        throw failure(state, "cannot use HDF5", state.path);
    return list;
}

/// Groups keep the order in which their links were made, and no times.
void set_group_options(hid_t list, const FileState& state) {
    if (H5Pset_obj_track_times(list, false) < 0 ||
        H5Pset_link_creation_order(list, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED) < 0)
        throw failure(state, "cannot use HDF5", state.path);
}

herr_t keep_name(hid_t /*group*/, const char* name, const H5L_info_t* /*info*/,
                 void* out) noexcept {
    try {
        static_cast<std::vector<std::string>*>(out)->emplace_back(name);
        return 0;
    } catch (...) {
        return -1;
    }
}

void check_name(const std::string& name) {
    VQ_ASSERT(!name.empty() && name != "." && name.find('/') == std::string::npos &&
              name.find('\0') == std::string::npos);
}

}  // namespace

Lock::Lock() : held_(library().mutex) {
    ++library().depth;
    H5Eget_auto2(H5E_DEFAULT, &print_, &print_data_);
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

Lock::~Lock() {
    H5Eset_auto2(H5E_DEFAULT, print_, print_data_);
    // A thread that ends with errors on its stack keeps HDF5 from closing at exit (it says so).
    if (--library().depth == 0) H5Eclear2(H5E_DEFAULT);
}

void Id::reset() {
    if (id_ < 0) return;
    const Lock lock;
    closer_(std::exchange(id_, -1));
}

Error failure(const FileState& state, const std::string& what, const std::string& where) {
    if (state.driver.error_number != 0)
        return system_error(state.writing ? "write" : "read", state.path,
                            state.driver.error_number);
    const std::string reason = innermost_reason();
    if (reason.find("checksum") != std::string::npos) return damaged("checksum mismatch", where);
    return damaged(reason.empty() ? what : what + " (" + reason + ")", where);
}

Error damaged(const std::string& what, const std::string& where) {
    return Error(what, where, "the file is damaged or was made by another program; make it again");
}

Id checked(hid_t id, Id::Closer closer, const FileState& state, const std::string& what,
           const std::string& where) {
    if (id < 0) throw failure(state, what, where);
    return {id, closer};
}

Id file_type(ElementType type) {
    hid_t standard = -1;
    switch (type) {
        case ElementType::u8: standard = H5T_STD_U8LE; break;
        case ElementType::u16: standard = H5T_STD_U16LE; break;
        case ElementType::i32: standard = H5T_STD_I32LE; break;
        case ElementType::u32: standard = H5T_STD_U32LE; break;
        case ElementType::u64: standard = H5T_STD_U64LE; break;
        case ElementType::f16:
        case ElementType::f32: standard = H5T_IEEE_F32LE; break;
        case ElementType::f64: standard = H5T_IEEE_F64LE; break;
    }
    Id id(H5Tcopy(standard), H5Tclose);
    bool good = id.valid();
    if (type == ElementType::f16) {
        // IEEE binary16: sign at bit 15, 5 exponent bits from bit 10, 10 mantissa bits, bias 15.
        good = good && H5Tset_fields(id.get(), 15, 10, 5, 0, 10) >= 0 &&
               H5Tset_size(id.get(), 2) >= 0 && H5Tset_ebias(id.get(), 15) >= 0;
    }
    VQ_ASSERT(good);
    return id;
}

std::optional<ElementType> element_type_of(hid_t type) {
    for (const ElementType candidate : kElementTypes)
        if (H5Tequal(type, file_type(candidate).get()) > 0) return candidate;
    return std::nullopt;
}

Id text_type(std::size_t bytes) {
    Id id(H5Tcopy(H5T_C_S1), H5Tclose);
    VQ_ASSERT(id.valid() && H5Tset_size(id.get(), std::max<std::size_t>(bytes, 1)) >= 0 &&
              H5Tset_strpad(id.get(), H5T_STR_NULLPAD) >= 0 &&
              H5Tset_cset(id.get(), H5T_CSET_UTF8) >= 0);
    return id;
}

Json parse_json(const std::string& text, const std::string& where) {
    Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (json.is_discarded()) throw damaged("not valid JSON", where);
    return json;
}

std::int64_t DatasetInfo::bytes() const {
    return Array{type, shape, {}}.count() * element_bytes(type);
}

std::string Group::where(const std::string& child) const {
    return where_ + (where_.ends_with('/') ? "" : "/") + child;
}

std::int64_t Group::file_bytes() const {
    return state_->bytes;
}

bool Group::has(const std::string& name) const {
    check_name(name);
    const Lock lock;
    return H5Lexists(id_.get(), name.c_str(), H5P_DEFAULT) > 0;
}

Group Group::group(const std::string& name) const {
    check_name(name);
    const Lock lock;
    H5L_info_t link{};
    if (H5Lexists(id_.get(), name.c_str(), H5P_DEFAULT) <= 0) throw damaged("missing", where(name));
    if (H5Lget_info(id_.get(), name.c_str(), &link, H5P_DEFAULT) < 0)
        throw failure(*state_, "cannot be read", where(name));
    if (link.type != H5L_TYPE_HARD) throw damaged("is a link, which is not followed", where(name));
    Id id = checked(H5Gopen2(id_.get(), name.c_str(), H5P_DEFAULT), H5Gclose, *state_,
                    "is not a group", where(name));
    return {state_, std::move(id), where(name)};
}

Group Group::create_group(const std::string& name) {
    check_name(name);
    const Lock lock;
    const Id options = property_list(H5P_GROUP_CREATE, *state_);
    set_group_options(options.get(), *state_);
    Id id = checked(H5Gcreate2(id_.get(), name.c_str(), H5P_DEFAULT, options.get(), H5P_DEFAULT),
                    H5Gclose, *state_, "cannot create the group", where(name));
    return {state_, std::move(id), where(name)};
}

std::vector<std::string> Group::children() const {
    const Lock lock;
    H5G_info_t info{};
    if (H5Gget_info(id_.get(), &info) < 0) throw failure(*state_, "cannot be read", where_);
    if (info.nlinks > static_cast<hsize_t>(kMaxLinks)) throw damaged("has too many links", where_);
    const Id options =
        checked(H5Gget_create_plist(id_.get()), H5Pclose, *state_, "cannot be read", where_);
    unsigned order = 0;
    H5Pget_link_creation_order(options.get(), &order);
    const H5_index_t by = (order & H5P_CRT_ORDER_TRACKED) != 0 ? H5_INDEX_CRT_ORDER : H5_INDEX_NAME;
    std::vector<std::string> names;
    if (H5Literate(id_.get(), by, H5_ITER_INC, nullptr, keep_name, &names) < 0)
        throw failure(*state_, "cannot be listed", where_);
    return names;
}

File::File(std::shared_ptr<FileState> state, Id id)
    : state_(std::move(state)), id_(std::move(id)) {}

File::~File() = default;

namespace {

/// Where the file ends by its own superblock (HDF5 file format, section II.A), which HDF5 itself
/// does not hold against what stands behind; 0 where that is not understood.
std::int64_t stored_end(const std::string& path) {
    std::array<unsigned char, 52> head{};
    std::ifstream file(path, std::ios::binary);
    if (!file.read(reinterpret_cast<char*>(head.data()), head.size())) return 0;
    constexpr std::array<unsigned char, 8> signature = {0x89, 'H',  'D',  'F',
                                                        '\r', '\n', 0x1a, '\n'};
    if (!std::equal(signature.begin(), signature.end(), head.begin())) return 0;
    const int version = head[8];
    const int width = version >= 2 ? head[9] : head[13];
    if (version > 3 || width != 8) return 0;
    const std::size_t at = version >= 2 ? 28 : version == 1 ? 44 : 40;
    std::uint64_t end = 0;
    for (std::size_t i = 0; i < 8; ++i) end |= std::uint64_t{head[at + i]} << (8 * i);
    return end < (std::uint64_t{1} << 62) ? static_cast<std::int64_t>(end) : 0;
}

}  // namespace

namespace {

Id create_file(FileState& state) {
    const Id options = property_list(H5P_FILE_CREATE, state);
    set_group_options(options.get(), state);
    const Id access = file_access(state);
    const hid_t id = H5Fcreate(state.path.c_str(), H5F_ACC_TRUNC, options.get(), access.get());
    if (id < 0) throw failure(state, "cannot create the file", state.path);
    return {id, H5Fclose};
}

}  // namespace

File File::create(const std::string& path) {
    const Lock lock;
    auto state = std::make_shared<FileState>();
    state->path = path;
    state->writing = true;
    Id id = create_file(*state);
    return {std::move(state), std::move(id)};
}

std::int64_t File::measure(const std::function<void(Group& root)>& write) {
    const Lock lock;
    auto state = std::make_shared<FileState>();
    state->path = "measured";
    state->writing = true;
    state->driver.measuring = true;
    Id id = create_file(*state);
    File file(state, std::move(id));
    {
        Group root = file.root();
        write(root);
    }
    file.close();
    return static_cast<std::int64_t>(state->driver.end);
}

File File::open(const std::string& path) {
    const Lock lock;
    auto state = std::make_shared<FileState>();
    state->path = path;
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) throw system_error("read", path, errno);
    state->bytes = status.st_size;
    const Id access = file_access(*state);
    Id id = checked(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), H5Fclose, *state,
                    "not a readable HDF5 file", path);
    const std::int64_t end = stored_end(path);
    if (end > 0 && end < state->bytes)
        throw Error(fmt::format("file goes on for {} bytes behind its end", state->bytes - end),
                    path, "the file is damaged: get it again");
    return {std::move(state), std::move(id)};
}

namespace {

ObjectSpace object_space(hid_t object, const FileState& state, const std::string& where) {
    H5O_info_t info{};
    if (H5Oget_info2(object, &info, H5O_INFO_HDR | H5O_INFO_META_SIZE | H5O_INFO_BASIC) < 0)
        throw failure(state, "cannot be read", where);
    ObjectSpace out;
    out.dataset = info.type == H5O_TYPE_DATASET;
    out.header = static_cast<std::int64_t>(info.hdr.space.total);
    out.indexes =
        static_cast<std::int64_t>(info.meta_size.obj.index_size + info.meta_size.obj.heap_size +
                                  info.meta_size.attr.index_size + info.meta_size.attr.heap_size);
    return out;
}

}  // namespace

ObjectSpace Group::space() const {
    const Lock lock;
    return object_space(id_.get(), *state_, where_);
}

ObjectSpace Group::space(const std::string& name) const {
    const Lock lock;
    const std::string at = where(name);
    if (!has(name)) throw damaged("missing", at);
    const Id object = checked(H5Oopen(id_.get(), name.c_str(), H5P_DEFAULT), H5Oclose, *state_,
                              "cannot be read", at);
    ObjectSpace out = object_space(object.get(), *state_, at);
    if (!out.dataset) return out;
    const Id type = checked(H5Dget_type(object.get()), H5Tclose, *state_, "cannot be read", at);
    const Id shape = checked(H5Dget_space(object.get()), H5Sclose, *state_, "cannot be read", at);
    out.stored = static_cast<std::int64_t>(H5Dget_storage_size(object.get()));
    const auto count = H5Sget_simple_extent_npoints(shape.get());
    std::int64_t bytes = 0;
    if (count < 0 || __builtin_mul_overflow(count, H5Tget_size(type.get()), &bytes) ||
        bytes > out.stored || out.stored > state_->bytes)
        throw damaged("is not stored whole", at);
    out.bytes = bytes;
    const Id options =
        checked(H5Dget_create_plist(object.get()), H5Pclose, *state_, "cannot be read", at);
    hsize_t chunks = 0;
    if (H5Pget_layout(options.get()) == H5D_CHUNKED && H5Pget_nfilters(options.get()) > 0 &&
        H5Dget_num_chunks(object.get(), shape.get(), &chunks) < 0)
        throw failure(*state_, "cannot be read", at);
    out.checksums = checksum_bytes * static_cast<std::int64_t>(chunks);
    return out;
}

std::int64_t File::superblock_bytes() const {
    const Lock lock;
    H5F_info2_t info{};
    if (H5Fget_info2(id_.get(), &info) < 0) throw failure(*state_, "cannot be read", state_->path);
    return static_cast<std::int64_t>(info.super.super_size + info.super.super_ext_size +
                                     info.free.meta_size);
}

Group File::root() const {
    const Lock lock;
    Id id = checked(H5Gopen2(id_.get(), "/", H5P_DEFAULT), H5Gclose, *state_, "cannot be read",
                    state_->path);
    return {state_, std::move(id), state_->path + ": /"};
}

void File::close() {
    const Lock lock;
    const bool good = H5Fclose(id_.release()) >= 0;
    if (!good || state_->driver.error_number != 0)
        throw failure(*state_, "cannot close the file", state_->path);
}

}  // namespace vq::h5
