#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes what the public Python package `gguf` (pip install gguf numpy) makes of random blocks.

dequant_golden.txt: every GGUF type that vqkit reads, one line a type: name, bytes of the blocks, fp32
bits of the values, all in hexadecimal, little-endian.
dequant_grids.txt: for the types with codebooks, blocks in which every vector of the codebook occurs, and
the 64-bit FNV-1a hash of the values' bytes instead of the values.
"""
import pathlib
import sys

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf import quants
from gguf.quants import dequantize

# Where the fp16 scales stand inside a block: random bits there must stay finite. IQ1_M spreads its scale
# over four nibbles; MXFP4 has an exponent alone.
SCALES = {T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0],
          T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208], T.F16: [0], T.BF16: [], T.F32: [],
          T.Q2_K: [80, 82], T.Q3_K: [108], T.IQ1_S: [0], T.IQ1_M: [], T.IQ2_XXS: [0],
          T.IQ2_XS: [0], T.IQ2_S: [0], T.IQ3_XXS: [0], T.IQ3_S: [0], T.IQ4_NL: [0],
          T.IQ4_XS: [0], T.TQ1_0: [52], T.TQ2_0: [64], T.MXFP4: []}  # fmt: skip
GRIDS = {T.IQ1_S: 2048, T.IQ1_M: 2048, T.IQ2_XXS: 256, T.IQ2_XS: 512, T.IQ2_S: 1024,
         T.IQ3_XXS: 256, T.IQ3_S: 512}  # fmt: skip


def fp16_bytes(random, count):
    """Ordinary, negative, subnormal and large scales in turn."""
    fp16 = random.standard_normal(count) * np.resize([0.02, 1e-6, 30.0], count)
    return fp16.astype(np.float16).view(np.uint8).reshape(count, 2)


def random_blocks(random, kind, count):
    size = GGML_QUANT_SIZES[kind][1]
    blocks = random.integers(0, 256, (count, size), dtype=np.uint8)
    if kind in (T.F32, T.BF16):
        values = random.standard_normal(count).astype(np.float32).view(np.uint8)
        return values.reshape(count, 4)[:, 4 - size :].copy()
    for at in SCALES[kind]:
        blocks[:, at : at + 2] = fp16_bytes(random, count)
    if kind == T.IQ1_M:
        half = fp16_bytes(random, count).copy().view(np.uint16)
        words = blocks[:, 48:].copy().view(np.uint16)
        for i in range(4):
            words[:, i] = (words[:, i] & 0xFFF) | (half[:, 0] >> 4 * i & 15) << 12
        blocks[:, 48:] = words.view(np.uint8)
    if kind == T.MXFP4:
        blocks[:, 0] = np.resize([127, 0, 1, 2, 120, 250, 252], count)
    return blocks


def values_of(blocks, kind):
    return dequantize(blocks.reshape(1, -1), kind).astype(np.float32)


def fnv1a(data):
    hash = 0xCBF29CE484222325
    for byte in data:
        hash = (hash ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{hash:016x}"


def grid_blocks(random, kind):
    """Blocks with every vector in turn, behind random signs and scales."""
    of = quants.IQ1_S if kind == T.IQ1_M else getattr(quants, kind.name)
    of.init_grid()
    size = GRIDS[kind]
    assert of.grid_shape[0] == size
    in_block = 256 // of.grid_shape[1]
    blocks = random_blocks(random, kind, size // in_block)
    for block, first in zip(blocks, range(0, size, in_block)):
        index = np.arange(first, first + in_block)
        low, high = (index & 255).astype(np.uint8), index >> 8
        if kind == T.IQ2_XXS:
            block[2:].reshape(8, 8)[:, :4] = low.reshape(8, 4)
        elif kind == T.IQ2_XS:
            block[2:66:2] = low
            block[3:66:2] = block[3:66:2] & 0xFE | high
        elif kind == T.IQ2_S:
            block[2:34] = low
            block[66:74] = (high.reshape(8, 4) << [0, 2, 4, 6]).sum(1)
        elif kind == T.IQ3_XXS:
            block[2:66] = low
        elif kind == T.IQ3_S:
            block[2:66] = low
            block[66:74] = (high.reshape(8, 8) << np.arange(8)).sum(1)
        elif kind == T.IQ1_S:
            block[2:34] = low
            words = block[34:].copy().view(np.uint16)
            words = words & 0xF000 | (high.reshape(8, 4) << [0, 3, 6, 9]).sum(1).astype(np.uint16)
            block[34:] = words.view(np.uint8)
        else:
            block[:32] = low
            nibbles = high.reshape(16, 2) << [0, 4]
            block[32:48] = block[32:48] & 0x88 | nibbles.sum(1).astype(np.uint8)
    return blocks


def main():
    target = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
    random = np.random.default_rng(7)
    lines = []
    for kind in SCALES:
        old = kind in (T.Q4_K, T.Q5_K, T.Q6_K)
        weights = GGML_QUANT_SIZES[kind][0]
        count = 2 if old else {256: 1, 32: 7 if kind == T.MXFP4 else 4}.get(weights, 24)
        blocks = random_blocks(random, kind, count)
        values = values_of(blocks, kind)
        lines.append(f"{kind.name} {blocks.tobytes().hex()} {values.tobytes().hex()}\n")
    (target / "dequant_golden.txt").write_text("".join(lines))
    lines = []
    for kind in GRIDS:
        blocks = grid_blocks(random, kind)
        hash = fnv1a(values_of(blocks, kind).tobytes())
        lines.append(f"{kind.name} {blocks.tobytes().hex()} {hash}\n")
    (target / "dequant_grids.txt").write_text("".join(lines))


if __name__ == "__main__":
    main()
