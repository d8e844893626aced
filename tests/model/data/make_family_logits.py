#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes family_logits.json and family_logits.f32: tiny models of every family with the logits that
transformers computes for them.
    make_family_logits.py [NAME ...]        (no NAME: all; needs numpy, torch, transformers, safetensors)
Weights are not kept: element i of a tensor is a function of the tensor's name and i, here and in
family_logits_test.cpp, so that a configuration, names and shapes are all there is to keep."""
import json, sys, tempfile, warnings
from pathlib import Path
import numpy as np
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
torch.set_num_threads(1)
HERE = Path(__file__).resolve().parent
VOCAB, LENGTH, WINDOW = 64, 24, 8
TOKENS = [(7 * i * i + 3 * i + 11) % VOCAB for i in range(LENGTH)]
S, F, L, C = "sliding_attention", "full_attention", "linear_attention", "conv"
PLAIN = {"rope_type": "default", "rope_theta": 500.0}
YARN = {"rope_type": "yarn", "rope_theta": 500.0, "factor": 4.0, "original_max_position_embeddings": 8}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 16}
HALF = {**PLAIN, "partial_rotary_factor": 0.5}
TYPES = {S: {"rope_type": "default", "rope_theta": 100.0}, F: {"rope_type": "linear", "factor": 8.0, "rope_theta": 500.0}}


def base(**more):
    out = dict(vocab_size=VOCAB, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
               num_key_value_heads=2, max_position_embeddings=128, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2,
               pad_token_id=0, tie_word_embeddings=False, rope_parameters=PLAIN)
    out.update(more)
    return {key: value for key, value in out.items() if value is not ...}


def ln(key, **more):
    return base(rms_norm_eps=..., **{key: 1e-5}, **more)


GRANITE = dict(tie_word_embeddings=True, embedding_multiplier=6.0, attention_multiplier=0.4, residual_multiplier=0.3,
               logits_scaling=2.5)
ROUTED = dict(n_routed_experts=4, num_experts_per_tok=2, moe_intermediate_size=12, n_shared_experts=1,
              first_k_dense_replace=1, routed_scaling_factor=1.5, norm_topk_prob=True)
LATENT = dict(num_key_value_heads=4, q_lora_rank=20, kv_lora_rank=12, qk_rope_head_dim=4, qk_nope_head_dim=8, v_head_dim=6)
DELTA = dict(num_hidden_layers=4, head_dim=16, layer_types=[L, L, L, F], linear_conv_kernel_dim=4, linear_key_head_dim=8,
             linear_value_head_dim=8, linear_num_key_heads=2, linear_num_value_heads=4,
             rope_parameters={**PLAIN, "partial_rotary_factor": 0.25})
GEMMA4 = dict(head_dim=8, global_head_dim=12, tie_word_embeddings=True, sliding_window=WINDOW, layer_types=[S, F],
              final_logit_softcapping=6.0, rope_parameters={
                  S: {"rope_type": "default", "rope_theta": 100.0},
                  F: {"rope_type": "proportional", "partial_rotary_factor": 0.34, "rope_theta": 500.0}})
EXPERTS = dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=12)
CASES = {
    "llama": ("llama", base(rope_parameters=LLAMA3, head_dim=10, attention_bias=True, mlp_bias=True)),
    "llama-yarn": ("llama", base(rope_parameters=YARN)),
    "llama-dynamic": ("llama", base(max_position_embeddings=16, rope_parameters={
        "rope_type": "dynamic", "factor": 2.0, "rope_theta": 500.0})),
    "mistral": ("mistral", base(sliding_window=WINDOW)),
    "ministral3": ("ministral3", base(head_dim=8, rope_parameters={
        **YARN, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1})),
    "qwen2": ("qwen2", base(use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1)),
    "qwen3": ("qwen3", base(head_dim=12, tie_word_embeddings=True)),
    "seed_oss": ("seed_oss", base(head_dim=12, attention_bias=True, attention_out_bias=False)),
    "smollm3": ("smollm3", base(no_rope_layers=[1, 0], use_sliding_window=False, tie_word_embeddings=True)),
    "granite": ("granite", base(**GRANITE)),
    "granite4-dense": ("granitemoehybrid", base(**GRANITE, num_local_experts=0, num_experts_per_tok=0,
                                                shared_intermediate_size=40, layer_types=["attention"] * 2,
                                                mamba_n_heads=8, mamba_d_head=8, position_embedding_type="rope")),
    "phi3": ("phi3", base(sliding_window=WINDOW)),
    "phi4-mini": ("phi3", base(hidden_size=64, sliding_window=None, tie_word_embeddings=True,
                               original_max_position_embeddings=64, rope_parameters={
                                   "rope_type": "longrope", "rope_theta": 500.0, "partial_rotary_factor": 0.75,
                                   "short_factor": [1.0, 1.05, 1.1, 1.2, 1.3, 1.5],
                                   "long_factor": [1.0, 1.5, 2.5, 4.0, 6.0, 8.0]})),
    "glm4": ("glm4", base(head_dim=8, attention_bias=True, rope_parameters=HALF)),
    "ernie4_5": ("ernie4_5", base(head_dim=12, tie_word_embeddings=True, use_bias=False)),
    "hunyuan": ("hunyuan_v1_dense", base(head_dim=12, tie_word_embeddings=True, rope_parameters={
        "rope_type": "dynamic", "alpha": 50.0, "factor": 1.0, "rope_theta": 500.0})),
    "gemma": ("gemma", base(head_dim=8, tie_word_embeddings=True, hidden_activation="gelu_pytorch_tanh")),
    "gemma2": ("gemma2", base(head_dim=8, tie_word_embeddings=True, sliding_window=WINDOW, query_pre_attn_scalar=5,
                              attn_logit_softcapping=3.0, final_logit_softcapping=6.0)),
    "gemma3": ("gemma3_text", base(head_dim=8, tie_word_embeddings=True, sliding_window=WINDOW, query_pre_attn_scalar=5,
                                   layer_types=[S, F], rope_parameters=TYPES)),
    "gemma4-dense": ("gemma4_text", base(**GEMMA4, num_global_key_value_heads=1, attention_k_eq_v=True,
                                         hidden_size_per_layer_input=0)),
    "gemma4-e": ("gemma4_text", base(**{**GEMMA4, "num_hidden_layers": 4, "layer_types": [S, F, S, F]},
                                     hidden_size_per_layer_input=4, vocab_size_per_layer_input=VOCAB,
                                     num_kv_shared_layers=2, use_double_wide_mlp=True)),
    "gemma4-moe": ("gemma4_text", base(**GEMMA4, hidden_size_per_layer_input=0, enable_moe_block=True, num_experts=4,
                                       top_k_experts=2, moe_intermediate_size=12)),
    "olmo2": ("olmo2", base()),
    "olmo3": ("olmo3", base(sliding_window=WINDOW, layer_types=[S, F], rope_parameters={
        S: PLAIN, F: {**YARN, "beta_fast": 32.0, "beta_slow": 1.0, "attention_factor": 1.2}})),
    "exaone4": ("exaone4", base(sliding_window=WINDOW, sliding_window_pattern=2, layer_types=[S, F])),
    "cohere": ("cohere", ln("layer_norm_eps", logit_scale=0.4, use_qk_norm=True, tie_word_embeddings=True)),
    "cohere2": ("cohere2", ln("layer_norm_eps", logit_scale=0.4, sliding_window=WINDOW, layer_types=[S, F],
                              tie_word_embeddings=True)),
    "starcoder2": ("starcoder2", ln("norm_epsilon", use_bias=True, sliding_window=WINDOW, tie_word_embeddings=True)),
    "nemotron": ("nemotron", ln("norm_eps", head_dim=8, hidden_act="relu2", rope_parameters=HALF)),
    "phi": ("phi", ln("layer_norm_eps", num_key_value_heads=4, hidden_act="gelu_new", rope_parameters=HALF)),
    "arcee": ("arcee", base(head_dim=8, hidden_act="relu2", mlp_bias=True, rope_parameters=YARN)),
    "mixtral": ("mixtral", base(num_local_experts=4, num_experts_per_tok=2, sliding_window=None)),
    "qwen2_moe": ("qwen2_moe", base(**EXPERTS, shared_expert_intermediate_size=20, norm_topk_prob=False,
                                    decoder_sparse_step=1, mlp_only_layers=[])),
    "qwen3_moe": ("qwen3_moe", base(**EXPERTS, head_dim=12, norm_topk_prob=True, mlp_only_layers=[0])),
    "olmoe": ("olmoe", base(num_experts=4, num_experts_per_tok=2, norm_topk_prob=False)),
    "granitemoe": ("granitemoe", base(**GRANITE, num_local_experts=4, num_experts_per_tok=2)),
    "glm4_moe": ("glm4_moe", base(**ROUTED, head_dim=8, attention_bias=True, use_qk_norm=True, n_group=1, topk_group=1,
                                  rope_parameters=HALF)),
    "ernie4_5_moe": ("ernie4_5_moe", base(moe_num_experts=4, moe_k=2, moe_intermediate_size=12, moe_num_shared_experts=2,
                                          moe_layer_start_index=1, moe_layer_interval=1, moe_layer_end_index=1,
                                          use_bias=False, tie_word_embeddings=True)),
    "minimax_m2": ("minimax_m2", base(head_dim=12, num_local_experts=4, num_experts_per_tok=2, rope_parameters=HALF)),
    "hunyuan_moe": ("hunyuan_v1_moe", base(head_dim=12, num_experts=4, moe_topk=2, tie_word_embeddings=True,
                                           rope_parameters={"rope_type": "dynamic", "alpha": 50.0, "factor": 1.0,
                                                            "rope_theta": 500.0})),
    "gpt_oss": ("gpt_oss", base(head_dim=12, num_local_experts=4, num_experts_per_tok=2, sliding_window=WINDOW,
                                layer_types=[S, F], attention_bias=True,
                                rope_parameters={**YARN, "truncate": False})),
    "llama4": ("llama4_text", base(intermediate_size=20, intermediate_size_mlp=40, num_local_experts=4,
                                   num_experts_per_tok=1, interleave_moe_layer_step=2, no_rope_layers=[1, 0],
                                   attention_chunk_size=WINDOW, head_dim=8, use_qk_norm=True,
                                   attn_temperature_tuning=True, floor_scale=4, attn_scale=0.1, rope_parameters=LLAMA3)),
    "deepseek_v2": ("deepseek_v2", base(**{**LATENT, "q_lora_rank": None}, **{**ROUTED, "norm_topk_prob": False},
                                        topk_method="greedy", rope_parameters={
                                            **YARN, "mscale": 0.707, "mscale_all_dim": 0.707})),
    "deepseek_v3": ("deepseek_v3", base(**LATENT, **ROUTED, n_group=2, topk_group=1, rope_parameters={
        **YARN, "mscale": 1.0, "mscale_all_dim": 1.0})),
    "glm4_moe_lite": ("glm4_moe_lite", base(**LATENT, **ROUTED, n_group=1, topk_group=1)),
    "qwen3_next": ("qwen3_next", base(**DELTA, **EXPERTS, shared_expert_intermediate_size=12, norm_topk_prob=True)),
    "qwen3_5": ("qwen3_5_text", base(**DELTA, tie_word_embeddings=True)),
    # A width of 12 makes a model in which the rounding of fp32 alone moves logits by 4e-4.
    "qwen3_5_moe": ("qwen3_5_moe_text", base(**DELTA, **{**EXPERTS, "moe_intermediate_size": 16},
                                             shared_expert_intermediate_size=16)),
    "lfm2": ("lfm2", base(num_hidden_layers=2, norm_eps=1e-5, rms_norm_eps=..., block_auto_adjust_ff_dim=False,
                          conv_L_cache=3, layer_types=[C, F], tie_word_embeddings=True)),
    "lfm2_moe": ("lfm2_moe", base(norm_eps=1e-5, conv_L_cache=3, layer_types=[C, F], num_dense_layers=1, **EXPERTS,
                                  norm_topk_prob=True, use_expert_bias=True, tie_word_embeddings=True)),
}


def numbers(name, count):
    """`count` values in [-1, 1) for a tensor of this name: splitmix64 of its FNV-1a hash and their number."""
    state = np.uint64(14695981039346656037)
    with np.errstate(over="ignore"):
        for byte in name.encode():
            state = (state ^ np.uint64(byte)) * np.uint64(1099511628211)
        z = state + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float32) / np.float32(1 << 23) - np.float32(1)


def weights(name, shape):
    values = numbers(name, int(np.prod(shape)))
    if len(shape) == 1:
        around_one = "norm" in name and name.endswith("weight") or "scal" in name
        values = values * np.float32(0.25) + np.float32(1.0 if around_one else 0.0)
    else:
        values = values * np.float32(1.75 / np.sqrt(np.float32(shape[-1])))
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def make(name):
    model_type, settings = CASES[name]
    config = AutoConfig.for_model(model_type, **settings)
    config._attn_implementation = "eager"
    with tempfile.TemporaryDirectory() as folder:
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        file = Path(folder) / "model.safetensors"
        tensors = {key: weights(key, tuple(value.shape)) for key, value in load_file(file).items()}
        save_file(tensors, file, metadata={"format": "pt"})
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        with torch.no_grad():
            logits = model(torch.tensor([TOKENS]), use_cache=False).logits[0].float().numpy()
        text = json.loads((Path(folder) / "config.json").read_text())
    return text, {key: list(value.shape) for key, value in sorted(tensors.items())}, logits


if __name__ == "__main__":
    names = sys.argv[1:] or list(CASES)
    cases, parts = {}, []
    for name in names:
        config, tensors, logits = make(name)
        cases[name] = {"config": config, "tensors": tensors}
        parts.append(logits.astype("<f4"))
        print(f"{name:16s} largest logit {np.abs(logits).max():.2f}", flush=True)
    text = ",\n".join(f" {json.dumps(name)}: {json.dumps(case)}" for name, case in cases.items())
    (HERE / "family_logits.json").write_text(
        f'{{"vocabulary": {VOCAB}, "tokens": {TOKENS}, "transformers": "{transformers.__version__}",\n"cases": {{\n{text}\n}}}}\n')
    (HERE / "family_logits.f32").write_bytes(b"".join(part.tobytes() for part in parts))
