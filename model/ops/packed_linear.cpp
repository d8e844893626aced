// SPDX-License-Identifier: Apache-2.0
#include "model/ops/packed_linear.h"

#include "base/error.h"
#include "base/parallel.h"
#include "model/ops/work_split.h"

namespace vq {

namespace {

void run_tasks(void* /*pool*/, std::size_t n, vqd_task task, void* context) {
    parallel_for(static_cast<Index>(n),
                 [&](Index i) { task(context, static_cast<std::size_t>(i)); });
}

}  // namespace

PackedLinear::PackedLinear(std::shared_ptr<const PackedWeights> weights,
                           const std::vector<std::string>& names, bool exact)
    : weights_(std::move(weights)), exact_(exact) {
    for (const std::string& name : names) {
        tensors_.push_back(weights_->find(name));
        const vqd_tensor_info info = weights_->file().info(tensors_.back());
        VQ_ASSERT(in_ == 0 || in_ == info.cols);
        in_ = info.cols;
        begin_.push_back(begin_.back() + info.rows);
        bytes_ += static_cast<std::int64_t>(info.bytes);
    }
}

void PackedLinear::apply(Index part, const float* x, Index tokens, float* y,
                         ScratchPool& scratch) const {
    const vqd_file* file = weights_->file().get();
    const std::size_t tensor = tensors_[static_cast<std::size_t>(part)];
    const std::size_t bytes = vqd_scratch_bytes(file, tensor, static_cast<std::size_t>(tokens));
    const auto room = scratch.bytes(bytes);
    const Index work = tokens * in_ * (begin(part + 1) - begin(part));
    const vqd_threads threads = {work < parallel_work ? nullptr : run_tasks, nullptr};
    const vqd_status status =
        vqd_matmul(file, tensor, exact_ ? VQD_EXACT : VQD_INT8, x, static_cast<std::size_t>(tokens),
                   y, room.data(), bytes, &threads);
    VQ_ASSERT(status == VQD_OK);
}

void PackedLinear::apply_together(std::span<const PackedLinear* const> linears, const float* x,
                                  float* const* y, ScratchPool& scratch) {
    const PackedLinear& first = *linears.front();
    std::vector<std::size_t> tensors;
    std::vector<float*> to;
    Index work = 0;
    for (std::size_t i = 0; i < linears.size(); ++i) {
        const PackedLinear& w = *linears[i];
        VQ_ASSERT(w.weights_ == first.weights_ && w.in_ == first.in_ && w.exact_ == first.exact_);
        for (Index part = 0; part < w.parts(); ++part) {
            tensors.push_back(w.tensors_[static_cast<std::size_t>(part)]);
            to.push_back(y[i] + w.begin(part));
        }
        work += w.in_ * w.begin_.back();
    }
    const vqd_file* file = first.weights_->file().get();
    const std::size_t bytes = vqd_matvecs_scratch_bytes(file, tensors.data(), tensors.size());
    const auto room = scratch.bytes(bytes);
    const vqd_threads threads = {work < parallel_work ? nullptr : run_tasks, nullptr};
    const vqd_status status =
        vqd_matvecs(file, tensors.data(), tensors.size(), first.exact_ ? VQD_EXACT : VQD_INT8, x,
                    to.data(), room.data(), bytes, &threads);
    VQ_ASSERT(status == VQD_OK);
}

}  // namespace vq
