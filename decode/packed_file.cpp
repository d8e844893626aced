#include "decode/packed_file.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "base/error.h"
#include "codebooks/residual/table.h"
#include "codebooks/scalar/grid.h"
#include "decode/code_bytes.h"
#include "decode/rotation.h"

namespace vq::decode {

namespace {

constexpr Index most_extent = Index{1} << 31;
constexpr float lut_word_most = 8191;

[[noreturn]] void fail(const std::string& what, const std::string& where) {
    throw Error(what, where, "the file is damaged; export it again");
}

template <class T>
T read_record(const std::uint8_t* at) {
    T record;
    std::memcpy(&record, at, sizeof(T));
    return record;
}

bool finite(Half h) {
    return (h & 0x7C00u) != 0x7C00u;
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
            fail("the header's checksum does not match", "packed file");
        if (header_.file_bytes != bytes_)
            fail("the file has " + std::to_string(bytes_) + " bytes and should have " +
                     std::to_string(header_.file_bytes),
                 "packed file");
        read_directory();
    }

private:
    void read_directory() {
        const std::uint8_t* at = bytes_of(header_.directory, "directory");
        if (fnv1a(at, header_.directory.bytes) != header_.directory_checksum)
            fail("the directory's checksum does not match", "packed file");
        const std::uint64_t records = std::uint64_t{header_.blobs} * sizeof(BlobRecord) +
                                      std::uint64_t{header_.codebooks} * sizeof(CodebookRecord) +
                                      std::uint64_t{header_.tensors} * sizeof(TensorRecord) +
                                      std::uint64_t{header_.segments} * sizeof(SegmentRecord);
        if (records > header_.directory.bytes) fail("the directory is too short", "packed file");
        names_ = {reinterpret_cast<const char*>(at + records),
                  static_cast<std::size_t>(header_.directory.bytes - records)};
        for (std::uint32_t i = 0; i < header_.blobs; ++i, at += sizeof(BlobRecord))
            blob(read_record<BlobRecord>(at));
        for (std::uint32_t i = 0; i < header_.codebooks; ++i, at += sizeof(CodebookRecord))
            codebook(read_record<CodebookRecord>(at));
        const std::uint8_t* segments = at + header_.tensors * sizeof(TensorRecord);
        file_.segments_.reserve(header_.segments);  // tensors hold spans of it
        for (std::uint32_t i = 0; i < header_.tensors; ++i, at += sizeof(TensorRecord))
            tensor(read_record<TensorRecord>(at), segments);
    }

    const std::uint8_t* bytes_of(const Section& s, const std::string& where) const {
        // Never at the header: kernels may read (and never use) a few bytes before codes.
        if (s.offset % section_align != 0 || s.offset > bytes_ || s.bytes > bytes_ - s.offset ||
            (s.bytes > 0 && s.offset < sizeof(FileHeader)))
            fail("a section lies outside of the file", where);
        return data_ + s.offset;
    }

    std::string_view name(const NameRef& ref) const {
        if (ref.offset > names_.size() || ref.bytes > names_.size() - ref.offset || ref.bytes == 0)
            fail("a name lies outside of the directory", "packed file");
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
            fail("the sizes of a codebook do not fit together", where);
        codebook_bytes_ += r.data.bytes;  // each is copied: none may be counted twice
        if (codebook_bytes_ > bytes_) fail("codebooks overlap", where);
        const auto* words = reinterpret_cast<const Half*>(bytes_of(r.data, where));
        if (!std::all_of(words, words + std::size_t{r.entries} * r.dim, finite))
            fail("a codeword is not finite", where);
        file_.codebooks_.push_back({r.entries, r.dim, words, {}});
    }

    void tensor(const TensorRecord& r, const std::uint8_t* segments) {
        Tensor t;
        t.name = name(r.name);
        const std::string where(t.name);
        if (!seen_.insert(t.name).second) fail("two tensors of one name", where);
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
            fail("padding makes the tensor smaller", where);
        scales(r, t, where);
        transform(r, t, where);
        const std::size_t first = file_.segments_.size();
        if (r.segments == 0 || r.first_segment != first ||
            r.segments > header_.segments - r.first_segment)
            fail("the segments of a tensor are out of range", where);
        Index at = 0;
        for (std::uint32_t i = 0; i < r.segments; ++i) {
            file_.segments_.push_back(
                segment(read_record<SegmentRecord>(segments + (first + i) * sizeof(SegmentRecord)),
                        t, at, where));
            at += file_.segments_.back().cols;
            t.bytes += static_cast<std::uint64_t>(file_.segments_.back().code_bytes);
        }
        if (at != t.padded_cols) fail("the segments do not cover the columns", where);
        t.segments = {file_.segments_.data() + first, r.segments};
        if (t.rotated_in) t.signs_in = signs(r.seed_in, t.cols, where);
        if (t.rotated_out) t.signs_out = signs(r.seed_out, t.rows, where);
        file_.tensors_.push_back(t);
    }

    static Index extent(std::uint64_t value, const std::string& where) {
        if (value < 1 || value > static_cast<std::uint64_t>(most_extent))
            fail("an extent is out of range", where);
        return static_cast<Index>(value);
    }

    void dense(const TensorRecord& r, Tensor& t, const std::string& where) const {
        if (r.kind != TensorKind::dense_f32 && r.kind != TensorKind::dense_f16 &&
            r.kind != TensorKind::dense_bf16)
            fail("unknown kind of tensor", where);
        const Index width = r.kind == TensorKind::dense_f32 ? 4 : 2;
        Index bytes = 0;
        if (__builtin_mul_overflow(t.rows, t.cols, &bytes) ||
            __builtin_mul_overflow(bytes, width, &bytes) ||
            r.dense.bytes != static_cast<std::uint64_t>(bytes))
            fail("the values have the wrong length", where);
        t.dense = bytes_of(r.dense, where);
        t.padded_rows = t.rows;
        t.padded_cols = t.cols;
        t.bytes = r.dense.bytes;
    }

    const Half* halves(const Section& s, Index count, const std::string& where) const {
        if (s.bytes != static_cast<std::uint64_t>(count) * sizeof(Half))
            fail("scales have the wrong length", where);
        const auto* values = reinterpret_cast<const Half*>(bytes_of(s, where));
        if (!std::all_of(values, values + count, finite)) fail("a scale is not finite", where);
        return values;
    }

    void scales(const TensorRecord& r, Tensor& t, const std::string& where) const {
        t.scale_kind = r.scale_kind;
        t.bytes += r.scales.bytes;
        switch (r.scale_kind) {
            case ScaleKind::tensor:
                if (r.scales.bytes != sizeof(float)) fail("no scale", where);
                t.tensor_scale = read_record<float>(bytes_of(r.scales, where));
                if (!std::isfinite(t.tensor_scale)) fail("a scale is not finite", where);
                return;
            case ScaleKind::row: t.scales = halves(r.scales, t.padded_rows, where); return;
            case ScaleKind::group: {
                t.scale_group = extent(r.scale_group, where);
                Index count = 0;
                if (__builtin_mul_overflow(t.padded_rows, ceil_div(t.padded_cols, t.scale_group),
                                           &count) ||
                    count > static_cast<Index>(bytes_))
                    fail("scales have the wrong length", where);
                t.scales = halves(r.scales, count, where);
                return;
            }
        }
        fail("unknown kind of scale", where);
    }

    /// Drawn once for all tensors that share them. A bit for each row and column is less than a
    /// tensor's codes and record take: tensors that share codes must not add up to more.
    const std::uint64_t* signs(std::uint64_t seed, Index n, const std::string& where) {
        std::vector<std::uint64_t>& bits = file_.signs_[{seed, n}];
        if (bits.empty()) {
            sign_bytes_ += static_cast<std::uint64_t>(n + 7) / 8;
            if (sign_bytes_ > bytes_) fail("the file is too small for its rotations", where);
            bits = sign_bits(seed, n);
        }
        return bits.data();
    }

    void transform(const TensorRecord& r, Tensor& t, const std::string& where) const {
        if ((r.rotations & ~(rotate_in | rotate_out)) != 0) fail("unknown rotation", where);
        t.rotated_in = (r.rotations & rotate_in) != 0;
        t.rotated_out = (r.rotations & rotate_out) != 0;
        if (r.column_scale.bytes != 0) {
            t.column_scale = halves(r.column_scale, t.cols, where);
            if (!std::all_of(t.column_scale, t.column_scale + t.cols,
                             [](Half h) { return h != 0 && (h & 0x8000u) == 0; }))
                fail("a column scale is not positive", where);
            t.bytes += r.column_scale.bytes;
        }
        if (r.permutation.bytes == 0) return;
        if (r.permutation.bytes != static_cast<std::uint64_t>(t.cols) * sizeof(std::uint32_t))
            fail("the permutation has the wrong length", where);
        t.permutation = reinterpret_cast<const std::uint32_t*>(bytes_of(r.permutation, where));
        std::vector<bool> seen(static_cast<std::size_t>(t.cols), false);
        for (Index c = 0; c < t.cols; ++c) {
            if (t.permutation[c] >= static_cast<std::uint64_t>(t.cols) || seen[t.permutation[c]])
                fail("the permutation is none", where);
            seen[t.permutation[c]] = true;
        }
        t.bytes += r.permutation.bytes;
    }

    Segment segment(const SegmentRecord& r, const Tensor& t, Index col0, const std::string& where) {
        Segment s;
        s.col0 = col0;
        s.cols = extent(r.cols, where);
        if (static_cast<Index>(r.col0) != col0 || s.cols > t.padded_cols - col0)
            fail("a segment's columns are out of range", where);
        s.code = r.code;
        if (r.code == CodeKind::trellis)
            trellis(r, s, t, where);
        else if (r.code == CodeKind::e8p)
            e8p(r, s, t, where);
        else if (r.code == CodeKind::grid)
            grid(r, s, t, where);
        else if (r.code == CodeKind::bytes)
            bytes(r, s, t, where);
        else if (r.code == CodeKind::lut || r.code == CodeKind::table)
            stages(r, s, t, where);
        else
            fail("unknown code", where);
        s.code_bytes = code_bytes(s, t.padded_rows);
        if (s.code_bytes < 0 ||
            r.codes.bytes != static_cast<std::uint64_t>(s.code_bytes) + code_slack)
            fail("the codes have the wrong length", where);
        s.codes = bytes_of(r.codes, where);
        if (r.code == CodeKind::bytes) byte_scales_of(s, t, where);
        return s;
    }

    void stages(const SegmentRecord& r, Segment& s, const Tensor& t, const std::string& where) {
        if (r.dim < 1 || r.dim > most_dim || r.stages < 1 || r.stages > most_stages ||
            r.along_outputs > 1)
            fail("a code is out of range", where);
        s.dim = static_cast<int>(r.dim);
        s.stages = static_cast<int>(r.stages);
        s.along_outputs = r.along_outputs != 0;
        if ((s.along_outputs ? t.padded_rows : s.cols) % s.dim != 0)
            fail("vectors do not fill the tensor", where);
        for (int m = 0; m < s.stages; ++m) {
            if (r.codebook[m] >= file_.codebooks_.size()) fail("no such codebook", where);
            Codebook& c = file_.codebooks_[r.codebook[m]];
            if (r.stage_bits[m] < 1 || r.stage_bits[m] > 16 || c.entries != 1u << r.stage_bits[m] ||
                c.dim != r.dim)
                fail("a codebook does not suit its code", where);
            s.stage_bits[m] = static_cast<int>(r.stage_bits[m]);
            s.bits += s.stage_bits[m];
            if (c.values.empty()) {
                c.values.resize(std::size_t{c.entries} * c.dim);
                float_from_half(c.words, static_cast<Index>(c.values.size()), c.values.data());
            }
            s.codebook[m] = c.values.data();
        }
        if (r.code != CodeKind::lut) {  // which are read as 8 bytes from any bit on
            if (s.bits > 57) fail("a code has more than 57 bits", where);
            if (r.code == CodeKind::table) vectors(r, s);
            return;
        }
        for (int m = 0; m < s.stages; ++m)
            if (s.stage_bits[m] < lut_least_bits || s.stage_bits[m] > lut_most_bits)
                fail("a stage does not suit lookup tables", where);
        if (s.along_outputs || s.dim % 2 != 0 || s.dim > 16 || t.padded_rows % lut_tile != 0 ||
            t.scale_kind == ScaleKind::group)
            fail("the tensor does not suit lookup tables", where);
        s.lut = lut(s, {r.codebook, r.codebook + r.stages});
    }

    /// All stages or none.
    void vectors(const SegmentRecord& r, Segment& s) {
        if (s.dim < table_least_dim || s.dim > table_most_dim) return;
        for (int m = 0; m < s.stages; ++m) {
            std::unique_ptr<ByteCodebook>& made = file_.byte_codebooks_[r.codebook[m]];
            if (!made)
                made = std::make_unique<ByteCodebook>(
                    round_codebook(s.codebook[m], Index{1} << s.stage_bits[m], s.dim));
            s.vectors[m] = made.get();
        }
        const ByteCodebook** end = s.vectors + s.stages;
        if (!std::all_of(s.vectors, end, [](const ByteCodebook* c) { return c->fits; }))
            std::fill(s.vectors, s.vectors + s.stages, nullptr);
    }

    void grid(const SegmentRecord& r, Segment& s, const Tensor& t, const std::string& where) {
        if (r.dim != 1 || r.stages != 1 || r.stage_bits[0] > 4 || r.along_outputs != 0 ||
            t.padded_rows % grid_tile != 0)
            fail("a scalar grid is out of range", where);
        stages(r, s, t, where);
        std::unique_ptr<GridTable>& made = file_.grids_[r.codebook[0]];
        if (!made) made = std::make_unique<GridTable>(round_grid(s.codebook[0], s.bits));
        s.grid = made.get();
    }

    static void bytes(const SegmentRecord& r, Segment& s, const Tensor& t,
                      const std::string& where) {
        if (r.dim != 1 || r.along_outputs != 0 || t.padded_rows % byte_tile != 0 ||
            t.scale_kind == ScaleKind::group)
            fail("a code of bytes is out of range", where);
        s.bits = 8;
    }

    static void byte_scales_of(const Segment& s, const Tensor& t, const std::string& where) {
        for (Index i = 0; i < t.padded_rows / byte_tile * byte_blocks(s); ++i) {
            const auto* scales = reinterpret_cast<const Half*>(s.codes + i * byte_unit);
            if (!std::all_of(scales, scales + byte_tile, finite))
                fail("a scale is not finite", where);
        }
    }

    const LutCodebooks* lut(const Segment& s, const std::vector<std::uint32_t>& ids) {
        std::unique_ptr<LutCodebooks>& made = file_.luts_[ids];
        if (made) return made.get();
        made = std::make_unique<LutCodebooks>();
        float most = 0;
        for (int m = 0; m < s.stages; ++m)
            for (Index i = 0; i < (Index{1} << s.stage_bits[m]) * s.dim; ++i)
                most = std::max(most, std::fabs(s.codebook[m][i]));
        made->scale = most / lut_word_most;
        const float inverse = most > 0 ? lut_word_most / most : 0;
        for (int m = 0; m < s.stages; ++m)
            for (Index e0 = 0; e0 < (Index{1} << s.stage_bits[m]); e0 += 16)
                for (int j = 0; j < s.dim; j += 2)
                    for (Index e = e0; e < e0 + 16; ++e)
                        for (int k = j; k < j + 2; ++k)
                            made->words.push_back(static_cast<std::int16_t>(
                                std::lrintf(s.codebook[m][e * s.dim + k] * inverse)));
        return made.get();
    }

    static void trellis(const SegmentRecord& r, Segment& s, const Tensor& t,
                        const std::string& where) {
        if (r.trellis_bits < 1 || r.trellis_bits > 4 || r.tile_rows < 32 ||
            r.tile_rows > trellis_most_rows || r.tile_rows % 32 != 0 ||
            t.padded_rows % static_cast<Index>(r.tile_rows) != 0 ||
            (r.trellis_value != TrellisValue::byte_sum &&
             r.trellis_value != TrellisValue::two_products) ||
            !std::isfinite(r.gain[0]) || t.scale_kind == ScaleKind::group)
            fail("a trellis is out of range", where);
        s.trellis_value = r.trellis_value;
        s.trellis_bits = static_cast<int>(r.trellis_bits);
        s.bits = s.trellis_bits;
        s.tile_rows = r.tile_rows;
        for (int i = 0; i < 2; ++i) {
            s.multiplier[i] = r.multiplier[i];
            s.addend[i] = r.addend[i];
        }
        s.gain[0] = r.gain[0];
    }

    static void e8p(const SegmentRecord& r, Segment& s, const Tensor& t, const std::string& where) {
        if (r.dim != 8 || r.along_outputs != 0 || s.cols % 8 != 0 || r.stages < 1 || r.stages > 2 ||
            r.stage_bits[0] != 16 ||
            (r.stages == 2 && r.stage_bits[1] != 8 && r.stage_bits[1] != 16) ||
            t.padded_rows % e8p_tile != 0)
            fail("an E8P code is out of range", where);
        s.dim = 8;
        s.stages = static_cast<int>(r.stages);
        for (int m = 0; m < s.stages; ++m) {
            s.stage_bits[m] = static_cast<int>(r.stage_bits[m]);
            s.bits += s.stage_bits[m];
            s.gain[m] = r.gain[m];
            if (!std::isfinite(s.gain[m])) fail("a gain is not finite", where);
        }
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
