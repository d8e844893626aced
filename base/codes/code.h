// SPDX-License-Identifier: Apache-2.0
// Code: maps an index to a vector of R^d. The one interface that every code family implements,
// learned or structured; feedback, refiner and store know codes only through it.
//
// A code is immutable: refitting makes a new one. All methods are const, thread-safe and
// single-threaded; the caller cuts its work into fixed batches.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/matrix.h"

namespace vq {

class Code {
public:
    virtual ~Code() = default;
    virtual int dim() const = 0;   ///< d, values a code stands for
    virtual int bits() const = 0;  ///< bits of one code
    /// 64-bit words that one code takes in memory; bits past bits() are zero.
    int words() const { return (bits() + 63) / 64; }

    /// Codes of n vectors x, size (n, d). `metric`, size (d, d), symmetric positive definite, is
    /// the local metric M: the encoder looks for the least e^T M e, e = x - xhat; null means M = I.
    /// codes: size (n, words()); xhat: size (n, d), equal to decode(codes) bit for bit.
    virtual void encode(const float* x, Index n, const float* metric, std::uint64_t* codes,
                        float* xhat) const = 0;
    /// The same from codes at hand (in and out): an encoder whose full search is dear looks only
    /// where it is sure to find nothing worse than them under M = I.
    virtual void improve(const float* x, Index n, const float* metric, std::uint64_t* codes,
                         float* xhat) const {
        encode(x, n, metric, codes, xhat);
    }
    /// xhat, size (n, d). Codes must be valid().
    virtual void decode(const std::uint64_t* codes, Index n, float* xhat) const = 0;
    /// False for a code that no encoder writes (from a damaged file).
    virtual bool valid(const std::uint64_t* code) const = 0;

    /// Bits of each stage's index into a codebook of its own, the first in the lowest bits of a
    /// code; none where values are computed.
    virtual const std::vector<int>& stage_bits() const {
        static const std::vector<int> none;
        return none;
    }
    /// The codebook as one vector of parameters, on which decode depends linearly. Structured codes
    /// have none, and need none of the functions below.
    virtual std::vector<float> parameters() const { return {}; }
    /// decode() as if the parameters were p (not rounded), size (n, d). Linear in p.
    virtual void decode_with(const std::vector<float>& /*p*/, const std::uint64_t* /*codes*/,
                             Index /*n*/, float* /*xhat*/) const {
        VQ_ASSERT(false && "a structured code has no parameters");
    }
    /// grad += (d decode(code) / d parameters)^T g, g of size (d).
    virtual void add_adjoint(const std::uint64_t* /*code*/, const float* /*g*/,
                             double* /*grad*/) const {
        VQ_ASSERT(false && "a structured code has no parameters");
    }
    /// The same code with other parameters (rounded to fp16, as they are stored).
    virtual std::shared_ptr<const Code> with_parameters(const std::vector<float>& /*p*/) const {
        VQ_ASSERT(false && "a structured code has no parameters");
        return nullptr;
    }

    /// Kind and sizes, enough to rebuild it given the parameters: {"code": "residual", ...}.
    virtual Json describe() const = 0;
};

using CodePtr = std::shared_ptr<const Code>;

}  // namespace vq
