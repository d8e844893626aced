// SPDX-License-Identifier: Apache-2.0
#include "vq/layer/planned_bits.h"

#include "base/bits.h"
#include "vq/layer/column_rates.h"
#include "vq/tensor/code_families.h"

namespace vq {

double planned_bits(TensorShape shape, const Settings& s, bool own_codebooks) {
    const TensorShape padded = padded_shape(shape, s);
    const Index outliers = outlier_columns(shape.cols, s);
    // Streams are padded to whole bytes, as they are stored.
    const auto code_bits = [&](Index cols, int dim, int bits) {
        return 8.0 * static_cast<double>(packed_bytes(padded.rows * cols / dim, bits));
    };
    double total = 0;
    const CodeFamily& family = family_of(s.code);
    const RateRange rates = family.rates(s.code);
    if (rates.any())
        total += static_cast<double>(padded.rows) * column_bits(padded.cols, s.code.rate, rates);
    else if (outliers > 0)
        total += code_bits(outliers, s.code.outlier_dim, s.code.outlier_bits);
    if (!rates.any() && padded.cols > outliers)
        total += code_bits(padded.cols - outliers, s.code.dim,
                           family.vector_bits(s.code, s.code.stage_bits));
    switch (s.scale.scope) {
        case ScaleLayout::Scope::tensor: total += 32; break;
        case ScaleLayout::Scope::row: total += 16.0 * static_cast<double>(padded.rows); break;
        case ScaleLayout::Scope::group: {
            const Index groups = (padded.cols + s.scale.group - 1) / s.scale.group;
            total += 16.0 * static_cast<double>(padded.rows * groups);
            break;
        }
    }
    const auto n = static_cast<double>(shape.cols);
    if (s.transform.column_scale != TransformSettings::ColumnScale::none) total += 16 * n;
    if (s.transform.permute) total += (shape.cols <= 65536 ? 16 : 32) * n;
    if (own_codebooks) total += family.codebook_bits(s.code);
    return total + side_bits(shape, s.side);
}

}  // namespace vq
