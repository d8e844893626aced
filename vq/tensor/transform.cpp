// SPDX-License-Identifier: Apache-2.0
#include "vq/tensor/transform.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/half.h"
#include "vq/tensor/hadamard.h"
#include "vq/tensor/tensor_fields.h"

namespace vq {

namespace {

using Kind = TransformStep::Kind;

void permute_columns(Matrix& w, const std::vector<std::uint32_t>& order, bool inverse) {
    Vector row(w.cols());
    for (Index i = 0; i < w.rows(); ++i) {
        row = w.row(i).transpose();
        for (Index c = 0; c < w.cols(); ++c)
            if (inverse)
                w(i, order.data()[c]) = row(c);
            else
                w(i, c) = row(order.data()[c]);
    }
}

/// Columns that are rotated together: enough work for all threads, far less memory than W.
constexpr Index rotated_columns = 512;

void rotate_outputs(Matrix& w, std::uint64_t seed, bool inverse) {
    const RandomHadamard rotation(w.rows(), seed);
    for (Index c = 0; c < w.cols(); c += rotated_columns) {
        auto slab = w.middleCols(c, std::min(rotated_columns, w.cols() - c));
        Matrix t = slab.transpose();
        if (inverse)
            rotation.inverse(t.data(), t.rows(), t.cols());
        else
            rotation.forward(t.data(), t.rows(), t.cols());
        slab = t.transpose();
    }
}

/// fp16 value nearest to x, kept positive and finite.
float storable_scale(double x) {
    return round_to_half(static_cast<float>(std::clamp(x, 1e-4, 3e4)));
}

}  // namespace

void Transform::apply(Matrix& w) const {
    for (const TransformStep& step : steps_) {
        switch (step.kind) {
            case Kind::column_scale: w = w * step.scale.asDiagonal(); break;
            case Kind::permutation: permute_columns(w, step.order, false); break;
            case Kind::hadamard_in:
                RandomHadamard(w.cols(), step.seed).forward(w.data(), w.rows(), w.cols());
                break;
            case Kind::hadamard_out: rotate_outputs(w, step.seed, false); break;
        }
    }
}

void Transform::apply_hessian(MatrixD& h) const {
    for (const TransformStep& step : steps_) {
        switch (step.kind) {
            case Kind::column_scale: {
                const VectorD inverse = step.scale.cast<double>().cwiseInverse();
                h = inverse.asDiagonal() * h * inverse.asDiagonal();
                break;
            }
            case Kind::permutation: {
                const MatrixD before = h;
                for (Index i = 0; i < h.rows(); ++i)
                    for (Index j = 0; j < h.cols(); ++j)
                        h(i, j) = before(step.order.data()[i], step.order.data()[j]);
                break;
            }
            case Kind::hadamard_in: {
                // R H R^T, as two passes over rows; the average of both halves keeps it symmetric.
                const RandomHadamard rotation(h.cols(), step.seed);
                rotation.forward(h.data(), h.rows(), h.cols());
                h.transposeInPlace();
                rotation.forward(h.data(), h.rows(), h.cols());
                h = (0.5 * (h + h.transpose())).eval();
                break;
            }
            case Kind::hadamard_out: break;  // acts on outputs only
        }
    }
}

void Transform::invert(Matrix& w) const {
    for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) {
        switch (step->kind) {
            case Kind::column_scale: w = w * step->scale.cwiseInverse().asDiagonal(); break;
            case Kind::permutation: permute_columns(w, step->order, true); break;
            case Kind::hadamard_in:
                RandomHadamard(w.cols(), step->seed).inverse(w.data(), w.rows(), w.cols());
                break;
            case Kind::hadamard_out: rotate_outputs(w, step->seed, true); break;
        }
    }
}

Json Transform::describe(std::map<std::string, Array>& arrays) const {
    Json spec = Json::array();
    for (const TransformStep& step : steps_) {
        switch (step.kind) {
            case Kind::column_scale:
                spec.push_back({{"op", "column_scale"}});
                arrays["col_scale"] = Array::from_f16({step.scale.size()}, step.scale.data());
                break;
            case Kind::permutation:
                spec.push_back({{"op", "permutation"}});
                arrays["perm"] = Array::from_integers(
                    index_type(static_cast<Index>(step.order.size())), step.order);
                break;
            case Kind::hadamard_in:
                spec.push_back({{"op", "hadamard"}, {"side", "in"}, {"seed", step.seed}});
                break;
            case Kind::hadamard_out:
                spec.push_back({{"op", "hadamard"}, {"side", "out"}, {"seed", step.seed}});
                break;
        }
    }
    return spec;
}

Transform Transform::parse(const Json& spec, const std::map<std::string, Array>& arrays, Index cols,
                           const std::string& where) {
    const TensorFields fields(arrays, where);
    if (!spec.is_array()) fields.fail("the transform is not a list of steps");
    std::vector<TransformStep> steps;
    for (const Json& entry : spec) {
        const std::string op = entry.is_object() ? entry.value("op", "") : "";
        TransformStep step{};
        if (op == "column_scale") {
            step.kind = Kind::column_scale;
            const std::vector<float> d =
                fields.floats("col_scale", fields.array("col_scale", cols));
            step.scale = Eigen::Map<const Vector>(d.data(), cols);
            if (!(step.scale.array() > 0).all()) fields.fail("a column scale is not positive");
        } else if (op == "permutation") {
            step.kind = Kind::permutation;
            const Array& perm = fields.array("perm", cols);
            if (perm.type != ElementType::u16 && perm.type != ElementType::u32)
                fields.fail("the permutation is not of type u16 or u32");
            std::vector<bool> seen(static_cast<std::size_t>(cols), false);
            step.order = perm.to_u32();
            for (const std::uint32_t value : step.order) {
                if (value >= static_cast<std::uint32_t>(cols) || seen[value])
                    fields.fail("perm is not a permutation of the columns");
                seen[value] = true;
            }
        } else if (op == "hadamard") {
            const std::string side = entry.value("side", "");
            if (side != "in" && side != "out") fields.fail("a Hadamard step has no side");
            if (!entry.contains("seed") || !entry["seed"].is_number_integer())
                fields.fail("a Hadamard step has no seed");
            step.kind = side == "in" ? Kind::hadamard_in : Kind::hadamard_out;
            step.seed = entry["seed"].get<std::uint64_t>();
        } else {
            fields.fail("unknown transform step \"" + op + "\"");
        }
        steps.push_back(std::move(step));
    }
    return Transform(std::move(steps));
}

Transform make_transform(const TransformSettings& settings, const Matrix& w,
                         const VectorD& h_diagonal, std::uint64_t seed) {
    const Index n = w.cols();
    VQ_ASSERT(h_diagonal.size() == n);
    std::vector<TransformStep> steps;
    VectorD diagonal = h_diagonal;
    if (settings.column_scale != TransformSettings::ColumnScale::none) {
        const VectorD energy =
            w.cast<double>().colwise().squaredNorm().transpose() / static_cast<double>(w.rows());
        // Columns of zeros get some scale, and none divides by zero.
        const double floor = 1e-12 * energy.mean() + 1e-300;
        VectorD d(n);
        for (Index j = 0; j < n; ++j) {
            const double e = std::max(energy(j), floor);
            switch (settings.column_scale) {
                case TransformSettings::ColumnScale::weight: d(j) = 1.0 / std::sqrt(e); break;
                case TransformSettings::ColumnScale::joint:
                    d(j) = std::pow(diagonal(j) / e, 0.25);
                    break;
                default: d(j) = std::pow(diagonal(j), 0.5 * settings.column_power); break;
            }
        }
        // The overall size is the row scale's business: D has geometric mean 1.
        d /= std::exp(d.array().log().mean());
        TransformStep step{};
        step.kind = Kind::column_scale;
        step.scale = d.unaryExpr([](double x) {
                          return static_cast<double>(storable_scale(x));
                      }).cast<float>();
        diagonal.array() /= step.scale.cast<double>().array().square();
        steps.push_back(std::move(step));
    }
    if (settings.permute) {
        TransformStep step{};
        step.kind = Kind::permutation;
        step.order.resize(static_cast<std::size_t>(n));
        std::iota(step.order.begin(), step.order.end(), 0u);
        // Stable: columns of equal size keep their order, whatever library sorts.
        std::stable_sort(
            step.order.begin(), step.order.end(),
            [&](std::uint32_t a, std::uint32_t b) { return diagonal(a) > diagonal(b); });
        steps.push_back(std::move(step));
    }
    if (settings.hadamard != TransformSettings::Hadamard::none) {
        TransformStep step{};
        step.kind = Kind::hadamard_in;
        step.seed = seed;
        steps.push_back(step);
        if (settings.hadamard == TransformSettings::Hadamard::both) {
            step.kind = Kind::hadamard_out;
            step.seed = seed ^ 0x6F7574ull;  // "out": another stream of signs
            steps.push_back(step);
        }
    }
    return Transform(std::move(steps));
}

}  // namespace vq
