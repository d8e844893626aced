// SPDX-License-Identifier: Apache-2.0
#include "io/hdf5/h5_driver.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <limits>
#include <new>

namespace vq::h5 {

namespace {

/// What the access list carries (HDF5 copies it).
struct DriverInfo {
    DriverState* state;
};

constexpr haddr_t kMaxAddress = static_cast<haddr_t>(std::numeric_limits<off_t>::max());

struct DriverFile {
    H5FD_t base;  // HDF5's part, first: HDF5 hands us pointers to it
    int fd;
    bool writable;
    haddr_t eoa;  // end of what HDF5 has allocated
    haddr_t eof;  // end of what is in the file
    DriverState* state;
};

DriverFile* self(H5FD_t* file) {
    return reinterpret_cast<DriverFile*>(file);
}
const DriverFile* self(const H5FD_t* file) {
    return reinterpret_cast<const DriverFile*>(file);
}

/// f(page, from, count) for the pieces of [address, address + size) that lie on one page each.
template <class F>
void for_pages(haddr_t address, std::size_t size, F&& f) {
    constexpr std::size_t unit = DriverState::page_bytes;
    for (std::size_t done = 0; done < size;) {
        const auto from = static_cast<std::size_t>((address + done) % unit);
        const std::size_t count = std::min(size - done, unit - from);
        f((address + done) / unit, from, done, count);
        done += count;
    }
}

void remember(DriverState* state) {
    if (state->error_number == 0) state->error_number = errno;
}

H5FD_t* driver_open(const char* name, unsigned flags, hid_t access_list, haddr_t max_address) {
    if (max_address == 0 || name == nullptr) return nullptr;
    const void* info = H5Pget_driver_info(access_list);
    if (info == nullptr) return nullptr;
    DriverState* state = static_cast<const DriverInfo*>(info)->state;
    state->error_number = 0;
    if (state->measuring) {
        state->pages.clear();
        auto* file = new (std::nothrow) DriverFile{};
        if (file == nullptr) return nullptr;
        file->fd = -1;
        file->writable = true;
        file->state = state;
        return &file->base;
    }

    int mode = (flags & H5F_ACC_RDWR) != 0 ? O_RDWR : O_RDONLY;
    if ((flags & H5F_ACC_TRUNC) != 0) mode |= O_TRUNC;
    if ((flags & H5F_ACC_CREAT) != 0) mode |= O_CREAT;
    if ((flags & H5F_ACC_EXCL) != 0) mode |= O_EXCL;
    const int fd = ::open(name, mode | O_CLOEXEC, 0666);
    if (fd < 0) {
        remember(state);
        return nullptr;
    }
    struct stat status {};
    if (::fstat(fd, &status) != 0 || S_ISDIR(status.st_mode)) {
        if (S_ISDIR(status.st_mode)) errno = EISDIR;
        remember(state);
        ::close(fd);
        return nullptr;
    }
    auto* file = new (std::nothrow) DriverFile{};
    if (file == nullptr) {
        ::close(fd);
        return nullptr;
    }
    file->fd = fd;
    file->writable = (flags & H5F_ACC_RDWR) != 0;
    file->eof = static_cast<haddr_t>(status.st_size);
    file->state = state;
    return &file->base;
}

herr_t driver_close(H5FD_t* base) {
    DriverFile* file = self(base);
    if (file->state->measuring) {
        file->state->end = file->eof;
        file->state->pages.clear();
        delete file;
        return 0;
    }
    if (file->writable && ::fsync(file->fd) != 0) remember(file->state);
    if (::close(file->fd) != 0 && file->writable) remember(file->state);
    delete file;
    return 0;
}

herr_t driver_query(const H5FD_t* /*file*/, unsigned long* flags) {
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
    return 0;
}

haddr_t driver_get_eoa(const H5FD_t* file, H5FD_mem_t /*type*/) {
    return self(file)->eoa;
}
haddr_t driver_get_eof(const H5FD_t* file, H5FD_mem_t /*type*/) {
    return self(file)->eof;
}
herr_t driver_set_eoa(H5FD_t* file, H5FD_mem_t /*type*/, haddr_t address) {
    self(file)->eoa = address;
    return 0;
}

bool inside(const DriverFile& file, haddr_t address, std::size_t size) {
    return address <= kMaxAddress && size <= kMaxAddress - address && address + size <= file.eoa;
}

herr_t driver_read(H5FD_t* base, H5FD_mem_t /*type*/, hid_t /*transfer*/, haddr_t address,
                   std::size_t size, void* buffer) {
    DriverFile* file = self(base);
    if (!inside(*file, address, size)) return -1;
    auto* out = static_cast<unsigned char*>(buffer);
    if (file->state->measuring) {
        for_pages(address, size,
                  [&](haddr_t page, std::size_t from, std::size_t at, std::size_t count) {
                      const auto found = file->state->pages.find(page);
                      if (found == file->state->pages.end())
                          std::memset(out + at, 0, count);
                      else
                          std::memcpy(out + at, found->second.data() + from, count);
                  });
        return 0;
    }
    while (size > 0) {
        const ssize_t got = ::pread(file->fd, out, size, static_cast<off_t>(address));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            remember(file->state);
            return -1;
        }
        if (got == 0) {
            // Space that a writer has allocated and not written yet; in a finished file, a cut.
            if (!file->writable) return -1;
            std::memset(out, 0, size);
            break;
        }
        out += got;
        address += static_cast<haddr_t>(got);
        size -= static_cast<std::size_t>(got);
    }
    return 0;
}

herr_t driver_write(H5FD_t* base, H5FD_mem_t type, hid_t /*transfer*/, haddr_t address,
                    std::size_t size, const void* buffer) {
    DriverFile* file = self(base);
    if (!inside(*file, address, size)) return -1;
    const auto* in = static_cast<const unsigned char*>(buffer);
    if (file->state->measuring) {
        if (type != H5FD_MEM_DRAW)
            for_pages(address, size,
                      [&](haddr_t page, std::size_t from, std::size_t at, std::size_t count) {
                          std::memcpy(file->state->pages[page].data() + from, in + at, count);
                      });
        file->eof = std::max(file->eof, address + size);
        return 0;
    }
    while (size > 0 && file->state->error_number == 0) {
        const ssize_t put = ::pwrite(file->fd, in, size, static_cast<off_t>(address));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) {
            remember(file->state);
            break;
        }
        in += put;
        address += static_cast<haddr_t>(put);
        size -= static_cast<std::size_t>(put);
        file->eof = std::max(file->eof, address);
    }
    return 0;
}

herr_t driver_truncate(H5FD_t* base, hid_t /*transfer*/, hbool_t /*closing*/) {
    DriverFile* file = self(base);
    if (file->eof == file->eoa || !file->writable) return 0;
    if (!file->state->measuring && file->state->error_number == 0 &&
        ::ftruncate(file->fd, static_cast<off_t>(file->eoa)) != 0)
        remember(file->state);
    file->eof = file->eoa;
    return 0;
}

H5FD_class_t driver_class() {
    H5FD_class_t driver{};
    driver.name = "vqkit";
    driver.maxaddr = kMaxAddress;
    driver.fc_degree = H5F_CLOSE_STRONG;
    driver.fapl_size = sizeof(DriverInfo);
    driver.open = driver_open;
    driver.close = driver_close;
    driver.query = driver_query;
    driver.get_eoa = driver_get_eoa;
    driver.set_eoa = driver_set_eoa;
    driver.get_eof = driver_get_eof;
    driver.read = driver_read;
    driver.write = driver_write;
    driver.truncate = driver_truncate;
    constexpr H5FD_mem_t map[H5FD_MEM_NTYPES] = H5FD_FLMAP_DICHOTOMY;
    std::copy(std::begin(map), std::end(map), std::begin(driver.fl_map));
    return driver;
}

}  // namespace

bool use_driver(hid_t access_list, DriverState* state) {
    static const H5FD_class_t driver = driver_class();
    static const hid_t id = H5FDregister(&driver);
    const DriverInfo info{state};
    return id >= 0 && H5Pset_driver(access_list, id, &info) >= 0;
}

}  // namespace vq::h5
