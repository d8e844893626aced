#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains the tiny Llama in models/tiny on text from scripts/grammar.py.

Needs torch, tokenizers and safetensors (scripts/python_env.sh makes such an environment). About five
minutes on one core. Writes a Hugging Face folder and the two texts that go with it: calib.txt for
calibration and heldout.txt for evaluation, drawn from seeds that training never saw.
"""
import argparse
import json
import math
import pathlib
import time

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from torch.nn import functional as F

from grammar import Grammar

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "head_dim": 32,
    "hidden_act": "silu",
    "hidden_size": 128,
    "initializer_range": 0.02,
    "intermediate_size": 384,
    "max_position_embeddings": 256,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 4,
    "num_hidden_layers": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "torch_dtype": "float16",
    "use_cache": True,
    "vocab_size": 640,
}
HIDDEN, FFN, HEADS, KV_HEADS, HEAD = 128, 384, 4, 2, 32
TRAIN_SEED, CALIB_SEED, HELDOUT_SEED = 1, 2, 3


def rotate(x, cos, sin):
    """Rotary embedding, halves of a head paired (the Hugging Face order)."""
    half = x.shape[-1] // 2
    a, b = x[..., :half], x[..., half:]
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(HIDDEN))

    def forward(self, x):
        return F.rms_norm(x, (HIDDEN,), self.weight, CONFIG["rms_norm_eps"])


def linear(rows, cols):
    return nn.Linear(cols, rows, bias=False)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj = linear(HEADS * HEAD, HIDDEN)
        self.k_proj = linear(KV_HEADS * HEAD, HIDDEN)
        self.v_proj = linear(KV_HEADS * HEAD, HIDDEN)
        self.o_proj = linear(HIDDEN, HEADS * HEAD)

    def forward(self, x, cos, sin):
        n, t, _ = x.shape
        q = rotate(self.q_proj(x).view(n, t, HEADS, HEAD).transpose(1, 2), cos, sin)
        k = rotate(self.k_proj(x).view(n, t, KV_HEADS, HEAD).transpose(1, 2), cos, sin)
        v = self.v_proj(x).view(n, t, KV_HEADS, HEAD).transpose(1, 2)
        k, v = (u.repeat_interleave(HEADS // KV_HEADS, 1) for u in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(y.transpose(1, 2).reshape(n, t, HEADS * HEAD))


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate_proj = linear(FFN, HIDDEN)
        self.up_proj = linear(FFN, HIDDEN)
        self.down_proj = linear(HIDDEN, FFN)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.input_layernorm, self.self_attn = Norm(), Attention()
        self.post_attention_layernorm, self.mlp = Norm(), Mlp()

    def forward(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    """Parameter names are those of the checkpoint, less the leading "model."."""

    def __init__(self):
        super().__init__()
        self.embed_tokens = nn.Embedding(CONFIG["vocab_size"], HIDDEN)
        self.layers = nn.ModuleList(Block() for _ in range(CONFIG["num_hidden_layers"]))
        self.norm = Norm()
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                scale = 0.04 / math.sqrt(8) if name.endswith(("o_proj.weight", "down_proj.weight")) else 0.04
                nn.init.normal_(parameter, std=scale)

    def forward(self, ids):
        angle = torch.outer(torch.arange(ids.shape[1]).float(),
                            CONFIG["rope_theta"] ** (-torch.arange(0, HEAD, 2).float() / HEAD))
        cos, sin = angle.cos(), angle.sin()
        x = self.embed_tokens(ids)
        for layer in self.layers:
            x = layer(x, cos, sin)
        return F.linear(self.norm(x), self.embed_tokens.weight)


def train_tokenizer(text):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True),
         pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(text.split("\n\n"), trainers.BpeTrainer(
        vocab_size=CONFIG["vocab_size"], special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def token_loss(model, ids, context):
    """Mean next-token loss over windows of `context` tokens, in nats."""
    windows = ids[:len(ids) // context * context].view(-1, context)
    with torch.no_grad():
        losses = [F.cross_entropy(model(w[None])[0, :-1], w[1:]) for w in windows]
    return torch.stack(losses).mean().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    parser.add_argument("--steps", type=int, default=1700)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.manual_seed(TRAIN_SEED)
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    output = arguments.output
    output.mkdir(parents=True, exist_ok=True)

    heldout = Grammar(HELDOUT_SEED).text(160 * 1024)
    (output / "calib.txt").write_text(Grammar(CALIB_SEED).text(160 * 1024))
    (output / "heldout.txt").write_text(heldout)
    text = Grammar(TRAIN_SEED).text(6 << 20)
    tokenizer = train_tokenizer(text[:1 << 20])
    CONFIG["vocab_size"] = tokenizer.get_vocab_size()
    ids = torch.tensor(tokenizer.encode(text).ids)
    context, batch = CONFIG["max_position_embeddings"], 8
    print(f"{len(ids)} tokens, {len(text) / len(ids):.2f} bytes a token, vocabulary {CONFIG['vocab_size']}")

    model = Llama()
    print(f"{sum(p.numel() for p in model.parameters())} parameters")
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, betas=(0.9, 0.95), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda i: min((i + 1) / 50, 0.02 + 0.98 * (1 + math.cos(math.pi * i / arguments.steps)) / 2))
    start = time.time()
    for step in range(arguments.steps):
        at = torch.randint(len(ids) - context - 1, (batch,))
        window = torch.stack([ids[i:i + context + 1] for i in at])
        loss = F.cross_entropy(model(window[:, :-1]).flatten(0, 1), window[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            print(f"step {step}: loss {loss.item():.4f}, {time.time() - start:.0f} s", flush=True)

    model.half().float()  # evaluate what is stored
    held = token_loss(model, torch.tensor(tokenizer.encode(heldout).ids), context)
    print(f"held-out loss {held:.4f} nats a token, perplexity {math.exp(held):.3f}")

    save_file({"model." + name: p.detach().half().contiguous() for name, p in model.named_parameters()},
              output / "model.safetensors", metadata={"format": "pt"})
    (output / "model.safetensors").chmod(0o644)
    tokenizer.save(str(output / "tokenizer.json"))
    (output / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    special = "<|endoftext|>"
    (output / "tokenizer_config.json").write_text(json.dumps(
        {"add_prefix_space": False, "bos_token": special, "eos_token": special,
         "model_max_length": context, "tokenizer_class": "PreTrainedTokenizerFast",
         "unk_token": special}, indent=2) + "\n")


if __name__ == "__main__":
    main()
