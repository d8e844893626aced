// SPDX-License-Identifier: Apache-2.0
#include "vq/tensor/stored_tensor.h"

#include <algorithm>
#include <cmath>

#include "base/bits.h"
#include "base/error.h"
#include "base/half.h"
#include "io/files/checked_math.h"
#include "vq/tensor/code_families.h"
#include "vq/tensor/tensor_fields.h"

namespace vq {

namespace {

const char* scope_name(ScaleLayout::Scope scope) {
    switch (scope) {
        case ScaleLayout::Scope::tensor: return "tensor";
        case ScaleLayout::Scope::row: return "row";
        default: return "group";
    }
}

Array packed_array(const Segment& s) {
    return Array::from_u8(pack_codes(s.codes.unpacked(), s.codes.count(), s.codes.bits()));
}

/// Reads a stored tensor with checks: every fault becomes one Error that names the tensor.
class Parser {
public:
    Parser(const StoredTensor& stored, const SharedArrays& shared)
        : stored_(stored), shared_(shared), fields_(stored.arrays, stored.name) {}

    ParsedTensor parse() const {
        ParsedTensor out;
        out.name = stored_.name;
        out.shape = stored_.shape;
        if (is_dense(stored_)) {
            const Array& array = fields_.array("dense");
            const std::vector<float> values = fields_.floats("dense", array);
            if (checked_product(out.shape.rows, out.shape.cols) !=
                static_cast<Index>(values.size()))
                fields_.fail("the dense array has the wrong size");
            out.dense = Eigen::Map<const Matrix>(values.data(), out.shape.rows, out.shape.cols);
            out.dense_type = array.type;
            return out;
        }
        const Json& spec = stored_.spec;
        out.coded = coded(spec);
        const Json transform = spec.contains("transform") ? spec["transform"] : Json::array();
        out.transform = Transform::parse(transform, stored_.arrays, out.shape.cols, stored_.name);
        if (spec.contains("side"))
            out.side = SideTerms::parse(spec["side"], stored_.arrays, out.shape, stored_.name);
        return out;
    }

private:
    CodedTensor coded(const Json& spec) const {
        const CodeFamily* family = find_stored_family(spec.value("code", ""));
        if (family == nullptr) fields_.fail("unknown code");
        const auto [rows, cols] = stored_.shape;
        const Index padded_rows = fields_.integer(spec, "padded_rows", rows, rows + 4096);
        const Index padded_cols = fields_.integer(spec, "padded_cols", cols, cols + 8192);
        Index weights = 0;
        if (__builtin_mul_overflow(padded_rows, padded_cols, &weights) || weights > Index{1} << 40)
            fields_.fail("the tensor is too large");
        const std::string along_name = spec.value("along", "");
        if (along_name != "inputs" && along_name != "outputs")
            fields_.fail("unknown direction of vectors");
        const Along along = along_name == "inputs" ? Along::inputs : Along::outputs;
        ScaleLayout layout;
        const std::string scale = spec.value("scale", "");
        if (scale == "row")
            layout.scope = ScaleLayout::Scope::row;
        else if (scale == "group")
            layout = {ScaleLayout::Scope::group, fields_.integer(spec, "scale_group", 1, 65536)};
        else if (scale != "tensor")
            fields_.fail("unknown scale layout");
        if (!spec.contains("segments") || !spec["segments"].is_array() || spec["segments"].empty())
            fields_.fail("no segments");
        std::vector<Segment> segments;
        Index at = 0;
        for (const Json& entry : spec["segments"]) {
            segments.push_back(
                segment(entry, *family, segments.size(), along, padded_rows, padded_cols, at));
            at += segments.back().cols;
        }
        if (at != padded_cols) fields_.fail("the segments do not cover the columns");
        CodedTensor tensor(padded_rows, padded_cols, along, layout, std::move(segments));
        const std::vector<float> scales = fields_.floats("row_scale", fields_.array("row_scale"));
        if (static_cast<Index>(scales.size()) != tensor.scales().size())
            fields_.fail("the array row_scale has the wrong length");
        tensor.set_scales(Eigen::Map<const Matrix>(scales.data(), tensor.scales().rows(),
                                                   tensor.scales().cols()));
        return tensor;
    }

    Segment segment(const Json& entry, const CodeFamily& family, std::size_t i, Along along,
                    Index rows, Index cols, Index col0) const {
        if (!entry.is_object()) fields_.fail("a segment is not an object");
        Segment s;
        s.col0 = col0;
        s.cols = fields_.integer(entry, "cols", 1, cols - col0);
        s.shared = entry.value("codebook", "");
        const auto parameters = [&](Index count) {
            const Array& words = codebook(s.shared, i);
            if (words.count() != count) fields_.fail("a codebook has the wrong size");
            return fields_.floats("codebooks", words);
        };
        s.code =
            family.parse(entry, parameters, [&](const std::string& what) { fields_.fail(what); });
        const Index d = s.code->dim();
        if ((along == Along::inputs ? s.cols : rows) % d != 0)
            fields_.fail("vectors do not fill the tensor");
        const Index count = rows * s.cols / d;
        const std::vector<std::uint64_t> codes =
            fields_.codes(segment_array("codes", i), count, s.code->bits());
        for (std::size_t c = 0; c < codes.size(); c += static_cast<std::size_t>(s.code->words()))
            if (!s.code->valid(&codes[c])) fields_.fail("a code is out of range");
        s.codes = CodeArray(codes, s.code->bits());
        return s;
    }

    const Array& codebook(const std::string& shared, std::size_t segment) const {
        if (shared.empty()) return fields_.array(segment_array("codebooks", segment));
        const auto found = shared_.find(shared);
        if (found == shared_.end())
            fields_.fail("the shared codebook \"" + shared + "\" is missing");
        return found->second;
    }

    const StoredTensor& stored_;
    const SharedArrays& shared_;
    TensorFields fields_;
};

}  // namespace

Array store_codebook(const Code& code) {
    const std::vector<float> p = code.parameters();
    const auto d = static_cast<Index>(code.dim());
    return Array::from_f16({static_cast<Index>(p.size()) / d, d}, p.data());
}

StoredTensor outline(const std::string& name, const TensorForm& form, const std::string& method) {
    StoredTensor out;
    out.name = name;
    out.shape = form.shape;
    out.spec = {{"code", form.segments.front().code->describe()["code"]},
                {"method", method},
                {"padded_rows", form.padded.rows},
                {"padded_cols", form.padded.cols},
                {"along", form.along == Along::inputs ? "inputs" : "outputs"},
                {"scale", scope_name(form.layout.scope)}};
    if (form.layout.scope == ScaleLayout::Scope::group) out.spec["scale_group"] = form.layout.group;
    Json segments = Json::array();
    for (std::size_t i = 0; i < form.segments.size(); ++i) {
        const Segment& s = form.segments[i];
        const Json code = s.code->describe();
        Json entry = {{"cols", s.cols}};
        for (const auto& [key, value] : code.items())
            if (key != "code") entry[key] = value;
        const bool learned = !s.code->parameters().empty();
        if (learned) entry["codebook"] = s.shared;
        segments.push_back(std::move(entry));
        const Index count = form.padded.rows * s.cols / s.code->dim();
        out.arrays[segment_array("codes", i)] = {
            ElementType::u8, {packed_bytes(count, s.code->bits())}, {}};
        if (learned && s.shared.empty())
            out.arrays[segment_array("codebooks", i)] = store_codebook(*s.code);
    }
    out.spec["segments"] = std::move(segments);
    out.spec["transform"] = form.transform.describe(out.arrays);
    if (!form.side.empty()) out.spec["side"] = form.side.describe(out.arrays);
    Array& scales = out.arrays["row_scale"];
    switch (form.layout.scope) {
        case ScaleLayout::Scope::tensor: scales = {ElementType::f32, {1}, {}}; break;
        case ScaleLayout::Scope::row: scales = {ElementType::f16, {form.padded.rows}, {}}; break;
        case ScaleLayout::Scope::group: {
            const Index groups = (form.padded.cols + form.layout.group - 1) / form.layout.group;
            scales = {ElementType::f16, {form.padded.rows, groups}, {}};
            break;
        }
    }
    out.bits_per_weight = 8.0 * static_cast<double>(out.bytes()) /
                          static_cast<double>(form.shape.rows * form.shape.cols);
    return out;
}

StoredTensor store_tensor(const std::string& name, const QuantizedTensor& layer,
                          const std::string& method) {
    const CodedTensor& t = layer.tensor;
    StoredTensor out = outline(name,
                               {.shape = {layer.rows, layer.cols},
                                .padded = {t.rows(), t.cols()},
                                .along = t.along(),
                                .layout = t.layout(),
                                .segments = t.segments(),
                                .transform = layer.transform,
                                .side = layer.side},
                               method);
    out.rel_mse = layer.errors.rel_mse;
    out.rel_proxy = layer.errors.rel_proxy;
    for (std::size_t i = 0; i < t.segments().size(); ++i)
        out.arrays[segment_array("codes", i)] = packed_array(t.segments()[i]);
    Array& scales = out.arrays["row_scale"];
    const std::vector<std::int64_t> shape = scales.shape;
    scales = scales.type == ElementType::f32 ? Array::from_f32(shape, t.scales().data())
                                             : Array::from_f16(shape, t.scales().data());
    return out;
}

namespace {

std::vector<Index> usual_dims(const TensorShape& shape) {
    if (shape.rows == 1) return {shape.cols};
    return {shape.rows, shape.cols};
}

}  // namespace

bool fits_half(const Matrix& w) {
    return w.size() > 0 && w.cwiseAbs().maxCoeff() < 65000.0F;
}

StoredTensor outline_dense(const std::string& name, TensorShape shape, bool half) {
    StoredTensor out;
    out.name = name;
    out.shape = shape;
    out.spec = {{"code", "dense"}};
    out.arrays["dense"] = {half ? ElementType::f16 : ElementType::f32,
                           shape.rows > 1 ? std::vector<Index>{shape.rows, shape.cols}
                                          : std::vector<Index>{shape.cols},
                           {}};
    out.bits_per_weight = half ? 16 : 32;
    return out;
}

StoredTensor store_dense(const std::string& name, const Matrix& w, bool halved) {
    const bool half = halved && fits_half(w);
    StoredTensor out = outline_dense(name, {w.rows(), w.cols()}, half);
    Array& dense = out.arrays["dense"];
    const std::vector<std::int64_t> shape = dense.shape;
    dense = half ? Array::from_f16(shape, w.data()) : Array::from_f32(shape, w.data());
    return out;
}

void keep_dims(StoredTensor& tensor, const std::vector<Index>& dims) {
    if (dims != usual_dims(tensor.shape)) tensor.spec["dims"] = dims;
}

std::vector<Index> stored_dims(const StoredTensor& stored) {
    const auto found = stored.spec.find("dims");
    if (found == stored.spec.end()) return usual_dims(stored.shape);
    const Index size = stored.shape.rows * stored.shape.cols;
    std::vector<Index> dims;
    Index count = 1;
    bool fits = found->is_array();
    for (std::size_t i = 0; fits && i < found->size(); ++i) {
        const Json& extent = (*found)[i];
        fits = extent.is_number_integer() && extent > 0 && extent <= size / count;
        if (!fits) break;
        dims.push_back(extent.get<Index>());
        count *= dims.back();
    }
    if (!fits || count != size)
        throw Error("dims do not fit the tensor's shape", stored.name, "quantize the model again");
    return dims;
}

bool is_dense(const StoredTensor& stored) {
    return stored.spec.value("code", "") == "dense";
}

ParsedTensor parse_stored(const StoredTensor& stored, const SharedArrays& shared) {
    try {
        return Parser(stored, shared).parse();
    } catch (const nlohmann::json::exception&) {
        throw damaged_tensor("the description is not of the right form", stored.name);
    }
}

Matrix decode_parsed(ParsedTensor tensor) {
    if (tensor.is_dense()) return std::move(tensor.dense);
    Matrix w = tensor.coded.decode().topLeftCorner(tensor.shape.rows, tensor.shape.cols);
    tensor.transform.invert(w);
    tensor.side.add_to(w);
    if (!w.allFinite()) throw damaged_tensor("a decoded weight is not finite", tensor.name);
    return w;
}

Matrix decode_stored(const StoredTensor& stored, const SharedArrays& shared) {
    return decode_parsed(parse_stored(stored, shared));
}

}  // namespace vq
