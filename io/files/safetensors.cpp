// SPDX-License-Identifier: Apache-2.0
#include "io/files/safetensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/half.h"
#include "base/json.h"
#include "io/files/checked_math.h"
#include "io/files/file_kind.h"

namespace vq {
namespace {

constexpr std::int64_t max_header_bytes = 100'000'000;
constexpr std::size_t max_rank = 8;
constexpr const char* damaged = "the file is damaged or incomplete: get it again";

struct TypeRow {
    const char* name;
    std::int64_t bytes;
    SafetensorType type;
};
constexpr std::array type_table{
    TypeRow{"F32", 4, SafetensorType::f32},       TypeRow{"F16", 2, SafetensorType::f16},
    TypeRow{"BF16", 2, SafetensorType::bf16},     TypeRow{"F64", 8, SafetensorType::other},
    TypeRow{"I64", 8, SafetensorType::other},     TypeRow{"I32", 4, SafetensorType::other},
    TypeRow{"I16", 2, SafetensorType::other},     TypeRow{"I8", 1, SafetensorType::other},
    TypeRow{"U64", 8, SafetensorType::other},     TypeRow{"U32", 4, SafetensorType::other},
    TypeRow{"U16", 2, SafetensorType::other},     TypeRow{"U8", 1, SafetensorType::other},
    TypeRow{"BOOL", 1, SafetensorType::other},    TypeRow{"C64", 8, SafetensorType::other},
    TypeRow{"F8_E4M3", 1, SafetensorType::other}, TypeRow{"F8_E5M2", 1, SafetensorType::other},
    TypeRow{"F8_E8M0", 1, SafetensorType::other},
};

const TypeRow& type_row(SafetensorType type) {
    VQ_ASSERT(type != SafetensorType::other);
    return *std::find_if(type_table.begin(), type_table.end(),
                         [&](const TypeRow& row) { return row.type == type; });
}

/// Reads the header event by event: its shape is fixed (two levels of objects), so nothing is built
/// that a hostile header could make large or deep, and a name given twice is noticed.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
public:
    explicit HeaderReader(std::string where) : where_(std::move(where)) {}
    std::vector<SafetensorInfo> take() { return std::move(tensors_); }

    bool start_object(std::size_t) override {
        ++depth_;
        if (depth_ > 2 || in_array_) fail("header value has the wrong type");
        if (depth_ == 2 && !in_metadata_) {
            current_ = {};
            current_.name = name_;
            offsets_.clear();
            has_shape_ = false;
        }
        return true;
    }
    bool end_object() override {
        --depth_;
        if (depth_ == 1 && !in_metadata_) finish_tensor();
        if (depth_ == 1) name_.clear();
        return true;
    }
    bool key(string_t& text) override {
        if (depth_ == 1) {
            name_ = text;
            in_metadata_ = text == "__metadata__";
            if (!names_.emplace(text, true).second) fail("tensor name stands twice in the header");
        } else {
            field_ = text;
        }
        return true;
    }
    bool start_array(std::size_t) override {
        if (depth_ != 2 || in_metadata_ || in_array_ ||
            (field_ != "shape" && field_ != "data_offsets"))
            fail("header value has the wrong type");
        in_array_ = true;
        return true;
    }
    bool end_array() override {
        in_array_ = false;
        has_shape_ = has_shape_ || field_ == "shape";
        return true;
    }
    bool number_unsigned(number_unsigned_t value) override {
        if (!in_array_) fail("header value has the wrong type");
        if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
            fail(fmt::format("{} {} is too large", field_, value));
        std::vector<std::int64_t>& list = field_ == "shape" ? current_.shape : offsets_;
        if (list.size() >= (field_ == "shape" ? max_rank : 2))
            fail(field_ + " has too many entries");
        list.push_back(static_cast<std::int64_t>(value));
        return true;
    }
    bool number_integer(number_integer_t value) override {
        fail(fmt::format("{} holds the number {}", field_, value));
    }
    bool number_float(number_float_t, const string_t& text) override {
        fail(fmt::format("{} holds the number {}", field_, text));
    }
    bool string(string_t& value) override {
        if (depth_ == 2 && in_metadata_) return true;
        if (depth_ != 2 || in_array_ || field_ != "dtype") fail("header value has the wrong type");
        current_.type_name = value;
        return true;
    }
    bool null() override { fail("header value has the wrong type"); }
    bool boolean(bool) override { fail("header value has the wrong type"); }
    bool binary(binary_t&) override { fail("header value has the wrong type"); }
    bool parse_error(std::size_t position, const std::string&,
                     const nlohmann::detail::exception&) override {
        throw Error(fmt::format("header is not valid JSON at byte {}", position), where_, damaged);
    }

private:
    [[noreturn]] void fail(const std::string& what) const {
        throw Error(what, name_.empty() ? where_ : where_ + ": " + name_, damaged);
    }

    void finish_tensor() {
        if (!has_shape_ || offsets_.size() != 2 || current_.type_name.empty())
            fail("tensor lacks dtype, shape or data_offsets");
        const auto* row =
            std::find_if(type_table.begin(), type_table.end(),
                         [&](const TypeRow& entry) { return current_.type_name == entry.name; });
        if (row == type_table.end())
            throw Error("unknown dtype " + current_.type_name, where_ + ": " + name_,
                        "convert the checkpoint to F32, F16 or BF16");
        const auto count = checked_count(current_.shape);
        const auto bytes = count ? checked_product(*count, row->bytes) : std::nullopt;
        if (!bytes) fail(fmt::format("shape [{}] is too large", fmt::join(current_.shape, ", ")));
        current_.type = row->type;
        current_.count = *count;
        current_.begin = offsets_[0];
        current_.bytes = *bytes;
        if (offsets_[1] < offsets_[0] || offsets_[1] - offsets_[0] != *bytes)
            fail(fmt::format("data_offsets [{}, {}] do not match {} [{}], which takes {} bytes",
                             offsets_[0], offsets_[1], current_.type_name,
                             fmt::join(current_.shape, ", "), *bytes));
        tensors_.push_back(std::move(current_));
    }

    std::string where_;
    std::vector<SafetensorInfo> tensors_;
    std::unordered_map<std::string, bool> names_;
    SafetensorInfo current_;
    std::vector<std::int64_t> offsets_;
    std::string name_, field_;
    int depth_ = 0;
    bool in_metadata_ = false, in_array_ = false, has_shape_ = false;
};

void check_extents(std::vector<SafetensorInfo>& tensors, std::int64_t data_begin,
                   std::int64_t file_size, const std::string& path) {
    std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
        return a.begin != b.begin   ? a.begin < b.begin
               : a.bytes != b.bytes ? a.bytes < b.bytes
                                    : a.name < b.name;
    });
    const std::int64_t room = file_size - data_begin;
    std::int64_t end = 0;
    const SafetensorInfo* before = nullptr;
    for (SafetensorInfo& info : tensors) {
        if (info.begin > room || info.bytes > room - info.begin)
            throw Error(
                fmt::format("tensor reaches past the end of the file ({} bytes at {} of {})",
                            info.bytes, info.begin, room),
                path + ": " + info.name, damaged);
        if (info.begin < end)
            throw Error("tensor overlaps " + before->name, path + ": " + info.name, damaged);
        if (info.begin > end)
            throw Error(fmt::format("{} bytes before the tensor belong to none", info.begin - end),
                        path + ": " + info.name, damaged);
        end = info.begin + info.bytes;
        info.begin += data_begin;
        before = &info;
    }
    if (end < room)
        throw Error(fmt::format("file goes on for {} bytes behind its last tensor", room - end),
                    path, damaged);
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path) : file_(path) {
    const ByteSpan bytes = file_.bytes();
    if (bytes.size() < 8)
        throw Error(fmt::format("file has {} bytes, too few for a safetensors file", bytes.size()),
                    path, damaged);
    std::uint64_t header = 0;
    std::memcpy(&header, bytes.data(), sizeof(header));
    if (header > static_cast<std::uint64_t>(max_header_bytes) || bytes.size() == 8 ||
        bytes[8] != '{')
        refuse_recognized_kind(bytes, path);
    if (header > static_cast<std::uint64_t>(max_header_bytes))
        throw Error(fmt::format("header length {} is above the limit of {} bytes", header,
                                max_header_bytes),
                    path, "check that it is a safetensors file");
    if (header > bytes.size() - 8)
        throw Error(fmt::format("header of {} bytes reaches past the end of the file", header),
                    path, damaged);
    const auto* text = reinterpret_cast<const char*>(bytes.data()) + 8;
    if (header == 0 || *text != '{') throw Error("header is not a JSON object", path, damaged);
    HeaderReader reader(path);
    nlohmann::json::sax_parse(text, text + header, &reader);
    tensors_ = reader.take();
    check_extents(tensors_, 8 + static_cast<std::int64_t>(header), file_.size(), path);
    for (std::size_t i = 0; i < tensors_.size(); ++i) index_.emplace(tensors_[i].name, i);
}

const SafetensorInfo* SafetensorsFile::find(const std::string& name) const {
    const auto found = index_.find(name);
    return found == index_.end() ? nullptr : &tensors_[found->second];
}

ByteSpan SafetensorsFile::data(const SafetensorInfo& info) const {
    return file_.bytes().subspan(static_cast<std::size_t>(info.begin),
                                 static_cast<std::size_t>(info.bytes));
}

void safetensor_to_float(SafetensorType type, const std::uint8_t* data, std::int64_t count,
                         float* out) {
    VQ_ASSERT(type != SafetensorType::other);
    if (type == SafetensorType::f32) {
        if (count > 0) std::memcpy(out, data, static_cast<std::size_t>(count) * sizeof(float));
        return;
    }
    // A header of odd length leaves 16-bit data unaligned, so it goes through a small buffer.
    constexpr std::int64_t chunk = 4096;
    std::array<std::uint16_t, chunk> buffer;
    for (std::int64_t at = 0; at < count; at += chunk) {
        const std::int64_t n = std::min(chunk, count - at);
        std::memcpy(buffer.data(), data + 2 * at, static_cast<std::size_t>(2 * n));
        if (type == SafetensorType::f16)
            float_from_half(buffer.data(), n, out + at);
        else
            float_from_bf16(buffer.data(), n, out + at);
    }
}

std::map<std::string, std::string> parse_safetensors_index(std::string_view json_text,
                                                           const std::string& where) {
    const auto json = nlohmann::json::parse(json_text, nullptr, false);
    if (json.is_discarded() || !json.is_object() || !json.contains("weight_map") ||
        !json["weight_map"].is_object())
        throw Error("index is not JSON with a weight_map", where, damaged);
    std::map<std::string, std::string> shards;
    for (const auto& [name, file] : json["weight_map"].items()) {
        const std::string shard = file.is_string() ? file.get<std::string>() : std::string();
        if (shard.empty() ||
            shard.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos ||
            shard == "." || shard == "..")
            throw Error("shard is not the name of a file in the folder",
                        fmt::format("{}: {}", where, name), damaged);
        shards[name] = shard;
    }
    if (shards.empty()) throw Error("weight_map is empty", where, damaged);
    return shards;
}

SafetensorsWriter::SafetensorsWriter(const std::string& path, std::vector<SafetensorEntry> entries)
    : path_(path), entries_(std::move(entries)), file_(path) {
    Json header;
    header["__metadata__"] = {{"format", "pt"}};
    std::int64_t offset = 0;
    for (const SafetensorEntry& entry : entries_) {
        VQ_ASSERT(!header.contains(entry.name));
        const auto count = checked_count(entry.shape);
        VQ_ASSERT(count.has_value());
        const std::int64_t bytes = *count * type_row(entry.type).bytes;
        header[entry.name] = {{"dtype", type_row(entry.type).name},
                              {"shape", entry.shape},
                              {"data_offsets", {offset, offset + bytes}}};
        offset += bytes;
    }
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');  // data starts on a multiple of 8 bytes
    const std::uint64_t length = text.size();
    file_.write(&length, sizeof(length));
    file_.write(text);
}

void SafetensorsWriter::write(const std::string& name, const float* values) {
    VQ_ASSERT(next_ < entries_.size() && written_ == 0);
    append(name, values, *checked_count(entries_[next_].shape));
}

void SafetensorsWriter::append(const std::string& name, const float* values, std::int64_t count) {
    VQ_ASSERT(next_ < entries_.size() && entries_[next_].name == name);
    const SafetensorEntry& entry = entries_[next_];
    const std::int64_t before = written_;
    written_ += count;
    const std::int64_t whole = *checked_count(entry.shape);
    VQ_ASSERT(written_ <= whole);
    if (written_ == whole) {
        ++next_;
        written_ = 0;
    }
    constexpr std::int64_t chunk = 1 << 16;
    std::vector<float> exact(static_cast<std::size_t>(std::min(chunk, count)));
    std::vector<std::uint16_t> narrow(exact.size());
    for (std::int64_t at = 0; at < count; at += chunk) {
        const std::int64_t n = std::min(chunk, count - at);
        const float* stored = values + at;
        if (entry.type == SafetensorType::f16) {
            half_from_float(values + at, n, narrow.data());
            float_from_half(narrow.data(), n, exact.data());
            stored = exact.data();
        } else if (entry.type == SafetensorType::bf16) {
            bf16_from_float(values + at, n, narrow.data());
            float_from_bf16(narrow.data(), n, exact.data());
            stored = exact.data();
        }
        for (std::int64_t i = 0; i < n; ++i) {
            if (std::isfinite(stored[i])) continue;
            throw Error(fmt::format("value {} at element {} is not finite in {}", values[at + i],
                                    before + at + i, type_row(entry.type).name),
                        path_ + ": " + name, "write this tensor as F32, or check its values");
        }
        if (entry.type == SafetensorType::f32)
            file_.write(stored, 4 * n);
        else
            file_.write(narrow.data(), 2 * n);
    }
}

void SafetensorsWriter::finish() {
    VQ_ASSERT(next_ == entries_.size());
    file_.commit();
}

}  // namespace vq
