// SPDX-License-Identifier: Apache-2.0
#include "io/hdf5/store_space.h"

#include "io/hdf5/h5.h"
#include "io/hdf5/h5_internal.h"
#include "io/hdf5/store_layout.h"

namespace vq {

namespace {

/// What HDF5 says of one object of its own.
void add_object(const h5::ObjectSpace& object, StoreSpace& out) {
    out.headers += object.header;
    out.indexes += object.indexes;
}

void add_dataset(const h5::Group& parent, const std::string& link, const std::string& group,
                 const std::string& owner, StoreSpace& out) {
    const h5::ObjectSpace object = parent.space(link);
    add_object(object, out);
    out.datasets.push_back({group, owner, unescape_link(link), object.bytes, object.checksums,
                            object.stored - object.bytes - object.checksums});
}

}  // namespace

std::int64_t StoreSpace::sum() const {
    std::int64_t all = superblock + headers + indexes + gaps;
    for (const DatasetSpace& d : datasets) all += d.bytes + d.checksums + d.padding;
    return all;
}

StoreSpace store_space(const std::string& path) {
    const h5::Lock lock;
    const h5::File file = h5::File::open(path);
    const h5::Group root = file.root();
    StoreSpace out;
    out.file_bytes = root.file_bytes();
    out.superblock = file.superblock_bytes();
    add_object(root.space(), out);
    for (const std::string& link : root.children()) {
        if (root.space(link).dataset) {
            add_dataset(root, link, "", "", out);
            continue;
        }
        const h5::Group group = root.group(link);
        add_object(group.space(), out);
        for (const std::string& inner : group.children()) {
            if (group.space(inner).dataset) {
                add_dataset(group, inner, link, "", out);
                continue;
            }
            const h5::Group tensor = group.group(inner);
            add_object(tensor.space(), out);
            for (const std::string& array : tensor.children())
                add_dataset(tensor, array, link, unescape_link(inner), out);
        }
    }
    const std::int64_t claimed = out.sum();
    if (claimed > out.file_bytes)
        throw h5::damaged("its objects claim more than the file holds", path);
    out.gaps = out.file_bytes - claimed;
    return out;
}

}  // namespace vq
