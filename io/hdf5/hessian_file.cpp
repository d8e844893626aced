// SPDX-License-Identifier: Apache-2.0
// Layout: root attributes format = "vqkit-hessians", format_version, model_hash; /provenance
// (JSON); /records/<i> with attributes cols, count; datasets names (JSON), xxt (packed lower
// triangle, row by row, fp64), x (fp64).
#include "io/hdf5/hessian_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "base/error.h"
#include "io/files/atomic_file.h"
#include "io/hdf5/h5.h"
#include "io/hdf5/h5_internal.h"
#include "io/hdf5/store_layout.h"

namespace vq {

namespace {

constexpr const char* kHessianFormat = "vqkit-hessians";
constexpr std::int64_t kHessianVersion = 1;
constexpr Index kMaxCols = Index{1} << 20;

Index packed_count(Index n) {
    return n * (n + 1) / 2;
}

std::string label(const HessianRecord& record) {
    return record.names.empty() ? "unnamed record" : record.names.front();
}

std::vector<double> pack_lower(const MatrixD& h) {
    std::vector<double> packed;
    packed.reserve(static_cast<std::size_t>(packed_count(h.rows())));
    for (Index i = 0; i < h.rows(); ++i)
        packed.insert(packed.end(), h.row(i).data(), h.row(i).data() + i + 1);
    return packed;
}

MatrixD unpack_lower(const std::vector<double>& packed, Index n) {
    MatrixD h(n, n);
    std::size_t at = 0;
    for (Index i = 0; i < n; ++i)
        for (Index j = 0; j <= i; ++j) h(i, j) = h(j, i) = packed[at++];
    return h;
}

void check_finite(const double* values, Index n, const std::string& where) {
    for (Index i = 0; i < n; ++i)
        if (!std::isfinite(values[i]))
            throw Error(fmt::format("Hessian sum is {} at entry {}", values[i], i), where,
                        "collect the Hessians again; the model or its inputs are not finite");
}

/// Adds what `from` (the file `path`) holds of the same tensors to `sum`, read from `first`.
void add_record(HessianRecord& sum, const std::string& first, const HessianReader& from,
                const std::string& path, const char* todo) {
    const std::string name = label(sum);
    const std::string in_second = fmt::format("{}: {}", path, name);
    const std::string in_both = fmt::format("{} and {}: {}", first, path, name);
    if (!from.has(name)) throw Error("record missing", in_second, todo);
    const HessianRecord other = from.find(name);
    if (sum.names != other.names)
        throw Error("the record is of different tensors in the two files", in_second, todo);
    if (sum.x.size() != other.x.size())
        throw Error(fmt::format("width {} here, {} there", sum.x.size(), other.x.size()), in_both,
                    todo);
    if (__builtin_add_overflow(sum.count, other.count, &sum.count))
        throw Error("the token counts overflow", in_both, todo);
    sum.xxt += other.xxt;
    sum.x += other.x;
}

}  // namespace

struct HessianWriter::Impl {
    std::string path;
    AtomicFile output;
    std::optional<h5::File> file;
    std::optional<h5::Group> records;
    Index count = 0;

    explicit Impl(std::string to) : path(std::move(to)), output(path) {}
    ~Impl() {
        const h5::Lock lock;
        records.reset();
        file.reset();
    }
};

HessianWriter::HessianWriter(std::string path, const HessianFileMeta& meta)
    : impl_(std::make_unique<Impl>(std::move(path))) {
    const h5::Lock lock;
    impl_->file.emplace(h5::File::create(impl_->output.temp()));
    h5::Group root = impl_->file->root();
    root.set_text("format", kHessianFormat);
    root.set_i64("format_version", kHessianVersion);
    root.set_text("model_hash", meta.model_hash);
    root.write_text("provenance",
                    meta.provenance.dump(-1, ' ', false, Json::error_handler_t::replace));
    impl_->records.emplace(root.create_group("records"));
}

HessianWriter::~HessianWriter() = default;

void HessianWriter::write(const HessianRecord& record) {
    const Index n = record.x.size();
    VQ_ASSERT(impl_->records);
    VQ_ASSERT(!record.names.empty() && n > 0 && n <= kMaxCols && record.count >= 0);
    VQ_ASSERT(record.xxt.rows() == n && record.xxt.cols() == n);
    const std::vector<double> packed = pack_lower(record.xxt);
    const std::string where = impl_->path + ": " + label(record);
    check_finite(packed.data(), packed_count(n), where);
    check_finite(record.x.data(), n, where);

    const h5::Lock lock;
    h5::Group group = impl_->records->create_group(std::to_string(impl_->count));
    group.set_i64("cols", n);
    group.set_i64("count", record.count);
    group.write_text("names", Json(record.names).dump());
    group.write("xxt", ElementType::f64, {packed_count(n)}, packed.data());
    group.write("x", ElementType::f64, {n}, record.x.data());
    ++impl_->count;
}

void HessianWriter::finish() {
    VQ_ASSERT(impl_->file);
    const h5::Lock lock;
    impl_->records.reset();
    impl_->file->close();
    impl_->file.reset();
    impl_->output.commit();
}

struct HessianReader::Impl {
    std::string path;
    h5::File file;
    h5::Group records;
    HessianFileMeta meta;
    std::vector<std::vector<std::string>> names;  // of record i
    std::map<std::string, Index> by_tensor;
};

HessianReader::HessianReader(const std::string& path) {
    const h5::Lock lock;
    h5::File file = h5::File::open(path);
    const h5::Group root = file.root();
    check_format(root, kHessianFormat, kHessianVersion, kHessianVersion, path);
    HessianFileMeta meta{root.get_text("model_hash"), root.read_json("provenance")};
    h5::Group records = root.group("records");
    impl_ = std::make_unique<Impl>(
        Impl{path, std::move(file), std::move(records), std::move(meta), {}, {}});
    const auto count = static_cast<Index>(impl_->records.children().size());
    for (Index i = 0; i < count; ++i) {
        const h5::Group group = impl_->records.group(std::to_string(i));
        const Json names = group.read_json("names");
        impl_->names.emplace_back();
        if (!names.is_array() || names.empty())
            throw h5::damaged("is not a list of tensors", group.where("names"));
        for (const Json& name : names) {
            if (!name.is_string() || !impl_->by_tensor.emplace(name, i).second)
                throw h5::damaged("is not a list of tensors, each in one record",
                                  group.where("names"));
            impl_->names.back().push_back(name);
        }
    }
}

HessianReader::~HessianReader() {
    const h5::Lock lock;
    impl_.reset();
}

const HessianFileMeta& HessianReader::meta() const {
    return impl_->meta;
}
Index HessianReader::size() const {
    return static_cast<Index>(impl_->names.size());
}
bool HessianReader::has(const std::string& tensor) const {
    return impl_->by_tensor.contains(tensor);
}

HessianRecord HessianReader::read(Index i) const {
    VQ_ASSERT(i >= 0 && i < size());
    const h5::Lock lock;
    const h5::Group group = impl_->records.group(std::to_string(i));
    HessianRecord record;
    record.names = impl_->names[static_cast<std::size_t>(i)];
    const std::string where = impl_->path + ": " + label(record);
    const Index n = group.get_i64("cols");
    record.count = group.get_i64("count");
    if (n <= 0 || n > kMaxCols || record.count < 0)
        throw h5::damaged(fmt::format("absurd width {} or count {}", n, record.count), where);
    // The file holds this many numbers, or info() throws: what is allocated next is bounded by it.
    if (group.info("xxt").shape != std::vector<std::int64_t>{packed_count(n)})
        throw h5::damaged("has the wrong shape", group.where("xxt"));
    std::vector<double> packed(static_cast<std::size_t>(packed_count(n)));
    group.read_into("xxt", ElementType::f64, {packed_count(n)}, packed.data());
    record.x.resize(n);
    group.read_into("x", ElementType::f64, {n}, record.x.data());
    check_finite(packed.data(), packed_count(n), where);
    check_finite(record.x.data(), n, where);
    record.xxt = unpack_lower(packed, n);
    return record;
}

HessianRecord HessianReader::find(const std::string& tensor) const {
    const auto found = impl_->by_tensor.find(tensor);
    if (found == impl_->by_tensor.end())
        throw Error("no Hessian for this tensor", impl_->path + ": " + tensor,
                    "collect the Hessians of this model");
    return read(found->second);
}

HessianTotals merge_hessian_files(const std::vector<std::string>& inputs, const std::string& out,
                                  Json provenance, const Progress& progress) {
    VQ_ASSERT(!inputs.empty());
    const char* todo = "merge only collections made with the same model and version";
    std::vector<std::unique_ptr<HessianReader>> readers;
    provenance["merged"] = Json::array();
    for (const std::string& path : inputs) {
        readers.push_back(std::make_unique<HessianReader>(path));
        const HessianReader& first = *readers.front();
        const HessianReader& here = *readers.back();
        if (here.meta().model_hash != first.meta().model_hash)
            throw Error("Hessians of two different models", inputs[0] + " and " + path,
                        "merge only collections of the same model");
        if (here.size() != first.size())
            throw Error(fmt::format("{} records here, {} there", first.size(), here.size()),
                        inputs[0] + " and " + path, todo);
        provenance["merged"].push_back(here.meta().provenance);
    }
    HessianTotals totals;
    totals.groups = readers[0]->size();
    HessianWriter writer(out, {readers[0]->meta().model_hash, std::move(provenance)});
    for (Index i = 0; i < totals.groups; ++i) {
        HessianRecord sum = readers[0]->read(i);
        const std::string name = label(sum);
        progress.check();
        progress.report(static_cast<double>(i), static_cast<double>(totals.groups), name);
        for (std::size_t r = 1; r < readers.size(); ++r)
            add_record(sum, inputs[0], *readers[r], inputs[r], todo);
        totals.tokens = std::max(totals.tokens, sum.count);
        writer.write(sum);
    }
    writer.finish();
    return totals;
}

}  // namespace vq
