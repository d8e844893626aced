// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "base/cancel.h"
#include "base/error.h"
#include "base/hash.h"
#include "io/files/atomic_file.h"
#include "io/hdf5/h5.h"
#include "io/hdf5/store.h"
#include "io/hdf5/store_layout.h"

namespace vq {

namespace fs = std::filesystem;

namespace {

constexpr const char* kLockName = "lock";
constexpr const char* kPartSuffix = ".h5";
constexpr std::size_t kMaxStem = 200;  // of 255 bytes that a file name may have

/// A tensor's name as a file name: letters, digits, '.', '_' and '-' stay; names too long for a
/// file system end in their hash.
std::string part_stem(const std::string& name) {
    std::string stem;
    for (std::size_t i = 0; i < name.size(); ++i) {
        const char c = name[i];
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                           (c >= '0' && c <= '9') || c == '_' || c == '-' || (c == '.' && i > 0);
        stem += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
    if (stem.size() > kMaxStem) stem = stem.substr(0, kMaxStem - 33) + "-" + hash_hex(name);
    return stem;
}

/// What the root of a part file says.
struct PartHead {
    std::string name;
    std::string fingerprint;
};

PartHead read_head(const h5::Group& root, const std::string& path) {
    check_format(root, kPartFormat, kStoreVersion, kStoreVersion, path);
    return {root.get_text("name"), root.get_text("fingerprint")};
}

/// An flock()ed file: one run at a time writes a store. A killed run lets go of it by itself.
class FolderLock {
public:
    FolderLock(std::string file, const std::string& path) : file_(std::move(file)) {
        fd_ = ::open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd_ < 0) throw system_error("write", file_, errno);
        if (::flock(fd_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
            ::close(fd_);
            throw Error("another run is writing this store", path,
                        "wait for it to end, or choose another output");
        }
    }
    ~FolderLock() { ::close(fd_); }
    FolderLock(const FolderLock&) = delete;
    FolderLock& operator=(const FolderLock&) = delete;
    void remove() const { ::unlink(file_.c_str()); }

private:
    std::string file_;
    int fd_ = -1;
};

/// All but the tensors; returns the group that they go into.
h5::Group write_meta(h5::Group& root, const StoreMeta& meta) {
    root.set_text("format", kStoreFormat);
    root.set_i64("format_version", kStoreVersion);
    root.set_text("fingerprint", meta.fingerprint);
    root.set_u64("seed", meta.seed);
    root.set_text("tool_version", meta.tool_version);
    root.write_text("config", meta.config_json);
    // A command line may hold bytes that are not UTF-8; they become U+FFFD.
    root.write_text("provenance",
                    meta.provenance.dump(-1, ' ', false, Json::error_handler_t::replace));
    h5::Group tokenizer = root.create_group("tokenizer");
    for (const auto& [name, bytes] : meta.tokenizer)
        tokenizer.write(escape_link(name), ElementType::u8,
                        {static_cast<std::int64_t>(bytes.size())}, bytes.data());
    h5::Group codebooks = root.create_group("codebooks");
    for (const auto& [name, array] : meta.shared) codebooks.write(escape_link(name), array);
    return root.create_group("tensors");
}

void add_tensor(h5::Group& tensors, const StoredTensor& tensor) {
    h5::Group group = tensors.create_group(escape_link(tensor.name));
    write_tensor(group, tensor, /*with_seconds=*/false);
}

}  // namespace

std::int64_t store_file_bytes(const StoreMeta& meta, const std::vector<StoredTensor>& tensors) {
    return h5::File::measure([&](h5::Group& root) {
        h5::Group group = write_meta(root, meta);
        for (const StoredTensor& tensor : tensors) {
            check_cancelled();
            add_tensor(group, tensor);
        }
    });
}

struct StoreWriter::Impl {
    std::string path;
    std::string folder;
    std::string fingerprint;
    std::optional<FolderLock> lock;
    mutable std::mutex mutex;                   // of `whole`
    mutable std::map<std::string, bool> whole;  // parts looked at: whole and of this run, or not

    std::string part_path(const std::string& name) const {
        return (fs::path(folder) / (part_stem(name) + kPartSuffix)).string();
    }

    void create_folder() {
        std::error_code failure;
        fs::create_directory(folder, failure);
        if (failure) throw system_error("write", path, failure.value());
        struct stat status {};
        if (::stat(folder.c_str(), &status) != 0) throw system_error("write", folder, errno);
        if (!S_ISDIR(status.st_mode)) throw system_error("write", folder, ENOTDIR);
        lock.emplace((fs::path(folder) / kLockName).string(), path);
    }

    /// Our own files in the folder, sorted: parts, or leftover temporary files.
    std::vector<std::string> files(const std::string& suffix) const {
        std::vector<std::string> found;
        std::error_code failure;
        for (fs::directory_iterator it(folder, failure), end; !failure && it != end;
             it.increment(failure))
            if (it->path().string().ends_with(suffix)) found.push_back(it->path().string());
        if (failure && failure.value() != ENOENT)
            throw system_error("read", folder, failure.value());
        std::sort(found.begin(), found.end());
        return found;
    }

    void remove_files(const std::string& suffix) const {
        for (const std::string& file : files(suffix))
            if (::unlink(file.c_str()) != 0 && errno != ENOENT)
                throw system_error("remove", file, errno);
    }

    /// Refuses parts of another run; a part that cannot even be read is no part.
    void check_parts() const {
        for (const std::string& file : files(kPartSuffix)) {
            PartHead head;
            try {
                const h5::File part = h5::File::open(file);
                head = read_head(part.root(), file);
            } catch (const Error&) {
                if (::unlink(file.c_str()) != 0) throw system_error("remove", file, errno);
                continue;
            }
            if (head.fingerprint != fingerprint)
                throw Error("finished part of a run with another model, text, setting or seed",
                            fmt::format("{} (tensor {})", file, head.name),
                            fmt::format("remove {}, or resume with the same settings", folder));
        }
    }

    StoredTensor read_part(const std::string& name) const {
        const h5::Lock lock_hdf5;
        const std::string file = part_path(name);
        const h5::File part = h5::File::open(file);
        const h5::Group root = part.root();
        const PartHead head = read_head(root, file);
        if (head.name != name || head.fingerprint != fingerprint)
            throw Error("not the part that its name says", file, "remove it and run again");
        return read_tensor(root.group("tensor"), name, /*with_arrays=*/true);
    }

    void remove_folder_if_empty() {
        if (!lock) return;
        if (!files(kPartSuffix).empty() || !files(kTempSuffix).empty()) return;
        lock->remove();
        lock.reset();
        ::rmdir(folder.c_str());  // not ours to remove when something else lies in it
    }
};

StoreWriter::StoreWriter(std::string path, std::string fingerprint, bool resume)
    : impl_(std::make_unique<Impl>()) {
    impl_->folder = path + ".parts";
    impl_->path = std::move(path);
    impl_->fingerprint = std::move(fingerprint);
    impl_->create_folder();
    try {
        const AtomicFile early_check(impl_->path);  // refuses a folder, removes a killed run's file
        impl_->remove_files(kTempSuffix);
        if (resume) {
            impl_->check_parts();
        } else if (const auto parts = impl_->files(kPartSuffix); !parts.empty()) {
            throw Error(fmt::format("{} finished parts of an earlier run are there", parts.size()),
                        impl_->folder, "go on with --resume, or remove the folder");
        }
    } catch (...) {
        impl_->remove_folder_if_empty();
        throw;
    }
}

StoreWriter::~StoreWriter() {
    try {
        discard(/*all=*/false);
    } catch (...) {  // what cannot be removed stays; a destructor has nobody to tell
    }
}

bool StoreWriter::has(const std::string& name) const {
    {
        const std::lock_guard guard(impl_->mutex);
        if (const auto seen = impl_->whole.find(name); seen != impl_->whole.end())
            return seen->second;
    }
    bool whole = false;
    try {
        if (::access(impl_->part_path(name).c_str(), F_OK) == 0) {
            impl_->read_part(name);
            whole = true;
        }
    } catch (const Error&) {  // damaged: as good as not there; write_part() replaces it
    }
    const std::lock_guard guard(impl_->mutex);
    impl_->whole[name] = whole;
    return whole;
}

StoredTensor StoreWriter::read_part(const std::string& name) const {
    return impl_->read_part(name);
}

void StoreWriter::write_part(const StoredTensor& tensor) {
    const h5::Lock lock;
    AtomicFile output(impl_->part_path(tensor.name));
    {
        h5::File file = h5::File::create(output.temp());
        h5::Group root = file.root();
        root.set_text("format", kPartFormat);
        root.set_i64("format_version", kStoreVersion);
        root.set_text("name", tensor.name);
        root.set_text("fingerprint", impl_->fingerprint);
        h5::Group group = root.create_group("tensor");
        write_tensor(group, tensor, /*with_seconds=*/true);
        file.close();
    }
    output.commit();
    const std::lock_guard guard(impl_->mutex);
    impl_->whole[tensor.name] = true;
}

void StoreWriter::finish(const StoreMeta& meta, const std::vector<std::string>& order) {
    VQ_ASSERT(meta.fingerprint == impl_->fingerprint);
    VQ_ASSERT(std::set<std::string>(order.begin(), order.end()).size() == order.size());
    const h5::Lock lock;
    AtomicFile output(impl_->path);
    {
        h5::File file = h5::File::create(output.temp());
        h5::Group root = file.root();
        h5::Group tensors = write_meta(root, meta);
        for (const std::string& name : order) {
            check_cancelled();  // the parts stay, so that nothing is lost
            add_tensor(tensors, impl_->read_part(name));
        }
        file.close();
    }
    output.commit();
    discard(/*all=*/true);
}

void StoreWriter::discard(bool all) {
    if (!impl_->lock) return;
    impl_->remove_files(kTempSuffix);
    if (all) {
        impl_->remove_files(kPartSuffix);
        const std::lock_guard guard(impl_->mutex);
        impl_->whole.clear();
    }
    impl_->remove_folder_if_empty();
}

}  // namespace vq
