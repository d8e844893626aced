// SPDX-License-Identifier: Apache-2.0
// Products with one vector, cut into phases of items that may run on any thread: of several tensors
// together, so that threads share the rows of all and wait for each other once a phase.
#pragma once

#include <cstddef>
#include <span>

#include "base/packed/kernels.h"
#include "decode/product_parts.h"

namespace vq::decode {

class VectorProduct {
public:
    VectorProduct() = default;
    /// y (rows) = W x (cols) with scratch from `arena`.
    VectorProduct(const Kernels& kernels, const Tensor& t, Mode mode, const float* x, float* y,
                  Arena& arena);

    Index phases() const;
    /// May be none.
    Index items(Index phase) const;
    void run(Index phase, Index item) const;

private:
    struct Buffers {
        float* x = nullptr;           ///< transformed activations
        float* y = nullptr;           ///< products before the outputs are transformed
        float* other = nullptr;       ///< for transforms
        std::byte* inputs = nullptr;  ///< of one segment, as its kernels read them
    };
    void lay_out(Arena& arena);
    bool uses_kernel(const Segment& s) const;
    Index input_items(const Segment& s) const;
    Index row_items(const Segment& s) const;
    void rows(const Segment& s, Index item) const;
    void start() const;
    void finish() const;
    void float_rows(const Segment& s, Index item) const;
    void dense_rows(Index item) const;

    const Kernels* kernels_ = nullptr;
    const Tensor* t_ = nullptr;
    Mode mode_ = Mode::int8;
    const float* x_ = nullptr;
    float* y_ = nullptr;
    Buffers b_;
};

/// Bytes of scratch of one.
std::size_t vector_scratch_bytes(const Tensor& t);

/// All phases of all of them.
void run_products(std::span<const VectorProduct> products, const Threads& threads);

}  // namespace vq::decode
