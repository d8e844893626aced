// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/round_tensor.h"

#include <algorithm>

#include "base/error.h"
#include "base/parallel.h"
#include "vq/tensor/code_families.h"

namespace vq {

namespace {

/// Rows that are encoded at once: their blocks, padded to whole vectors, stay in L2.
constexpr Index panel_rows = 64;

}  // namespace

QuantizedLayer round_tensor(const Matrix& w, const Settings& s, const std::string& name) {
    VQ_ASSERT(w.size() > 0 && s.code.along == Along::inputs);
    if (!w.allFinite())
        throw Error("a weight is not finite", name, "the checkpoint is damaged; download it again");
    QuantizedLayer out;
    out.rows = w.rows();
    out.cols = w.cols();
    const CodePtr code = family_of(s.code).make(s.code, {.rows = w.rows(), .rate = {}});
    const Index padded = padded_shape({w.rows(), w.cols()}, s).cols;
    std::vector<Segment> segments(1);
    segments[0].cols = padded;
    segments[0].code = code;
    out.tensor = CodedTensor(w.rows(), padded, s.code.along, {}, std::move(segments));
    out.tensor.set_scales(Matrix::Ones(1, 1));
    out.what.resize(w.rows(), w.cols());
    const Index panels = (w.rows() + panel_rows - 1) / panel_rows;
    std::vector<double> error(static_cast<std::size_t>(panels));
    std::vector<double> energy(error.size());
    parallel_for(panels, [&](Index p) {
        const Index row0 = p * panel_rows;
        const Index rows = std::min(panel_rows, w.rows() - row0);
        Matrix x = Matrix::Zero(rows, padded);
        x.leftCols(w.cols()) = w.middleRows(row0, rows);
        Matrix xhat(rows, padded);
        out.tensor.encode_block(row0, rows, 0, padded, x.data(), nullptr, xhat.data(), nullptr);
        out.what.middleRows(row0, rows) = xhat.leftCols(w.cols());
        error.data()[p] = (x - xhat).leftCols(w.cols()).cast<double>().squaredNorm();
        energy.data()[p] = x.cast<double>().squaredNorm();
    });
    double all_error = 0;
    double all_energy = 0;
    for (std::size_t p = 0; p < error.size(); ++p) {
        all_error += error[p];
        all_energy += energy[p];
    }
    out.errors.rel_mse = all_energy > 0 ? all_error / all_energy : 0.0;
    out.errors.rel_proxy = out.errors.rel_mse;
    return out;
}

}  // namespace vq
