// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "io/families/family.h"

namespace vq {

std::span<const std::string_view> harmless_config_keys() {
    static constexpr auto keys = std::to_array<std::string_view>({
        // What the file is, and who wrote it.
        "_commit_hash",
        "_name_or_path",
        "architectures",
        "base_model_pp_plan",
        "base_model_tp_plan",
        "dtype",
        "finetuning_task",
        "id2label",
        "label2id",
        "model_type",
        "name_or_path",
        "problem_type",
        "task_specific_params",
        "tokenizer_class",
        "torch_dtype",
        "transformers.js_config",
        "transformers_version",
        "unsloth_fixed",
        "unsloth_version",
        // How another program computes the same.
        "_attn_implementation",
        "_attn_implementation_autoset",
        "_flash_attn_2_enabled",
        "attn_implementation",
        "chunk_size_feed_forward",
        "output_attentions",
        "output_hidden_states",
        "return_dict",
        "tf_legacy_loss",
        "torchscript",
        "use_bfloat16",
        "use_cache",
        // What a decoder alone does not have.
        "add_cross_attention",
        "cross_attention_hidden_size",
        "decoder_start_token_id",
        "is_decoder",
        "is_encoder_decoder",
        "tie_encoder_decoder",
        // Training.
        "attention_dropout",
        "attention_probs_dropout_prob",
        "embd_pdrop",
        "gradient_checkpointing",
        "hidden_dropout",
        "hidden_dropout_prob",
        "initializer_range",
        "pruned_heads",
        "resid_pdrop",
        // Text around the model: lengths of texts, special tokens.
        "cls_token_id",
        "mask_token_id",
        "max_sequence_length",
        "model_max_length",
        "pad_token_id",
        "prefix",
        "sep_token_id",
        "tokenizer_model_max_length",
        "tokenizer_padding_side",
        "unk_token_id",
        // Sampling, which generation_config.json says since transformers 4.26.
        "bad_words_ids",
        "begin_suppress_tokens",
        "diversity_penalty",
        "do_sample",
        "early_stopping",
        "encoder_no_repeat_ngram_size",
        "exponential_decay_length_penalty",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "length_penalty",
        "max_length",
        "min_length",
        "no_repeat_ngram_size",
        "num_beam_groups",
        "num_beams",
        "num_return_sequences",
        "output_scores",
        "remove_invalid_values",
        "repetition_penalty",
        "return_dict_in_generate",
        "suppress_tokens",
        "temperature",
        "top_k",
        "top_p",
        "typical_p",
    });
    return keys;
}

std::span<const std::string_view> foreign_tensors() {
    static constexpr auto starts = std::to_array<std::string_view>({
        "mtp.",
        "model.mtp.",
        "visual.",
        "model.visual.",
        "vision_tower.",
        "model.vision_tower.",
        "vision_model.",
        "model.vision_model.",
        "multi_modal_projector.",
        "model.multi_modal_projector.",
        "audio_tower.",
        "model.audio_tower.",
        "embed_audio.",
        "model.embed_audio.",
        "embed_vision.",
        "model.embed_vision.",
    });
    return starts;
}

bool is_vector(TensorRole role) {
    switch (role) {
        case TensorRole::layer_projection_norm:
        case TensorRole::attention_norm:
        case TensorRole::attention_post_norm:
        case TensorRole::query_norm:
        case TensorRole::key_norm:
        case TensorRole::sinks:
        case TensorRole::latent_query_norm:
        case TensorRole::latent_key_value_norm:
        case TensorRole::delta_log_decay:
        case TensorRole::delta_decay_bias:
        case TensorRole::delta_norm:
        case TensorRole::mlp_norm:
        case TensorRole::mlp_own_post_norm:
        case TensorRole::mlp_post_norm:
        case TensorRole::expert_norm:
        case TensorRole::expert_post_norm:
        case TensorRole::router_scale:
        case TensorRole::router_bias:
        case TensorRole::expert_scale:
        case TensorRole::shared_switch:
        case TensorRole::layer_input_norm:
        case TensorRole::layer_scalar:
        case TensorRole::final_norm: return true;
        default: return false;
    }
}

const ConfigKey* find_key(const Family& family, Setting setting) {
    for (const ConfigKey& key : family.keys)
        if (key.setting == setting) return &key;
    return nullptr;
}

std::string supported_architectures(std::span<const Family> table) {
    std::string text = "use a model of the architecture ";
    for (std::size_t i = 0; i < table.size(); ++i) {
        if (i > 0) text += i + 1 == table.size() ? " or " : ", ";
        text += table[i].model_type;
    }
    return text;
}

}  // namespace vq
