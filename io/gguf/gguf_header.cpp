// SPDX-License-Identifier: Apache-2.0
#include "io/gguf/gguf_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "io/files/checked_math.h"
#include "io/files/file_kind.h"

namespace vq {
namespace {

constexpr std::uint32_t magic = 0x46554747;  // "GGUF"
constexpr int max_array_depth = 4;
constexpr std::uint32_t max_rank = 4;
constexpr const char* damaged = "the file is damaged or incomplete: get it again";

/// Bytes of a fixed-size value; 0 for strings and arrays.
std::int64_t fixed_bytes(GgufType type) {
    switch (type) {
        case GgufType::u8:
        case GgufType::i8:
        case GgufType::boolean: return 1;
        case GgufType::u16:
        case GgufType::i16: return 2;
        case GgufType::u32:
        case GgufType::i32:
        case GgufType::f32: return 4;
        case GgufType::u64:
        case GgufType::i64:
        case GgufType::f64: return 8;
        default: return 0;
    }
}

template <class T>
T load(const std::uint8_t* at) {
    T value;
    std::memcpy(&value, at, sizeof(value));
    return value;
}

/// An f32 as the double that its shortest decimal form names: what the file's writer had in mind.
double widen(float x) {
    return std::strtod(fmt::format("{}", x).c_str(), nullptr);
}

/// Decodes a fixed-size value of `type`.
GgufValue decode(GgufType type, const std::uint8_t* at) {
    using Signed = std::int64_t;
    switch (type) {
        case GgufType::u8: return {type, Signed{load<std::uint8_t>(at)}};
        case GgufType::i8: return {type, Signed{load<std::int8_t>(at)}};
        case GgufType::u16: return {type, Signed{load<std::uint16_t>(at)}};
        case GgufType::i16: return {type, Signed{load<std::int16_t>(at)}};
        case GgufType::u32: return {type, Signed{load<std::uint32_t>(at)}};
        case GgufType::i32: return {type, Signed{load<std::int32_t>(at)}};
        case GgufType::i64: return {type, load<Signed>(at)};
        case GgufType::f32: return {type, widen(load<float>(at))};
        case GgufType::f64: return {type, load<double>(at)};
        case GgufType::boolean: return {type, *at != 0};
        case GgufType::u64: {
            const auto value = load<std::uint64_t>(at);
            if (value > static_cast<std::uint64_t>(std::numeric_limits<Signed>::max()))
                return {type, value};
            return {type, static_cast<Signed>(value)};
        }
        default: VQ_ASSERT(false);
    }
    return {};
}

/// Walks over the file; every step checks what is left.
class Cursor {
public:
    Cursor(ByteSpan bytes, std::string where) : bytes_(bytes), where_(std::move(where)) {}

    std::int64_t position() const { return static_cast<std::int64_t>(at_); }
    std::int64_t left() const { return static_cast<std::int64_t>(bytes_.size() - at_); }
    /// What is being read, for messages: "" or the key's or tensor's name.
    void set_item(std::string item) { item_ = std::move(item); }

    [[noreturn]] void fail(const std::string& what, const std::string& todo = damaged) const {
        throw Error(what, item_.empty() ? where_ : where_ + ": " + item_, todo);
    }

    ByteSpan take(std::int64_t bytes) {
        if (bytes < 0 || bytes > left())
            fail(fmt::format("file ends at byte {} inside its header", bytes_.size()));
        const ByteSpan part = bytes_.subspan(at_, static_cast<std::size_t>(bytes));
        at_ += static_cast<std::size_t>(bytes);
        return part;
    }
    template <class T>
    T number() {
        return load<T>(take(sizeof(T)).data());
    }
    /// A count of things that take at least `least` bytes each.
    std::int64_t count(std::int64_t least, const char* things) {
        const auto value = number<std::uint64_t>();
        if (value > static_cast<std::uint64_t>(left() / least))
            fail(fmt::format("{} {} do not fit into the file", value, things));
        return static_cast<std::int64_t>(value);
    }
    std::string_view text() {
        const ByteSpan part = take(count(1, "bytes of text"));
        return {reinterpret_cast<const char*>(part.data()), part.size()};
    }
    GgufType type() {
        const auto value = number<std::uint32_t>();
        if (value > static_cast<std::uint32_t>(GgufType::f64))
            fail(fmt::format("unknown value type {}", value));
        return static_cast<GgufType>(value);
    }
    GgufArray array(int depth) {
        if (depth > max_array_depth) fail("arrays are nested too deeply");
        GgufArray array;
        array.type = type();
        const std::int64_t fixed = fixed_bytes(array.type);
        const std::int64_t least = fixed > 0 ? fixed : array.type == GgufType::string ? 8 : 12;
        array.count = count(least, "array elements");
        const std::size_t begin = at_;
        if (fixed > 0) {
            take(array.count * fixed);
        } else {
            for (std::int64_t i = 0; i < array.count; ++i) {
                if (array.type == GgufType::string)
                    text();
                else
                    this->array(depth + 1);
            }
        }
        array.bytes = bytes_.subspan(begin, at_ - begin);
        return array;
    }
    GgufValue value() {
        const GgufType kind = type();
        if (kind == GgufType::string) return {kind, text()};
        if (kind == GgufType::array) return {kind, array(1)};
        return decode(kind, take(fixed_bytes(kind)).data());
    }

private:
    ByteSpan bytes_;
    std::string where_, item_;
    std::size_t at_ = 0;
};

/// A name for messages: control bytes and over-long names would garble the one line of an error.
std::string printable(std::string_view text) {
    std::string out;
    for (const char c : text.substr(0, 80)) out += c >= ' ' && c < 127 ? c : '?';
    return out;
}

GgufTensor read_tensor_info(Cursor& cursor) {
    GgufTensor tensor;
    cursor.set_item("tensor list");
    tensor.name = cursor.text();
    cursor.set_item(printable(tensor.name));
    const auto rank = cursor.number<std::uint32_t>();
    if (rank == 0 || rank > max_rank) cursor.fail(fmt::format("tensor has {} dimensions", rank));
    for (std::uint32_t i = 0; i < rank; ++i) {
        const auto extent = cursor.number<std::uint64_t>();
        if (extent == 0 ||
            extent > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
            cursor.fail(fmt::format("tensor has an extent of {}", extent));
        tensor.extents.push_back(static_cast<std::int64_t>(extent));
    }
    const auto type = cursor.number<std::uint32_t>();
    const GgmlTypeInfo* info = ggml_type_info(type);
    if (info == nullptr)
        cursor.fail("tensor type " + ggml_type_name(type) + " is not supported",
                    "use a file with tensors of " + readable_ggml_types());
    tensor.type = static_cast<GgmlType>(type);
    const auto count = checked_count(tensor.extents);
    const auto bytes =
        count ? checked_product(*count / info->block_size, info->block_bytes) : std::nullopt;
    if (!bytes) cursor.fail("tensor is too large");
    if (tensor.extents[0] % info->block_size != 0)
        cursor.fail(fmt::format("row of {} weights is not a whole number of {} blocks",
                                tensor.extents[0], info->name));
    tensor.count = *count;
    tensor.bytes = *bytes;
    const auto offset = cursor.number<std::uint64_t>();
    if (offset > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max() / 2))
        cursor.fail(fmt::format("tensor offset {} is past the end of the file", offset));
    tensor.begin = static_cast<std::int64_t>(offset);
    return tensor;
}

/// Checks offsets and turns them into positions in the file.
void place_tensors(std::vector<GgufTensor>& tensors, std::int64_t data_begin,
                   std::int64_t alignment, std::int64_t file_size, const std::string& path) {
    std::vector<GgufTensor*> order;
    order.reserve(tensors.size());
    for (GgufTensor& tensor : tensors) order.push_back(&tensor);
    std::sort(order.begin(), order.end(),
              [](const GgufTensor* a, const GgufTensor* b) { return a->begin < b->begin; });
    std::int64_t end = 0;
    const GgufTensor* before = nullptr;
    for (GgufTensor* tensor : order) {
        const std::string where = path + ": " + printable(tensor->name);
        const std::int64_t room = std::max<std::int64_t>(0, file_size - data_begin);
        if (tensor->begin % alignment != 0)
            throw Error(fmt::format("tensor offset {} is not a multiple of the alignment {}",
                                    tensor->begin, alignment),
                        where, damaged);
        if (tensor->begin > room || tensor->bytes > room - tensor->begin)
            throw Error(
                fmt::format("tensor reaches past the end of the file ({} bytes at {} of {})",
                            tensor->bytes, tensor->begin, room),
                where, damaged);
        if (tensor->begin < end)
            throw Error("tensor overlaps " + printable(before->name), where, damaged);
        end = tensor->begin + tensor->bytes;
        tensor->begin += data_begin;
        before = tensor;
    }
    // Writers fill up to the alignment behind the last tensor too. Anything else means that the file
    // is not what its writer made of it.
    end += data_begin;
    if (file_size > (end + alignment - 1) / alignment * alignment)
        throw Error(
            fmt::format("file goes on for {} bytes behind its last tensor", file_size - end), path,
            damaged);
}

std::int64_t alignment_of(const GgufHeader& header, const std::string& path) {
    const auto found = header.values.find("general.alignment");
    if (found == header.values.end()) return 32;
    const auto* alignment = std::get_if<std::int64_t>(&found->second.value);
    if (alignment == nullptr || *alignment < 1 || *alignment > (1 << 20) ||
        (*alignment & (*alignment - 1)) != 0)
        throw Error("general.alignment is not a power of two", path, damaged);
    return *alignment;
}

}  // namespace

const char* gguf_type_name(GgufType type) {
    constexpr std::array names{"u8",      "i8",     "u16",   "i16", "u32", "i32", "f32",
                               "boolean", "string", "array", "u64", "i64", "f64"};
    return names.at(static_cast<std::size_t>(type));
}

bool is_gguf_integer(GgufType type) {
    switch (type) {
        case GgufType::u8:
        case GgufType::i8:
        case GgufType::u16:
        case GgufType::i16:
        case GgufType::u32:
        case GgufType::i32:
        case GgufType::u64:
        case GgufType::i64: return true;
        default: return false;
    }
}

std::vector<std::string_view> gguf_strings(const GgufArray& array) {
    VQ_ASSERT(array.type == GgufType::string);
    std::vector<std::string_view> out;
    out.reserve(static_cast<std::size_t>(array.count));
    Cursor cursor(array.bytes, "");
    for (std::int64_t i = 0; i < array.count; ++i) out.push_back(cursor.text());
    return out;
}

std::optional<std::vector<std::int64_t>> gguf_ints(const GgufArray& array) {
    VQ_ASSERT(is_gguf_integer(array.type));
    std::vector<std::int64_t> out(static_cast<std::size_t>(array.count));
    const std::int64_t step = fixed_bytes(array.type);
    for (std::size_t i = 0; i < out.size(); ++i) {
        const GgufValue value =
            decode(array.type, array.bytes.data() + static_cast<std::int64_t>(i) * step);
        if (!std::holds_alternative<std::int64_t>(value.value)) return std::nullopt;
        out[i] = std::get<std::int64_t>(value.value);
    }
    return out;
}

bool has_gguf_magic(ByteSpan bytes) {
    return bytes.size() >= 4 && load<std::uint32_t>(bytes.data()) == magic;
}

GgufHeader read_gguf_header(const MappedFile& file) {
    const std::string& path = file.path();
    GgufHeader header;
    Cursor cursor(file.bytes(), path);
    if (!has_gguf_magic(file.bytes())) refuse_recognized_kind(file.bytes(), path);
    if (file.size() < 24 || cursor.number<std::uint32_t>() != magic)
        throw Error("file does not begin as a GGUF file", path, "check that it is the right file");
    header.version = cursor.number<std::uint32_t>();
    if (header.version != 2 && header.version != 3) {
        const bool swapped = header.version == 0x02000000 || header.version == 0x03000000;
        throw Error(swapped ? "GGUF file is big-endian"
                            : fmt::format("GGUF version {} is not supported", header.version),
                    path, "use a little-endian file of version 3");
    }
    // The smallest tensor info: empty name, one extent; the smallest pair: empty key, one byte.
    const std::int64_t tensor_count = cursor.count(8 + 4 + 8 + 4 + 8, "tensors");
    const std::int64_t pair_count = cursor.count(8 + 4 + 1, "key-value pairs");
    for (std::int64_t i = 0; i < pair_count; ++i) {
        cursor.set_item("key-value pairs");
        std::string key(cursor.text());
        cursor.set_item(printable(key));
        GgufValue value = cursor.value();
        if (!header.values.emplace(std::move(key), value).second)
            cursor.fail("key stands twice in the file");
    }
    std::unordered_set<std::string> names;
    for (std::int64_t i = 0; i < tensor_count; ++i) {
        header.tensors.push_back(read_tensor_info(cursor));
        if (!names.insert(header.tensors.back().name).second)
            cursor.fail("tensor name stands twice in the file");
    }
    const std::int64_t alignment = alignment_of(header, path);
    const std::int64_t header_end = cursor.position();
    const std::int64_t data_begin = (header_end + alignment - 1) / alignment * alignment;
    place_tensors(header.tensors, data_begin, alignment, file.size(), path);
    return header;
}

}  // namespace vq
