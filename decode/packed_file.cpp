// SPDX-License-Identifier: Apache-2.0
#include "decode/packed_file.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "base/error.h"
#include "base/packed/packed_code.h"
#include "decode/codes.h"
#include "decode/rotation.h"

namespace vq::decode {

namespace {

// The product of two extents still fits into an Index; for three there is product_or_none().
constexpr Index most_extent = Index{1} << 31;

template <class T>
T read_record(const std::uint8_t* at) {
    T record;
    std::memcpy(&record, at, sizeof(T));
    return record;
}

}  // namespace

std::uint64_t fnv1a(const void* data, std::size_t bytes) {
    constexpr std::uint64_t prime = 0x100000001B3ull;
    std::uint64_t hash = 0xCBF29CE484222325ull;
    const auto* p = static_cast<const std::uint8_t*>(data);
    for (; bytes >= 8; p += 8, bytes -= 8) {
        hash = (hash ^ read_record<std::uint64_t>(p)) * prime;
        hash ^= hash >> 32;  // a word's high bits would never reach the low ones
    }
    for (; bytes > 0; ++p, --bytes) hash = (hash ^ *p) * prime;
    return hash;
}

class PackedFile::Reader {
public:
    Reader(PackedFile& file, const void* data, std::size_t bytes)
        : file_(file), data_(static_cast<const std::uint8_t*>(data)), bytes_(bytes) {}

    void read() {
        if (reinterpret_cast<std::uintptr_t>(data_) % section_align != 0)
            throw Error("the file does not begin at a multiple of 64 bytes", "packed file",
                        "map it, or copy it into aligned memory");
        if (bytes_ < sizeof(FileHeader) ||
            std::memcmp(data_, packed_magic, sizeof(packed_magic)) != 0)
            throw Error("not a packed file", "packed file",
                        "make one with `vq export --to packed`");
        header_ = read_record<FileHeader>(data_);
        if (header_.version != packed_version)
            throw Error("version " + std::to_string(header_.version) + " of the format",
                        "packed file", "export it again, or use another version of vqkit");
        if (header_.header_bytes != sizeof(FileHeader) ||
            header_.header_checksum != fnv1a(data_, offsetof(FileHeader, header_checksum)))
            fail_damaged("the header's checksum does not match", "packed file");
        if (header_.file_bytes != bytes_)
            fail_damaged("the file has " + std::to_string(bytes_) + " bytes and should have " +
                             std::to_string(header_.file_bytes),
                         "packed file");
        read_directory();
    }

private:
    void read_directory() {
        const std::uint8_t* at = bytes_of(header_.directory, "directory");
        if (fnv1a(at, header_.directory.bytes) != header_.directory_checksum)
            fail_damaged("the directory's checksum does not match", "packed file");
        const std::uint64_t records = std::uint64_t{header_.blobs} * sizeof(BlobRecord) +
                                      std::uint64_t{header_.codebooks} * sizeof(CodebookRecord) +
                                      std::uint64_t{header_.tensors} * sizeof(TensorRecord) +
                                      std::uint64_t{header_.segments} * sizeof(SegmentRecord);
        if (records > header_.directory.bytes)
            fail_damaged("the directory is too short", "packed file");
        names_ = {reinterpret_cast<const char*>(at + records),
                  static_cast<std::size_t>(header_.directory.bytes - records)};
        for (std::uint32_t i = 0; i < header_.blobs; ++i, at += sizeof(BlobRecord))
            blob(read_record<BlobRecord>(at));
        for (std::uint32_t i = 0; i < header_.codebooks; ++i, at += sizeof(CodebookRecord))
            codebook(read_record<CodebookRecord>(at));
        const std::uint8_t* segments = at + header_.tensors * sizeof(TensorRecord);
        file_.segment_pointers_.reserve(header_.segments);  // tensors hold spans of it
        for (std::uint32_t i = 0; i < header_.tensors; ++i, at += sizeof(TensorRecord))
            tensor(read_record<TensorRecord>(at), segments);
    }

    const std::uint8_t* bytes_of(const Section& s, const std::string& where) const {
        // Never at the header: kernels may read (and never use) a few bytes before codes.
        if (s.offset % section_align != 0 || s.offset > bytes_ || s.bytes > bytes_ - s.offset ||
            (s.bytes > 0 && s.offset < sizeof(FileHeader)))
            fail_damaged("a section lies outside of the file", where);
        return data_ + s.offset;
    }

    std::string_view name(const NameRef& ref) const {
        if (ref.offset > names_.size() || ref.bytes > names_.size() - ref.offset || ref.bytes == 0)
            fail_damaged("a name lies outside of the directory", "packed file");
        return names_.substr(ref.offset, ref.bytes);
    }

    void blob(const BlobRecord& r) {
        const std::string_view n = name(r.name);
        const std::uint8_t* at = bytes_of(r.data, std::string(n));
        file_.blobs_.push_back(
            {n, {reinterpret_cast<const char*>(at), static_cast<std::size_t>(r.data.bytes)}});
    }

    void codebook(const CodebookRecord& r) {
        const std::string where = "codebook " + std::to_string(file_.codebooks_.size());
        if (r.entries < 2 || r.entries > 65536 || (r.entries & (r.entries - 1)) != 0 || r.dim < 1 ||
            r.dim > most_dim || r.data.bytes != std::uint64_t{r.entries} * r.dim * sizeof(Half))
            fail_damaged("the sizes of a codebook do not fit together", where);
        codebook_bytes_ += r.data.bytes;  // each is copied: none may be counted twice
        if (codebook_bytes_ > bytes_) fail_damaged("codebooks overlap", where);
        const auto* words = reinterpret_cast<const Half*>(bytes_of(r.data, where));
        if (!std::all_of(words, words + std::size_t{r.entries} * r.dim, finite))
            fail_damaged("a codeword is not finite", where);
        file_.codebooks_.add(r.entries, r.dim, words);
    }

    void tensor(const TensorRecord& r, const std::uint8_t* segments) {
        Tensor t;
        t.name = name(r.name);
        const std::string where(t.name);
        if (!seen_.insert(t.name).second) fail_damaged("two tensors of one name", where);
        t.rows = extent(r.rows, where);
        t.cols = extent(r.cols, where);
        t.kind = r.kind;
        if (r.kind != TensorKind::coded) {
            dense(r, t, where);
            file_.tensors_.push_back(t);
            return;
        }
        t.padded_rows = extent(r.padded_rows, where);
        t.padded_cols = extent(r.padded_cols, where);
        if (t.padded_rows < t.rows || t.padded_cols < t.cols)
            fail_damaged("padding makes the tensor smaller", where);
        scales(r, t, where);
        transform(r, t, where);
        const std::size_t first = file_.segments_.size();
        if (r.segments == 0 || r.first_segment != first ||
            r.segments > header_.segments - r.first_segment)
            fail_damaged("the segments of a tensor are out of range", where);
        Index at = 0;
        for (std::uint32_t i = 0; i < r.segments; ++i) {
            const auto s =
                segment(read_record<SegmentRecord>(segments + (first + i) * sizeof(SegmentRecord)),
                        t, at, where);
            file_.segments_.push_back(s);
            file_.segment_pointers_.push_back(s.get());
            at += s->cols;
            t.bytes += static_cast<std::uint64_t>(s->code_bytes);
        }
        if (at != t.padded_cols) fail_damaged("the segments do not cover the columns", where);
        t.segments = {file_.segment_pointers_.data() + first, r.segments};
        if (t.rotated_in) t.signs_in = signs(r.seed_in, t.cols, where);
        if (t.rotated_out) t.signs_out = signs(r.seed_out, t.rows, where);
        file_.tensors_.push_back(t);
    }

    static Index extent(std::uint64_t value, const std::string& where) {
        if (value < 1 || value > static_cast<std::uint64_t>(most_extent))
            fail_damaged("an extent is out of range", where);
        return static_cast<Index>(value);
    }

    void dense(const TensorRecord& r, Tensor& t, const std::string& where) const {
        if (r.kind != TensorKind::dense_f32 && r.kind != TensorKind::dense_f16 &&
            r.kind != TensorKind::dense_bf16)
            fail_damaged("unknown kind of tensor", where);
        const Index width = r.kind == TensorKind::dense_f32 ? 4 : 2;
        Index bytes = 0;
        if (__builtin_mul_overflow(t.rows, t.cols, &bytes) ||
            __builtin_mul_overflow(bytes, width, &bytes) ||
            r.dense.bytes != static_cast<std::uint64_t>(bytes))
            fail_damaged("the values have the wrong length", where);
        t.dense = bytes_of(r.dense, where);
        t.padded_rows = t.rows;
        t.padded_cols = t.cols;
        t.bytes = r.dense.bytes;
    }

    const Half* halves(const Section& s, Index count, const std::string& where) const {
        if (s.bytes != static_cast<std::uint64_t>(count) * sizeof(Half))
            fail_damaged("scales have the wrong length", where);
        const auto* values = reinterpret_cast<const Half*>(bytes_of(s, where));
        if (!std::all_of(values, values + count, finite))
            fail_damaged("a scale is not finite", where);
        return values;
    }

    void scales(const TensorRecord& r, Tensor& t, const std::string& where) const {
        t.scale_kind = r.scale_kind;
        t.bytes += r.scales.bytes;
        switch (r.scale_kind) {
            case ScaleKind::tensor:
                if (r.scales.bytes != sizeof(float)) fail_damaged("no scale", where);
                t.tensor_scale = read_record<float>(bytes_of(r.scales, where));
                if (!std::isfinite(t.tensor_scale)) fail_damaged("a scale is not finite", where);
                return;
            case ScaleKind::row: t.scales = halves(r.scales, t.padded_rows, where); return;
            case ScaleKind::group: {
                t.scale_group = extent(r.scale_group, where);
                Index count = 0;
                if (__builtin_mul_overflow(t.padded_rows, ceil_div(t.padded_cols, t.scale_group),
                                           &count) ||
                    count > static_cast<Index>(bytes_))
                    fail_damaged("scales have the wrong length", where);
                t.scales = halves(r.scales, count, where);
                return;
            }
        }
        fail_damaged("unknown kind of scale", where);
    }

    /// Drawn once for all tensors that share them. A bit for each row and column is less than a
    /// tensor's codes and record take: tensors that share codes must not add up to more.
    const std::uint64_t* signs(std::uint64_t seed, Index n, const std::string& where) {
        std::vector<std::uint64_t>& bits = file_.signs_[{seed, n}];
        if (bits.empty()) {
            sign_bytes_ += static_cast<std::uint64_t>(n + 7) / 8;
            if (sign_bytes_ > bytes_)
                fail_damaged("the file is too small for its rotations", where);
            bits = sign_bits(seed, n);
        }
        return bits.data();
    }

    void transform(const TensorRecord& r, Tensor& t, const std::string& where) const {
        if ((r.rotations & ~(rotate_in | rotate_out)) != 0) fail_damaged("unknown rotation", where);
        t.rotated_in = (r.rotations & rotate_in) != 0;
        t.rotated_out = (r.rotations & rotate_out) != 0;
        if (r.column_scale.bytes != 0) {
            t.column_scale = halves(r.column_scale, t.cols, where);
            if (!std::all_of(t.column_scale, t.column_scale + t.cols,
                             [](Half h) { return h != 0 && (h & 0x8000u) == 0; }))
                fail_damaged("a column scale is not positive", where);
            t.bytes += r.column_scale.bytes;
        }
        if (r.permutation.bytes == 0) return;
        if (r.permutation.bytes != static_cast<std::uint64_t>(t.cols) * sizeof(std::uint32_t))
            fail_damaged("the permutation has the wrong length", where);
        t.permutation = reinterpret_cast<const std::uint32_t*>(bytes_of(r.permutation, where));
        std::vector<bool> seen(static_cast<std::size_t>(t.cols), false);
        for (Index c = 0; c < t.cols; ++c) {
            if (t.permutation[c] >= static_cast<std::uint64_t>(t.cols) || seen[t.permutation[c]])
                fail_damaged("the permutation is none", where);
            seen[t.permutation[c]] = true;
        }
        t.bytes += r.permutation.bytes;
    }

    std::shared_ptr<const Segment> segment(const SegmentRecord& r, const Tensor& t, Index col0,
                                           const std::string& where) {
        const Index cols = extent(r.cols, where);
        if (static_cast<Index>(r.col0) != col0 || cols > t.padded_cols - col0)
            fail_damaged("a segment's columns are out of range", where);
        const PackedCode* code = find_code(r.code);
        if (code == nullptr) fail_damaged("unknown code", where);
        if (t.padded_rows % code->tile_rows != 0)
            fail_damaged("the rows do not fill the tiles of their code", where);
        const auto s = code->read(r, {col0, cols, t, file_.codebooks_, where});
        s->code = code;
        if (s->code_bytes < 0 ||
            r.codes.bytes != static_cast<std::uint64_t>(s->code_bytes) + code_slack)
            fail_damaged("the codes have the wrong length", where);
        s->codes = bytes_of(r.codes, where);
        if (code->check_codes != nullptr) code->check_codes(*s, where);
        return s;
    }

    PackedFile& file_;
    const std::uint8_t* data_;
    std::size_t bytes_;
    FileHeader header_{};
    std::uint64_t codebook_bytes_ = 0;
    std::uint64_t sign_bytes_ = 0;
    std::string_view names_;
    std::set<std::string_view> seen_;
};

PackedFile::PackedFile(const void* data, std::size_t bytes) {
    Reader(*this, data, bytes).read();
}
PackedFile::~PackedFile() = default;
PackedFile::PackedFile(PackedFile&&) noexcept = default;

}  // namespace vq::decode
