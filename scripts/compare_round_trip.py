#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that transformers computes from an export what the runtime computes from the store.

    compare_round_trip.py [--build build] [--method finequant] [--set part.key=value ...] MODEL ...

Each MODEL is a HF folder with a tokenizer. It is quantized, exported with `--to safetensors --dtype f32` in
parts of 1 MB, loaded by transformers, and its logits are compared with those of the store and of the packed file
(decoded to fp32): max |difference| must be at most 1e-3. A file tokens.i32 in the folder says for which
tokens, else 64 random ones are taken. Prints a line of JSON for each. Exit status: 0 all within bounds, 1 not, 77
the Python packages are missing.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import numpy as np
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText
except ImportError as missing:
    print(f"SKIPPED: {missing} (scripts/python_env.sh torch)")
    sys.exit(77)

MAX_LOGIT_DIFFERENCE = 1e-3
TOKENS = 64


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])


def tokens_for(model):
    given = model / "tokens.i32"
    if given.exists():
        return np.fromfile(given, "<i4")
    config = json.loads((model / "config.json").read_text())
    words = config.get("text_config", config)["vocab_size"]
    return np.random.default_rng(1).integers(0, words, TOKENS).astype("<i4")


def logits_of(tool, model, tokens, folder):
    ids, out = Path(folder) / "tokens", Path(folder) / "logits"
    tokens.tofile(ids)
    run(tool, model, ids, out, "fp32")
    return np.fromfile(out, "<f4").reshape(len(tokens), -1)


@torch.no_grad()
def transformers_logits(folder, tokens):
    how = {"dtype": torch.float32, "attn_implementation": "eager"}
    try:
        model = AutoModelForCausalLM.from_pretrained(folder, **how).eval()
    except ValueError:  # a wrapper that is known for its pictures alone
        model = AutoModelForImageTextToText.from_pretrained(folder, **how).eval()
    ids = torch.from_numpy(tokens.astype("i8"))[None]
    return model(input_ids=ids, use_cache=False).logits[0].numpy()


def compare(model, args, tool, vq):
    with tempfile.TemporaryDirectory() as folder:
        store, dense = Path(folder) / "model.vq.h5", Path(folder) / "dense"
        packed = Path(folder) / "model.vqp"
        sets = [part for setting in args.set for part in ("--set", setting)]
        text = Path(__file__).resolve().parent.parent / "models/tiny/calib.txt"
        calibration = ["--calib", text, "--calib-tokens", "1024"]
        run(vq, "quantize", model, "-o", store, "--method", args.method, "--quiet", *calibration, *sets)
        parts = ["--dtype", "f32", "--shard-size", "1MB"]
        run(vq, "export", store, "--to", "safetensors", "-o", dense, "--quiet", *parts)
        run(vq, "export", store, "--to", "packed", "-o", packed, "--quiet")
        tokens = tokens_for(model)
        ours = logits_of(tool, store, tokens, folder)
        theirs = transformers_logits(dense, tokens)
        return {
            "model": model.name,
            "max_logit": float(np.abs(ours).max()),
            "transformers": float(np.abs(ours - theirs).max()),
            "packed": float(np.abs(ours - logits_of(tool, packed, tokens, folder)).max()),
        }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL")
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--method", default="finequant")
    parser.add_argument("--set", action="append", default=[], metavar="part.key=value")
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    tool, vq = args.build / "tests/model/logits_tool", args.build / "vq"
    good = True
    for model in args.models:
        try:
            result = compare(model, args, tool, vq)
            good &= max(result["transformers"], result["packed"]) <= MAX_LOGIT_DIFFERENCE
        except Exception as error:  # one model that fails must not hide the others
            result = {"model": model.name, "error": f"{type(error).__name__}: {error}"[:300]}
            good = False
        print(json.dumps(result), flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
