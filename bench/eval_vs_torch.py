#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times perplexity evaluation by `vq eval` against PyTorch in fp32, side by side.

    eval_vs_torch.py --model MODEL --text FILE [--build build] [--ctx 512] [--max-tokens 16384]
                     [--threads 2] [--rounds 3] [--precision bf16]

Both see the same windows of the same tokens, with the same number of threads; PyTorch takes its
logits in slices of 128 tokens, which is faster than all at once. The two take turns, and the median
of each one's rounds counts; neither figure has the time to load the model. The machine should be
quiet. Prints one line of JSON. Exit status 77: the Python packages are missing.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
from compare_transformers import load, mean_loss, torch, windows  # noqa: E402


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--vq", type=Path, help="default: BUILD/vq")
    parser.add_argument("--ctx", type=int, default=512)
    parser.add_argument("--max-tokens", type=int, default=16384)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="bf16")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    model, tokenizer = load(args.model)
    text = args.text.read_text(encoding="utf-8", errors="replace")
    ids = tokenizer(text, add_special_tokens=False)["input_ids"][: args.max_tokens]
    parts = windows(ids, args.ctx)
    mean_loss(model, parts[:1])  # warm up

    command = [args.vq or args.build / "vq", "eval", args.model, "--text", args.text, "--json"]
    command += ["--ctx", str(args.ctx), "--max-tokens", str(args.max_tokens)]
    command += ["--precision", args.precision, "--threads", str(args.threads)]
    ours, theirs = [], []
    for _ in range(args.rounds):
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        answer = json.loads(done.stdout)
        ours.append(answer["seconds"])
        start = time.perf_counter()
        loss = mean_loss(model, parts)
        theirs.append(time.perf_counter() - start)

    result = {
        "model": args.model.name,
        "tokens": len(ids),
        "threads": args.threads,
        "precision": args.precision,
        "vq_seconds": statistics.median(ours),
        "torch_seconds": statistics.median(theirs),
        "speedup": statistics.median(theirs) / statistics.median(ours),
        "vq_rounds": ours,
        "torch_rounds": theirs,
        "vq_perplexity": answer["perplexity"],
        "torch_perplexity": math.exp(loss),
        "torch": torch.__version__,
        "load_average": os.getloadavg()[0],
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
