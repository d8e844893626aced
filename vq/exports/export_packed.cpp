// SPDX-License-Identifier: Apache-2.0
#include "vq/exports/export_packed.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <map>
#include <numeric>

#include "base/bits.h"
#include "base/error.h"
#include "codebooks/bitmod/bitmod_grid.h"
#include "codebooks/bytes/bytes.h"
#include "codebooks/residual/lut.h"
#include "codebooks/scalar/grid.h"
#include "io/files/atomic_file.h"
#include "io/hdf5/store.h"
#include "lattice/e8p/e8p.h"
#include "lattice/trellis/trellis.h"
#include "vq/exports/packed_layout.h"
#include "vq/exports/packed_writer.h"
#include "vq/tensor/stored_tensor.h"
#include "vq/tensor/transform.h"

namespace vq {

namespace {

using decode::CodeKind;
using decode::ScaleKind;
using decode::TensorKind;

/// A file that is written anywhere and appears when it is whole.
class PackedOutput {
public:
    explicit PackedOutput(const std::string& path) : path_(path), file_(path) {
        fd_ = ::open(file_.temp().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (fd_ < 0) throw system_error("create", path_, errno);
    }
    ~PackedOutput() {
        if (fd_ >= 0) ::close(fd_);
    }
    PackedOutput(const PackedOutput&) = delete;
    PackedOutput& operator=(const PackedOutput&) = delete;

    void write(std::uint64_t offset, const void* data, std::size_t bytes) {
        const auto* from = static_cast<const char*>(data);
        while (bytes > 0) {
            const ssize_t n = ::pwrite(fd_, from, bytes, static_cast<off_t>(offset));
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0) throw system_error("write", path_, n < 0 ? errno : ENOSPC);
            from += n;
            offset += static_cast<std::uint64_t>(n);
            bytes -= static_cast<std::size_t>(n);
        }
    }
    void commit() {
        const int fd = fd_;
        fd_ = -1;
        if (::close(fd) != 0) throw system_error("write", path_, errno);
        file_.commit();
    }

private:
    std::string path_;
    AtomicFile file_;
    int fd_ = -1;
};

class Exporter {
public:
    Exporter(const StoreReader& store, PackedWriter& writer, PackedMatrices matrices)
        : store_(store), writer_(writer), matrices_(matrices) {}

    void add(const std::string& name, PackedExport& count) {
        const StoredTensor stored = store_.read(name);
        ++count.tensors;
        if (stored.spec.value("code", "") == "dense") {
            writer_.add_tensor(dense(stored));
            return;
        }
        ++count.coded;
        // Checks everything that the description promises.
        parse_stored(stored, store_.meta().shared);
        // No kernel knows groups with a value of their own; a grid of all values it has one for.
        writer_.add_tensor(
            coded(stored.spec.at("code") == "bitmod" ? bitmod_as_grid(stored) : stored));
    }

private:
    const Array& shared(const std::string& id) const {
        const auto found = store_.meta().shared.find(id);
        if (found == store_.meta().shared.end())
            throw Error("the shared codebook \"" + id + "\" is missing", "store", "quantize again");
        return found->second;
    }

    PackedTensor dense(const StoredTensor& stored) const {
        PackedTensor t;
        t.name = stored.name;
        t.rows = stored.shape.rows;
        t.cols = stored.shape.cols;
        const Array& values = stored.arrays.at("dense");
        const bool matrix = t.rows > 1;
        if (matrix && matrices_ == PackedMatrices::int8) {
            std::vector<float> floats = values.to_f32();
            const auto too_large = [](float v) { return std::fabs(v) > 127 * 65504.0F; };
            if (std::any_of(floats.begin(), floats.end(), too_large))
                throw Error("a value is too large for the scale of an 8-bit block", t.name,
                            "export with --dtype f16 or to safetensors");
            bytes(std::move(floats), t);
        } else if (values.type == ElementType::f16) {
            t.kind = TensorKind::dense_f16;
            t.dense = values.bytes;
        } else {
            const std::vector<float> floats = values.to_f32();
            t.kind = matrix ? TensorKind::dense_f16 : TensorKind::dense_f32;
            t.dense = (matrix ? Array::from_f16(values.shape, floats.data())
                              : Array::from_f32(values.shape, floats.data()))
                          .bytes;
        }
        return t;
    }

    static void bytes(std::vector<float> values, PackedTensor& t) {
        t.padded_rows = decode::ceil_div(t.rows, decode::byte_tile) * decode::byte_tile;
        t.padded_cols = t.cols;
        t.scales = {1.0F};
        values.resize(static_cast<std::size_t>(t.padded_rows * t.cols), 0.0F);
        PackedSegment s;
        s.record.cols = static_cast<std::uint64_t>(t.cols);
        s.record.code = CodeKind::bytes;
        s.record.dim = 1;
        s.codes = byte_layout(values, t.padded_rows, t.cols);
        t.segments.push_back(std::move(s));
    }

    PackedTensor coded(const StoredTensor& stored) {
        const Json& spec = stored.spec;
        if (spec.contains("side"))
            throw Error("the packed format has no low-rank or sparse terms", stored.name,
                        "export --to safetensors, or quantize without side.rank and side.sparse");
        PackedTensor t;
        t.name = stored.name;
        t.rows = stored.shape.rows;
        t.cols = stored.shape.cols;
        t.padded_cols = spec.at("padded_cols").get<Index>();
        // The kernels work on tiles of rows: what is added has no say in any row that is read.
        rows_ = spec.at("padded_rows").get<Index>();
        const std::string scale = spec.at("scale").get<std::string>();
        t.scales = stored.arrays.at("row_scale").to_f32();
        t.scale_kind = scale == "tensor" ? ScaleKind::tensor
                       : scale == "row"  ? ScaleKind::row
                                         : ScaleKind::group;
        if (t.scale_kind == ScaleKind::group) t.scale_group = spec.at("scale_group").get<Index>();
        along_outputs_ = spec.at("along").get<std::string>() == "outputs";
        const auto code = spec.at("code").get<std::string>();
        const bool trellis = code == "trellis";
        kind_ = trellis                         ? CodeKind::trellis
                : code == "e8p"                 ? CodeKind::e8p
                : suits_lut(spec, t.scale_kind) ? CodeKind::lut
                : suits_grid(stored)            ? CodeKind::grid
                                                : CodeKind::table;
        t.padded_rows = decode::ceil_div(rows_, tile_rows()) * tile_rows();
        if (t.scale_kind != ScaleKind::tensor)
            t.scales.resize(t.scales.size() / static_cast<std::size_t>(rows_) *
                                static_cast<std::size_t>(t.padded_rows),
                            0.0F);
        transform(stored, t);
        std::size_t i = 0;
        for (const Json& entry : spec.at("segments")) {
            t.segments.push_back(trellis ? trellis_segment(stored, entry, i)
                                 : kind_ == CodeKind::e8p
                                     ? e8p_segment(stored, entry, i, t.padded_rows)
                                     : segment(stored, entry, i, t.padded_rows));
            ++i;
        }
        return t;
    }

    /// Rows that the layout of codes is made of, for codes that say nothing of it themselves.
    Index tile_rows() const {
        switch (kind_) {
            case CodeKind::lut: return decode::lut_tile;
            case CodeKind::e8p: return decode::e8p_tile;
            case CodeKind::grid: return decode::grid_tile;
            default: return 1;
        }
    }

    /// All segments have stages for which there is a lookup kernel.
    bool suits_lut(const Json& spec, ScaleKind scale) const {
        if (along_outputs_ || scale == ScaleKind::group) return false;
        if (spec.at("code").get<std::string>() != "residual") return false;
        for (const Json& entry : spec.at("segments")) {
            const auto dim = entry.at("dim").get<int>();
            if (dim % 2 != 0 || dim > 16) return false;
            for (const int bits : entry.at("stage_bits").get<std::vector<int>>())
                if (bits < decode::lut_least_bits || bits > decode::lut_most_bits) return false;
        }
        return true;
    }

    /// All segments are scalar grids of up to 4 bits whose values do with 8 bits each.
    bool suits_grid(const StoredTensor& stored) const {
        std::size_t i = 0;
        for (const Json& entry : stored.spec.at("segments")) {
            const auto stages = entry.at("stage_bits").get<std::vector<int>>();
            if (entry.at("dim").get<int>() != 1 || stages.size() != 1 || stages[0] > 4 ||
                !decode::grid_fits(codewords(stored, entry, i++).data(), stages[0]))
                return false;
        }
        return true;
    }

    static void transform(const StoredTensor& stored, PackedTensor& t) {
        const Transform parsed = Transform::parse(stored.spec.value("transform", Json::array()),
                                                  stored.arrays, t.cols, stored.name);
        int last = -1;
        for (const TransformStep& step : parsed.steps()) {
            const int kind = static_cast<int>(step.kind);
            if (kind <= last)
                throw Error("the steps of the transform are in an order that packed files lack",
                            stored.name, "quantize with one of the presets");
            last = kind;
            switch (step.kind) {
                case TransformStep::Kind::column_scale:
                    t.column_scale.assign(step.scale.begin(), step.scale.end());
                    break;
                case TransformStep::Kind::permutation: t.permutation = step.order; break;
                case TransformStep::Kind::hadamard_in:
                    t.rotated_in = true;
                    t.seed_in = step.seed;
                    break;
                case TransformStep::Kind::hadamard_out:
                    t.rotated_out = true;
                    t.seed_out = step.seed;
                    break;
            }
        }
    }

    PackedSegment trellis_segment(const StoredTensor& stored, const Json& entry,
                                  std::size_t i) const {
        const auto tile_rows = entry.at("dim").get<Index>();
        const auto bits = entry.at("bits").get<int>();
        if (tile_rows % decode::trellis_chunk != 0)
            throw Error("a trellis of " + std::to_string(tile_rows) + " rows a tile", stored.name,
                        "the kernels work on multiples of 32: quantize again with such tiles");
        const auto cols = entry.at("cols").get<Index>();
        PackedSegment s;
        s.record.cols = static_cast<std::uint64_t>(cols);
        s.record.code = CodeKind::trellis;
        s.record.trellis_value = decode::TrellisValue::byte_sum;
        s.record.trellis_bits = static_cast<std::uint32_t>(bits);
        s.record.tile_rows = static_cast<std::uint32_t>(tile_rows);
        s.record.multiplier[0] = entry.at("multiplier").get<std::uint32_t>();
        s.record.gain[0] = entry.at("gain").get<float>();
        // A tile's code is tile_rows * bits bits, whole bytes: the array is the streams.
        s.codes =
            trellis_layout(stored.arrays.at(codes_name(i)).bytes, rows_, cols, tile_rows, bits);
        return s;
    }

    PackedSegment e8p_segment(const StoredTensor& stored, const Json& entry, std::size_t i,
                              Index padded_rows) const {
        if (along_outputs_)
            throw Error("E8P vectors along outputs", stored.name,
                        "packed files have them along inputs: use code.along=inputs");
        PackedSegment s;
        const auto cols = entry.at("cols").get<Index>();
        const auto stages = entry.at("stage_bits").get<std::vector<int>>();
        const auto gains = entry.at("gains").get<std::vector<float>>();
        s.record.cols = static_cast<std::uint64_t>(cols);
        s.record.code = CodeKind::e8p;
        s.record.dim = 8;
        s.record.stages = static_cast<std::uint32_t>(stages.size());
        for (std::size_t m = 0; m < stages.size(); ++m) {
            s.record.stage_bits[m] = static_cast<std::uint32_t>(stages[m]);
            s.record.gain[m] = gains.at(m);
        }
        const int bits = std::accumulate(stages.begin(), stages.end(), 0);
        std::vector<std::uint64_t> codes =
            unpack_bits(stored.arrays.at(codes_name(i)).bytes, rows_ * cols / 8, bits);
        codes.resize(static_cast<std::size_t>(padded_rows * cols / 8), 0);
        s.codes = e8p_layout(codes, padded_rows, cols / 8, bits);
        return s;
    }

    static std::string codes_name(std::size_t segment) {
        return segment == 0 ? "codes" : "codes_" + std::to_string(segment);
    }

    PackedSegment segment(const StoredTensor& stored, const Json& entry, std::size_t i,
                          Index padded_rows) {
        PackedSegment s;
        const auto cols = entry.at("cols").get<Index>();
        const auto dim = entry.at("dim").get<Index>();
        const auto stages = entry.at("stage_bits").get<std::vector<int>>();
        if (static_cast<int>(stages.size()) > decode::most_stages)
            throw Error("a code of more than 8 stages", stored.name, "use fewer stages");
        s.record.cols = static_cast<std::uint64_t>(cols);
        s.record.code = kind_;
        s.record.along_outputs = along_outputs_ && kind_ != CodeKind::grid ? 1 : 0;
        s.record.dim = static_cast<std::uint32_t>(dim);
        s.record.stages = static_cast<std::uint32_t>(stages.size());
        const std::vector<std::uint32_t> ids = codebooks(stored, entry, i, stages, dim);
        for (std::size_t m = 0; m < stages.size(); ++m) {
            s.record.stage_bits[m] = static_cast<std::uint32_t>(stages[m]);
            s.record.codebook[m] = ids[m];
        }
        const int bits = std::accumulate(stages.begin(), stages.end(), 0);
        const Index count = rows_ * cols / dim;
        std::vector<std::uint64_t> codes =
            unpack_bits(stored.arrays.at(codes_name(i)).bytes, count, bits);
        if (kind_ != CodeKind::lut && bits > 57)
            throw Error("a code of " + std::to_string(bits) + " bits", stored.name,
                        "packed files take up to 57 where there is no lookup kernel");
        if (kind_ == CodeKind::lut) {
            codes.resize(static_cast<std::size_t>(padded_rows * cols / dim), 0);
            s.codes = lut_layout(codes, padded_rows, cols / dim, stages);
        } else if (kind_ == CodeKind::grid) {
            codes.resize(static_cast<std::size_t>(padded_rows * cols), 0);
            s.codes = grid_layout(codes, padded_rows, cols, bits);
        } else if (along_outputs_) {
            s.codes = table_layout(codes, rows_ / dim, cols, bits);
        } else {
            s.codes = table_layout(codes, rows_, cols / dim, bits);
        }
        return s;
    }

    /// Of all stages of a segment, one after the other.
    std::vector<float> codewords(const StoredTensor& stored, const Json& entry,
                                 std::size_t i) const {
        const std::string source = entry.value("codebook", "");
        const std::string own = i == 0 ? "codebooks" : "codebooks_" + std::to_string(i);
        return (source.empty() ? stored.arrays.at(own) : shared(source)).to_f32();
    }

    std::vector<std::uint32_t> codebooks(const StoredTensor& stored, const Json& entry,
                                         std::size_t i, const std::vector<int>& stages, Index dim) {
        const std::string source = entry.value("codebook", "");
        if (!source.empty()) {
            const auto found = shared_ids_.find(source);
            if (found != shared_ids_.end()) return found->second;
        }
        const std::vector<float> words = codewords(stored, entry, i);
        std::vector<std::uint32_t> ids;
        const float* at = words.data();
        for (const int bits : stages) {
            ids.push_back(writer_.add_codebook(at, Index{1} << bits, dim));
            at += (Index{1} << bits) * dim;
        }
        if (!source.empty()) shared_ids_[source] = ids;
        return ids;
    }

    const StoreReader& store_;
    PackedWriter& writer_;
    PackedMatrices matrices_;
    std::map<std::string, std::vector<std::uint32_t>> shared_ids_;
    Index rows_ = 0;  ///< of the codes of the present tensor
    bool along_outputs_ = false;
    CodeKind kind_ = CodeKind::table;
};

}  // namespace

PackedExport export_packed(const std::string& store, const PackedSink& sink,
                           PackedMatrices matrices, const Progress& progress) {
    const StoreReader reader(store);
    PackedWriter writer(sink);
    writer.add_blob("config.json", reader.meta().config_json);
    for (const auto& [name, content] : reader.meta().tokenizer) writer.add_blob(name, content);
    Exporter exporter(reader, writer, matrices);
    PackedExport done;
    const auto all = static_cast<double>(reader.names().size());
    for (const std::string& name : reader.names()) {
        progress.check();
        progress.report(static_cast<double>(done.tensors), all, name);
        exporter.add(name, done);
    }
    done.bytes = static_cast<std::int64_t>(writer.finish());
    return done;
}

PackedExport export_packed(const std::string& store, const std::string& path,
                           PackedMatrices matrices, const Progress& progress) {
    PackedOutput output(path);
    const PackedExport done = export_packed(
        store,
        [&](std::uint64_t offset, const void* data, std::size_t bytes) {
            output.write(offset, data, bytes);
        },
        matrices, progress);
    output.commit();
    return done;
}

}  // namespace vq
