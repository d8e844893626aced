// SPDX-License-Identifier: Apache-2.0
// WeightSource: where a model's weights come from, whatever the file. The names are those of HF
// checkpoints ("model.layers.0.self_attn.q_proj.weight") and so is the orientation: W (out, in),
// the q and k rows in HF's (half-split) rotary order. Implemented by HF folders, by GGUF files and
// by the quantized store.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/matrix.h"
#include "io/families/model_config.h"
#include "io/tokenizers/tokenizer_files.h"

namespace vq {

/// Rows and columns; a vector (norm, bias) has one row.
struct TensorShape {
    Index rows = 0;
    Index cols = 0;
};

class PackedWeights;

class WeightSource {
public:
    virtual ~WeightSource() = default;
    virtual const ModelConfig& config() const = 0;
    virtual const TokenizerFiles& tokenizer_files() const = 0;
    /// Every tensor, in a fixed order.
    virtual const std::vector<std::string>& names() const = 0;
    virtual bool has(const std::string& name) const = 0;
    /// Throws Error when there is no such tensor.
    virtual TensorShape shape(const std::string& name) const = 0;
    /// Extents in the family's own files; they may be more than two where a tensor is none of the
    /// model's own (ModelConfig::foreign).
    virtual std::vector<std::int64_t> dims(const std::string& name) const {
        const TensorShape size = shape(name);
        if (size.rows == 1) return {size.cols};
        return {size.rows, size.cols};
    }
    /// What a user of the file should know: what it lacks, what is passed over. A line each.
    virtual std::vector<std::string> notes() const { return config().notes; }
    /// The tensor as fp32, dequantised. Throws Error when it is missing or holds a value that is
    /// not finite (with the name and the index of the first one). Thread-safe.
    virtual Matrix read(const std::string& name) const = 0;
    /// A hash of the model's content: config and every tensor's stored bytes.
    virtual std::string content_hash() const = 0;
    /// content_hash() of the checkpoint that these weights stand for: what Hessians of their inputs
    /// may be used for. Empty when the file does not say which one that is.
    virtual std::string origin_hash() const { return content_hash(); }
    /// The file whose tensors can be multiplied with as they are; null for all other sources.
    virtual std::shared_ptr<const PackedWeights> packed() const { return nullptr; }
};

/// Opens a HF folder (config.json + safetensors, single or sharded) or a GGUF file, memory-mapped.
/// Checks that all tensors that the configuration calls for are there with their shapes.
std::unique_ptr<WeightSource> open_checkpoint(const std::string& path);

/// Checks that `source` has every tensor that its configuration calls for, with the right shape;
/// throws Error that names the first missing or misshapen one. Used by every implementation.
void check_model_tensors(const WeightSource& source, const std::string& where);

}  // namespace vq
