#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Families and their tensors are named in io/families/rows.cpp alone: fails where another source says, in a string,
what a row says. Tokenizers are left out: GGUF files have tokenizers that are called "llama" and "qwen2" too."""
import re
import sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
table = root / "io/families/rows.cpp"
rooms = ["apps", "base", "codebooks", "decode", "io", "lattice", "model", "vq"]

text = table.read_text()
families = set(re.findall(r'\.(?:model_type|hf_class|gguf_architecture) = "([^"]+)"', text))
# "model.layers.{}.self_attn.q_proj" and, as sources would write it, "q_proj".
tensors = {name for pair in re.findall(r'\{\w+, "([^"]+)", "([^"]+)"[,}]', text) for name in pair if "." in name}
parts = {name.rsplit(".", 1)[1] for name in tensors}
if len(families) < 3 or len(tensors) < 12:
    sys.exit(f"{table}: the rows are not understood: {sorted(families)}, {sorted(tensors)}")

faults = 0
for source in (path for room in rooms for path in sorted((root / room).rglob("*"))):
    if source.suffix not in (".cpp", ".h") or source == table or "tokenizers" in source.parts:
        continue
    for number, line in enumerate(source.read_text().splitlines(), 1):
        for literal in re.findall(r'"((?:[^"\\]|\\.)*)"', re.sub(r"(^|\s)//.*", "", line)):
            words = set(re.split(r"[^A-Za-z0-9_]+", literal))
            if literal in families or words & parts or any(t in literal for t in tensors):
                print(f"{source.relative_to(root)}:{number}: \"{literal}\"")
                faults += 1
print(f"{len(families)} names of families, {len(tensors)} of tensors, {faults} outside {table.relative_to(root)}")
sys.exit(1 if faults else 0)
