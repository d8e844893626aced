// SPDX-License-Identifier: Apache-2.0
// Linear: y = x W^T + b with W resident in fp32 or in bf16, or packed as it lies in a mapped file.
// The bf16 product rounds x and W to bf16 and sums in fp32 (oneDNN: AVX512-BF16 or AMX
// instructions).
//
// Work is cut into tiles of fixed size (128 rows of x, up to 512 rows of W), each computed by one
// single-threaded library call: results do not depend on the number of threads.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/matrix.h"
#include "model/ops/scratch.h"

namespace vq {

/// int8: packed weights with activations rounded to int8; with packed weights, fp32 means decoded
/// weights and fp32 sums.
enum class Precision : std::uint8_t { fp32, bf16, int8 };

/// "fp32", "bf16", "int8".
const char* precision_name(Precision precision);
/// The inverse; throws Error on another name.
Precision parse_precision(const std::string& name);
/// True when products of bf16 run on instructions made for them (and VQ_ISA does not forbid them).
bool has_bf16();
/// The faster one of bf16 and fp32 on this machine, for evaluation and calibration.
Precision fastest_precision();

class PackedLinear;

class Linear {
public:
    Linear();
    /// The rows of `weights` one below the other, all (rows_i, in). `bias` is empty or has as many
    /// elements as there are rows. With bf16 on a machine without it, fp32 is used.
    Linear(std::span<const Matrix* const> weights, const Vector& bias, Precision precision);
    /// Packed weights: a block for each tensor.
    Linear(PackedLinear weights, const Vector& bias);
    ~Linear();
    Linear(Linear&&) noexcept;
    Linear& operator=(Linear&&) noexcept;

    /// From now on every output y is softcap * tanh(y / softcap).
    void cap_outputs(float softcap);

    bool packed() const;
    Index in() const;
    Index out() const;
    /// Bytes of weights that a product with one token reads.
    std::int64_t weight_bytes() const;
    /// Blocks of rows of W that are computed at once: row block b is [block_begin(b),
    /// block_end(b)).
    Index blocks() const;
    Index block_begin(Index b) const;
    Index block_end(Index b) const;

    /// y (tokens, out) = x (tokens, in) W^T + b, in parallel over tiles (serial inside
    /// parallel_for).
    void apply(const float* x, Index tokens, float* y, ScratchPool& scratch) const;

    /// y[i] = W_i x + b_i for one token: where all are packed, threads divide the rows of all.
    static void apply_together(std::span<const Linear* const> linears, const float* x,
                               float* const* y, ScratchPool& scratch);

    /// x as the product wants it. bf16: `x` (tokens, in) rounded into `rounded`, which is returned;
    /// fp32: returns `x`. `rounded` has room for operand_bytes(tokens).
    const void* operand(const float* x, Index tokens, void* rounded) const;
    std::size_t operand_bytes(Index tokens) const;
    /// Row block b only, single-threaded: y (tokens, rows of the block) without gaps between rows
    /// (oneDNN's bf16 kernels demand it). `operand` comes from operand(). Fastest for tile_tokens.
    void apply_block(const void* operand, Index tokens, Index b, float* y,
                     ScratchPool& scratch) const;
    /// Rows of the largest block.
    Index widest_block() const;

    static constexpr Index tile_tokens = 128;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace vq
