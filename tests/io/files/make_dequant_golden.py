#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes dequant_golden.txt: random blocks of every GGUF type that vqkit reads and their values
according to the public Python package `gguf` (pip install gguf numpy). One line a type:
name, bytes of the blocks, fp32 bits of the values, all in hexadecimal, little-endian."""
import pathlib
import sys

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize

# Where the fp16 scales stand inside a block: random bits there must stay finite.
SCALES = {T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0],
          T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208], T.F16: [0], T.BF16: [], T.F32: []}


def main():
    random = np.random.default_rng(7)
    lines = []
    for kind, scales in SCALES.items():
        weights, size = GGML_QUANT_SIZES[kind]
        count = 2 if weights == 256 else 4 if weights == 32 else 24
        blocks = random.integers(0, 256, (count, size), dtype=np.uint8)
        if kind in (T.F32, T.BF16):
            values = random.standard_normal(count).astype(np.float32).view(np.uint8)
            blocks = values.reshape(count, 4)[:, 4 - size:].copy()
        for at in scales:
            # Ordinary, negative, subnormal and large scales in turn.
            fp16 = (random.standard_normal(count) * np.resize([0.02, 1e-6, 30.0], count))
            blocks[:, at:at + 2] = fp16.astype(np.float16).view(np.uint8).reshape(count, 2)
        values = dequantize(blocks.reshape(1, -1), kind).astype(np.float32)
        lines.append(f"{kind.name} {blocks.tobytes().hex()} {values.tobytes().hex()}\n")
    target = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
    (target / "dequant_golden.txt").write_text("".join(lines))


if __name__ == "__main__":
    main()
