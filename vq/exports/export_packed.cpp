// SPDX-License-Identifier: Apache-2.0
#include "vq/exports/export_packed.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"
#include "codebooks/bytes/byte_code.h"
#include "io/files/output_file.h"
#include "io/hdf5/store.h"
#include "vq/exports/packed_tensor.h"

namespace vq {

namespace {

using decode::TensorKind;

/// W (m, n) in the code that a store has for matrices that matter too much for fewer bits.
CodedTensor in_bytes(const Matrix& w) {
    Segment segment;
    segment.code = std::make_shared<ByteCode>();
    const Code& code = *segment.code;
    const Index groups = (w.cols() + code.dim() - 1) / code.dim();
    segment.cols = groups * code.dim();
    segment.codes = CodeArray(w.rows() * groups, code.bits());
    parallel_for(w.rows(), [&](Index i) {
        std::vector<float> x(static_cast<std::size_t>(segment.cols), 0.0F);
        std::copy_n(w.row(i).data(), w.cols(), x.data());
        std::vector<float> unused(x.size());
        std::vector<std::uint64_t> codes(static_cast<std::size_t>(groups * code.words()));
        code.encode(x.data(), groups, nullptr, codes.data(), unused.data());
        segment.codes.write(i * groups, groups, codes.data());
    });
    const Index cols = segment.cols;
    std::vector<Segment> segments;
    segments.push_back(std::move(segment));
    return {w.rows(), cols, Along::inputs, {}, std::move(segments)};
}

class Exporter {
public:
    Exporter(const StoreReader& store, PackedWriter& writer, PackedMatrices matrices)
        : store_(store), writer_(writer), matrices_(matrices) {}

    void add(const std::string& name, PackedExport& count) {
        const ParsedTensor tensor = parse_stored(store_.read(name), store_.meta().shared);
        ++count.tensors;
        if (!tensor.is_dense()) ++count.coded;
        writer_.add_tensor(tensor.is_dense() ? dense(tensor) : packed_tensor(tensor));
    }

private:
    PackedTensor dense(const ParsedTensor& tensor) const {
        // What a store holds in 16 bits are tables of the vocabulary, all else is small.
        const Matrix& values = tensor.dense;
        const bool table = tensor.dense_type == ElementType::f16;
        if (table && matrices_ == PackedMatrices::int8) {
            ParsedTensor bytes;
            bytes.name = tensor.name;
            bytes.shape = tensor.shape;
            bytes.coded = in_bytes(values);
            return packed_tensor(bytes);
        }
        PackedTensor t;
        t.name = tensor.name;
        t.rows = values.rows();
        t.cols = values.cols();
        if (table) {
            t.kind = TensorKind::dense_f16;
            t.dense = Array::from_f16({values.size()}, values.data()).bytes;
        } else {
            t.kind = TensorKind::dense_f32;
            t.dense = Array::from_f32({values.size()}, values.data()).bytes;
        }
        return t;
    }

    const StoreReader& store_;
    PackedWriter& writer_;
    PackedMatrices matrices_;
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
    OutputFile output(path);
    const PackedExport done = export_packed(
        store,
        [&](std::uint64_t offset, const void* data, std::size_t bytes) {
            output.write_at(static_cast<std::int64_t>(offset), data,
                            static_cast<std::int64_t>(bytes));
        },
        matrices, progress);
    progress.check();  // what was read last may have come from a file that shrank meanwhile
    output.commit();
    return done;
}

}  // namespace vq
