// SPDX-License-Identifier: Apache-2.0
#include "io/hdf5/store_layout.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include "base/error.h"
#include "io/hdf5/h5_internal.h"

namespace vq {

namespace {

constexpr std::size_t kMaxArrays = 64;

bool plain(char c, bool first) {
    const auto u = static_cast<unsigned char>(c);
    return c != '/' && c != '%' && u >= 0x20 && u != 0x7F && !(first && c == '.');
}

}  // namespace

std::string escape_link(const std::string& name) {
    VQ_ASSERT(!name.empty());
    std::string link;
    for (std::size_t i = 0; i < name.size(); ++i) {
        if (plain(name[i], i == 0))
            link += name[i];
        else
            link += fmt::format("%{:02X}", static_cast<unsigned char>(name[i]));
    }
    return link;
}

std::string unescape_link(const std::string& link) {
    std::string name;
    for (std::size_t i = 0; i < link.size(); ++i) {
        unsigned value = 0;
        if (link[i] == '%' && i + 2 < link.size()) {
            const char* end = link.data() + i + 3;
            if (std::from_chars(link.data() + i + 1, end, value, 16).ptr == end) {
                name += static_cast<char>(value);
                i += 2;
                continue;
            }
        }
        name += link[i];
    }
    return name;
}

void write_tensor(h5::Group& group, const StoredTensor& tensor, bool with_seconds) {
    VQ_ASSERT(tensor.shape.rows > 0 && tensor.shape.cols > 0);
    VQ_ASSERT(tensor.arrays.size() <= kMaxArrays);
    group.set_i64("rows", tensor.shape.rows);
    group.set_i64("cols", tensor.shape.cols);
    group.set_text("spec", tensor.spec.dump());
    group.set_f64("bits_per_weight", tensor.bits_per_weight);
    group.set_f64("rel_mse", tensor.rel_mse);
    group.set_f64("rel_proxy", tensor.rel_proxy);
    if (with_seconds) group.set_f64("seconds", tensor.seconds);
    for (const auto& [name, array] : tensor.arrays) group.write(escape_link(name), array);
}

StoredTensor read_tensor(const h5::Group& group, const std::string& name, bool with_arrays) {
    StoredTensor tensor;
    tensor.name = name;
    tensor.shape.rows = group.get_i64("rows");
    tensor.shape.cols = group.get_i64("cols");
    std::int64_t weights = 0;
    if (tensor.shape.rows <= 0 || tensor.shape.cols <= 0 ||
        __builtin_mul_overflow(tensor.shape.rows, tensor.shape.cols, &weights) ||
        weights > std::numeric_limits<std::int64_t>::max() / 64)
        throw h5::damaged(fmt::format("absurd shape {} x {}", tensor.shape.rows, tensor.shape.cols),
                          group.where());
    tensor.spec = group.get_json("spec");
    if (!tensor.spec.is_object()) throw h5::damaged("is not a JSON object", group.where("spec"));
    tensor.bits_per_weight = group.get_f64("bits_per_weight");
    tensor.rel_mse = group.get_f64("rel_mse");
    tensor.rel_proxy = group.get_f64("rel_proxy");
    if (group.has_attribute("seconds")) tensor.seconds = group.get_f64("seconds");
    if (!with_arrays) return tensor;

    const std::vector<std::string> links = group.children();
    if (links.size() > kMaxArrays) throw h5::damaged("has too many arrays", group.where());
    std::int64_t bytes = 0;  // many links may lead to one dataset: the sum is bounded too
    for (const std::string& link : links) {
        bytes += group.info(link).bytes();
        if (bytes > group.file_bytes())
            throw h5::damaged("claims more data than the file holds", group.where());
    }
    for (const std::string& link : links) tensor.arrays[unescape_link(link)] = group.read(link);
    return tensor;
}

void check_format(const h5::Group& root, const char* format, std::int64_t oldest,
                  std::int64_t newest, const std::string& path) {
    if (!root.has_attribute("format") || root.get_text("format") != format)
        throw Error(fmt::format("not a {} file", format), path, "give a file that vqkit wrote");
    const std::int64_t version = root.get_i64("format_version");
    if (version < oldest || version > newest)
        throw Error(fmt::format("format version {}, this program reads {}", version,
                                oldest == newest ? fmt::format("{}", newest)
                                                 : fmt::format("{} to {}", oldest, newest)),
                    path, "use the vqkit version that wrote it, or make the file again");
}

}  // namespace vq
