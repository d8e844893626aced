// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <set>
#include <utility>

#include "base/error.h"
#include "io/files/atomic_file.h"
#include "io/hdf5/h5.h"
#include "io/hdf5/h5_internal.h"
#include "io/hdf5/store.h"
#include "io/hdf5/store_layout.h"

namespace vq {

std::int64_t StoredTensor::bytes() const {
    std::int64_t sum = 0;
    for (const auto& [name, array] : arrays) sum += array.count() * element_bytes(array.type);
    return sum;
}

struct StoreReader::Impl {
    std::string path;
    h5::File file;
    h5::Group tensors;
    StoreMeta meta;
    std::vector<std::string> names;
    std::set<std::string> known;

    h5::Group tensor(const std::string& name) const {
        if (!known.contains(name))
            throw Error("no such tensor in the store", path + ": " + name,
                        "list the tensors with vq inspect");
        return tensors.group(escape_link(name));
    }
};

namespace {

StoreMeta read_meta(const h5::Group& root) {
    StoreMeta meta;
    meta.fingerprint = root.get_text("fingerprint");
    meta.seed = root.get_u64("seed");
    meta.tool_version = root.get_text("tool_version");
    meta.config_json = root.read_text("config");
    meta.provenance = root.read_json("provenance");
    std::int64_t bytes = 0;
    const auto read_all = [&](const char* name, auto&& keep) {
        const h5::Group group = root.group(name);
        for (const std::string& link : group.children()) {
            bytes += group.info(link).bytes();
            if (bytes > root.file_bytes())
                throw h5::damaged("claims more data than the file holds", group.where());
            keep(unescape_link(link), group.read(link), group.where(link));
        }
    };
    read_all("tokenizer", [&](const std::string& name, const Array& array, const std::string& at) {
        if (array.type != ElementType::u8 || array.shape.size() != 1)
            throw h5::damaged("is not a string of bytes", at);
        meta.tokenizer[name].assign(array.bytes.begin(), array.bytes.end());
    });
    read_all("codebooks", [&](const std::string& name, Array array, const std::string&) {
        meta.shared[name] = std::move(array);
    });
    return meta;
}

}  // namespace

StoreReader::StoreReader(const std::string& path) {
    const h5::Lock lock;
    h5::File file = h5::File::open(path);
    const h5::Group root = file.root();
    check_format(root, kStoreFormat, kOldestStoreVersion, kStoreVersion, path);
    h5::Group tensors = root.group("tensors");
    impl_ = std::make_unique<Impl>(
        Impl{path, std::move(file), std::move(tensors), read_meta(root), {}, {}});
    for (const std::string& link : impl_->tensors.children()) {
        impl_->names.push_back(unescape_link(link));
        if (escape_link(impl_->names.back()) != link ||
            !impl_->known.insert(impl_->names.back()).second)
            throw h5::damaged("is not a tensor's name", impl_->tensors.where(link));
    }
}

StoreReader::~StoreReader() {
    const h5::Lock lock;
    impl_.reset();
}

const StoreMeta& StoreReader::meta() const {
    return impl_->meta;
}
const std::vector<std::string>& StoreReader::names() const {
    return impl_->names;
}
bool StoreReader::has(const std::string& name) const {
    return impl_->known.contains(name);
}

StoredTensor StoreReader::info(const std::string& name) const {
    const h5::Lock lock;
    return read_tensor(impl_->tensor(name), name, /*with_arrays=*/false);
}

StoredTensor StoreReader::read(const std::string& name) const {
    const h5::Lock lock;
    return read_tensor(impl_->tensor(name), name, /*with_arrays=*/true);
}

std::int64_t StoreReader::file_bytes() const {
    return impl_->tensors.file_bytes();
}

bool is_store(const std::string& path) {
    constexpr std::array<unsigned char, 8> signature = {0x89, 'H',  'D',  'F',
                                                        '\r', '\n', 0x1A, '\n'};
    std::array<unsigned char, 8> head{};
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return false;
    const ssize_t got = ::pread(fd, head.data(), head.size(), 0);
    ::close(fd);
    return got == static_cast<ssize_t>(head.size()) && head == signature;
}

}  // namespace vq
