// SPDX-License-Identifier: Apache-2.0
#include "model/ops/linear.h"

#include <algorithm>
#include <dnnl.hpp>
#include <map>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "base/cpu.h"
#include "base/error.h"
#include "base/gemm.h"
#include "base/parallel.h"
#include "model/ops/kernels.h"
#include "model/ops/packed_linear.h"
#include "model/ops/work_split.h"

namespace vq {

namespace {

constexpr Index block_rows = 512;  // 512 x 576 bf16 stay in L2 next to the operands
constexpr Index row_align = 64;    // of block boundaries: the width of oneDNN's packed panels

using dnnl::memory;

/// A product (m, k) x (k, n).
struct Product {
    dnnl::matmul::primitive_desc desc;
    dnnl::matmul primitive;
};

dnnl::matmul::primitive_desc describe(const dnnl::engine& engine, Index m, Index n, Index k,
                                      const memory::desc* packed) {
    const memory::desc x({m, k}, memory::data_type::bf16, memory::format_tag::ab);
    const memory::desc any({k, n}, memory::data_type::bf16, memory::format_tag::any);
    const memory::desc y({m, n}, memory::data_type::f32, memory::format_tag::ab);
    dnnl::primitive_attr attr;
    // oneDNN's own scratchpad belongs to the thread that created the primitive; ours is passed in.
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    return {dnnl::matmul::desc(x, packed != nullptr ? *packed : any, y), attr, engine};
}

}  // namespace

const char* precision_name(Precision precision) {
    return precision == Precision::bf16 ? "bf16" : precision == Precision::int8 ? "int8" : "fp32";
}

Precision parse_precision(const std::string& name) {
    if (name == "fp32") return Precision::fp32;
    if (name == "bf16") return Precision::bf16;
    if (name == "int8") return Precision::int8;
    throw Error("unknown precision", name, "use fp32, bf16 or int8");
}

bool has_bf16() {
    if (active_isa() < Isa::avx512) return false;
    const auto isa = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
    const auto wanted = static_cast<unsigned>(dnnl::cpu_isa::avx512_core_bf16);
    return isa != 0 && (isa & wanted) == wanted;
}

Precision fastest_precision() {
    if (!has_bf16()) return Precision::fp32;
    // Intel's cores multiply bf16 vectors at half the rate of other ones, so that nothing is gained
    // over fp32 (measured: .74 of its speed); their matrix units gain an order of magnitude.
    __builtin_cpu_init();
    const auto isa = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
    const auto matrix_units = static_cast<unsigned>(dnnl::cpu_isa::avx512_core_amx);
    const bool amx = (isa & matrix_units) == matrix_units;
    return amx || __builtin_cpu_is("intel") == 0 ? Precision::bf16 : Precision::fp32;
}

struct Linear::Impl {
    Index in = 0;
    Index out = 0;
    std::vector<Index> begin;  // of the row blocks, and the end
    Vector bias;
    Precision precision = Precision::fp32;
    const Kernels* kernel = nullptr;
    float softcap = 0;  // above 0: of outputs

    Matrix weight;                               // fp32
    std::optional<PackedLinear> packed_weights;  // packed

    dnnl::engine engine;  // bf16
    std::vector<memory> packed;
    mutable std::mutex mutex;
    mutable std::map<std::pair<Index, Index>, Product> products;  // by (m, n)

    void pack(std::span<const Matrix* const> weights);
    // From products of rows [first, first + n) of W to outputs.
    void finish(float* y, Index tokens, Index first, Index n) const;
    const Product& product(Index m, Index b) const;
};

void Linear::Impl::pack(std::span<const Matrix* const> weights) {
    const ThreadScope serial(1);
    engine = dnnl::engine(dnnl::engine::kind::cpu, 0);
    dnnl::stream stream(engine);
    std::vector<BFloat16> plain;
    Index part = 0;
    Index part_row = 0;
    for (std::size_t b = 0; b + 1 < begin.size(); ++b) {
        const Index n = begin[b + 1] - begin[b];
        plain.resize(static_cast<std::size_t>(n * in));
        for (Index done = 0; done < n;) {
            const Matrix& from = *weights[static_cast<std::size_t>(part)];
            const Index rows = std::min(n - done, from.rows() - part_row);
            kernel->to_bf16(from.data() + part_row * in, rows * in, plain.data() + done * in);
            done += rows;
            part_row += rows;
            if (part_row == from.rows()) {
                ++part;
                part_row = 0;
            }
        }
        const memory::desc layout = describe(engine, tile_tokens, n, in, nullptr).weights_desc();
        memory from({{in, n}, memory::data_type::bf16, memory::format_tag::ba}, engine,
                    plain.data());
        memory to(layout, engine);
        dnnl::reorder(from, to).execute(stream, from, to);
        stream.wait();
        packed.push_back(std::move(to));
    }
}

void Linear::Impl::finish(float* y, Index tokens, Index first, Index n) const {
    if (bias.size() > 0)
        for (Index t = 0; t < tokens; ++t)
            Eigen::Map<Vector>(y + t * n, n) += bias.segment(first, n);
    if (softcap > 0) kernel->softcap(y, tokens * n, softcap);
}

const Product& Linear::Impl::product(Index m, Index b) const {
    const Index n = begin[static_cast<std::size_t>(b) + 1] - begin[static_cast<std::size_t>(b)];
    const std::lock_guard lock(mutex);
    const auto key = std::make_pair(m, n);
    auto at = products.find(key);
    if (at == products.end()) {
        const memory::desc layout = packed[static_cast<std::size_t>(b)].get_desc();
        auto desc = describe(engine, m, n, in, &layout);
        dnnl::matmul primitive(desc);
        at = products.emplace(key, Product{std::move(desc), std::move(primitive)}).first;
    }
    return at->second;
}

Linear::Linear() = default;
Linear::~Linear() = default;
Linear::Linear(Linear&&) noexcept = default;
Linear& Linear::operator=(Linear&&) noexcept = default;

Linear::Linear(std::span<const Matrix* const> weights, const Vector& bias, Precision precision)
    : impl_(std::make_unique<Impl>()) {
    VQ_ASSERT(!weights.empty());
    impl_->kernel = &kernels(active_isa());
    impl_->in = weights.front()->cols();
    for (const Matrix* w : weights) {
        VQ_ASSERT(w->cols() == impl_->in && w->rows() > 0);
        impl_->out += w->rows();
    }
    VQ_ASSERT(bias.size() == 0 || bias.size() == impl_->out);
    impl_->bias = bias;
    impl_->precision =
        precision == Precision::bf16 && has_bf16() ? Precision::bf16 : Precision::fp32;

    // Blocks of about equal size, so that threads have equal work.
    const Index count = (impl_->out + block_rows - 1) / block_rows;
    const Index even = (impl_->out + count - 1) / count;
    const Index step = (even + row_align - 1) / row_align * row_align;
    for (Index at = 0; at < impl_->out; at += step) impl_->begin.push_back(at);
    impl_->begin.push_back(impl_->out);

    if (impl_->precision == Precision::bf16) {
        impl_->pack(weights);
        return;
    }
    impl_->weight.resize(impl_->out, impl_->in);
    Index row = 0;
    for (const Matrix* w : weights) {
        impl_->weight.middleRows(row, w->rows()) = *w;
        row += w->rows();
    }
}

Linear::Linear(PackedLinear weights, const Vector& bias) : impl_(std::make_unique<Impl>()) {
    impl_->kernel = &kernels(active_isa());
    impl_->in = weights.in();
    for (Index i = 0; i <= weights.parts(); ++i) impl_->begin.push_back(weights.begin(i));
    impl_->out = impl_->begin.back();
    VQ_ASSERT(bias.size() == 0 || bias.size() == impl_->out);
    impl_->bias = bias;
    impl_->precision = weights.exact() ? Precision::fp32 : Precision::int8;
    impl_->packed_weights = std::move(weights);
}

std::int64_t Linear::weight_bytes() const {
    if (impl_->packed_weights) return impl_->packed_weights->bytes();
    return in() * out() * (impl_->precision == Precision::bf16 ? 2 : 4);
}

void Linear::cap_outputs(float softcap) {
    VQ_ASSERT(softcap > 0);
    impl_->softcap = softcap;
}

bool Linear::packed() const {
    return impl_->packed_weights.has_value();
}
Index Linear::in() const {
    return impl_->in;
}
Index Linear::out() const {
    return impl_->out;
}
Index Linear::blocks() const {
    return static_cast<Index>(impl_->begin.size()) - 1;
}
Index Linear::block_begin(Index b) const {
    return impl_->begin[static_cast<std::size_t>(b)];
}
Index Linear::block_end(Index b) const {
    return impl_->begin[static_cast<std::size_t>(b) + 1];
}

std::size_t Linear::operand_bytes(Index tokens) const {
    if (impl_->precision != Precision::bf16) return 0;
    return static_cast<std::size_t>(tokens * impl_->in) * sizeof(BFloat16);
}

const void* Linear::operand(const float* x, Index tokens, void* rounded) const {
    if (impl_->precision != Precision::bf16) return x;
    impl_->kernel->to_bf16(x, tokens * impl_->in, static_cast<BFloat16*>(rounded));
    return rounded;
}

Index Linear::widest_block() const {
    Index widest = 0;
    for (Index b = 0; b < blocks(); ++b) widest = std::max(widest, block_end(b) - block_begin(b));
    return widest;
}

void Linear::apply_block(const void* operand, Index tokens, Index b, float* y,
                         ScratchPool& scratch) const {
    const Index first = block_begin(b);
    const Index n = block_end(b) - first;
    if (impl_->packed_weights) {
        impl_->packed_weights->apply(b, static_cast<const float*>(operand), tokens, y, scratch);
    } else if (impl_->precision == Precision::fp32) {
        sgemm_serial(false, true, tokens, n, impl_->in, 1.0F, static_cast<const float*>(operand),
                     impl_->in, impl_->weight.data() + first * impl_->in, impl_->in, 0.0F, y, n);
    } else {
        const ThreadScope serial(1);
        const Product& product = impl_->product(tokens, b);
        const memory::desc pad = product.desc.scratchpad_desc();
        const auto room = scratch.bytes(pad.get_size());
        dnnl::stream stream(impl_->engine);
        product.primitive.execute(
            stream, {{DNNL_ARG_SRC,
                      memory(product.desc.src_desc(), impl_->engine, const_cast<void*>(operand))},
                     {DNNL_ARG_WEIGHTS, impl_->packed[static_cast<std::size_t>(b)]},
                     {DNNL_ARG_DST, memory(product.desc.dst_desc(), impl_->engine, y)},
                     {DNNL_ARG_SCRATCHPAD, memory(pad, impl_->engine, room.data())}});
        stream.wait();
    }
    impl_->finish(y, tokens, first, n);
}

void Linear::apply_together(std::span<const Linear* const> linears, const float* x, float* const* y,
                            ScratchPool& scratch) {
    std::vector<const PackedLinear*> packed;
    for (const Linear* w : linears)
        if (w->impl_->packed_weights) packed.push_back(&*w->impl_->packed_weights);
    if (packed.size() < linears.size()) {
        for (std::size_t i = 0; i < linears.size(); ++i) linears[i]->apply(x, 1, y[i], scratch);
        return;
    }
    PackedLinear::apply_together(packed, x, y, scratch);
    for (std::size_t i = 0; i < linears.size(); ++i)
        linears[i]->impl_->finish(y[i], 1, 0, linears[i]->out());
}

void Linear::apply(const float* x, Index tokens, float* y, ScratchPool& scratch) const {
    if (impl_->packed_weights && tokens == 1) {
        const Linear* self = this;
        apply_together({&self, 1}, x, &y, scratch);
        return;
    }
    const Index tiles = (tokens + tile_tokens - 1) / tile_tokens;
    const auto run = [&](Index item) {
        const Index first = item / blocks() * tile_tokens;
        const Index count = std::min(tile_tokens, tokens - first);
        const Index b = item % blocks();
        const Index n = block_end(b) - block_begin(b);
        const auto rounded = scratch.bytes(operand_bytes(count));
        const void* from = operand(x + first * in(), count, rounded.data());
        float* const to = y + first * out() + block_begin(b);
        if (count == 1 || n == out()) {
            apply_block(from, count, b, to, scratch);
            return;
        }
        const auto tile = scratch.floats(count * n);
        apply_block(from, count, b, tile.floats(), scratch);
        for (Index t = 0; t < count; ++t) std::copy_n(tile.floats() + t * n, n, to + t * out());
    };
    if (impl_->packed_weights) {  // which use all threads for one block
        for (Index item = 0; item < tiles * blocks(); ++item) run(item);
    } else {
        parallel_for_work(tiles * blocks(), tokens * in() * out(), run);
    }
}

}  // namespace vq
