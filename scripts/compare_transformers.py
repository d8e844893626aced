#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the runtime against the `transformers` package, in fp32.

    compare_transformers.py --model MODEL --text FILE [--build build] [--ctx 512] [--max-tokens 16384]

MODEL is a HF folder or a GGUF file (needs the packages `gguf` and `accelerate` too). Compares
  - the logits of the first window of the text: max |difference| must be at most 2e-3;
  - the perplexity over all windows with that of `vq eval`: must agree within 0.1%;
  - the KL divergence of `vq eval`'s bf16 path from its fp32 path, computed from the logits of
    logits_tool on the first window: must be at most .002.
Prints one line of JSON. Exit status: 0 all within bounds, 1 not, 77 the Python packages are missing.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
except ImportError as missing:
    print(f"SKIPPED: {missing} (scripts/python_env.sh torch)")
    sys.exit(77)

MAX_LOGIT_DIFFERENCE = 2e-3
MAX_PERPLEXITY_DIFFERENCE = 1e-3
MAX_BF16_KL = 2e-3


def load(path):
    """The model in fp32 and its tokenizer."""
    where = {"pretrained_model_name_or_path": str(path)}
    if path.is_file():
        where = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    return model.eval(), AutoTokenizer.from_pretrained(**where)


def windows(ids, ctx):
    """Windows of ctx tokens without overlap; a shorter last one if it has two tokens."""
    return [ids[i : i + ctx] for i in range(0, len(ids), ctx) if len(ids) - i >= 2]


@torch.no_grad()
def mean_loss(model, parts):
    """Mean next-token loss over all windows, logits in slices of 128 tokens."""
    total, count = 0.0, 0
    for part in parts:
        ids = torch.tensor([part])
        hidden = model.model(ids, use_cache=False).last_hidden_state[0]
        for i in range(0, len(part) - 1, 128):
            j = min(i + 128, len(part) - 1)
            logits = model.lm_head(hidden[i:j])
            total += torch.nn.functional.cross_entropy(
                logits, ids[0, i + 1 : j + 1], reduction="sum"
            ).item()
        count += len(part) - 1
    return total / count


def tool_logits(tool, model, ids, precision):
    with tempfile.TemporaryDirectory() as folder:
        tokens, out = Path(folder) / "tokens", Path(folder) / "logits"
        np.array(ids, "<i4").tofile(tokens)
        subprocess.run([tool, model, tokens, out, precision], check=True)
        return np.fromfile(out, "<f4").reshape(len(ids), -1)


def kl(reference, other):
    p, q = (torch.log_softmax(torch.from_numpy(x).double(), -1) for x in (reference, other))
    return (p.exp() * (p - q)).sum(-1).mean().item()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--ctx", type=int, default=512)
    parser.add_argument("--max-tokens", type=int, default=16384)
    parser.add_argument("--logits-tool", type=Path, help="default: BUILD/tests/model/logits_tool")
    parser.add_argument("--vq", type=Path, help="default: BUILD/vq")
    args = parser.parse_args()
    tool = args.logits_tool or args.build / "tests/model/logits_tool"
    vq = args.vq or args.build / "vq"

    model, tokenizer = load(args.model)
    text = args.text.read_text(encoding="utf-8", errors="replace")
    ids = tokenizer(text, add_special_tokens=False)["input_ids"][: args.max_tokens]
    parts = windows(ids, args.ctx)

    with torch.no_grad():
        want = model(torch.tensor([parts[0]])).logits[0].numpy()
    exact = tool_logits(tool, args.model, parts[0], "fp32")
    fast = tool_logits(tool, args.model, parts[0], "bf16")
    theirs = math.exp(mean_loss(model, parts))
    command = [vq, "eval", args.model, "--text", args.text, "--ctx", str(args.ctx), "--json"]
    command += ["--max-tokens", str(args.max_tokens), "--precision", "fp32"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    ours = json.loads(done.stdout)

    result = {
        "model": args.model.name,
        "text": args.text.name,
        "tokens": ours["tokens"],
        "max_logit_difference": float(np.abs(want - exact).max()),
        "max_logit": float(np.abs(want).max()),
        "perplexity": ours["perplexity"],
        "perplexity_transformers": theirs,
        "perplexity_relative_difference": abs(ours["perplexity"] / theirs - 1),
        "kl_bf16_to_fp32": kl(exact, fast),
        "torch": torch.__version__,
    }
    print(json.dumps(result))
    good = (
        ours["tokens"] == sum(len(p) - 1 for p in parts)
        and result["max_logit_difference"] <= MAX_LOGIT_DIFFERENCE
        and result["perplexity_relative_difference"] <= MAX_PERPLEXITY_DIFFERENCE
        and result["kl_bf16_to_fp32"] <= MAX_BF16_KL
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
