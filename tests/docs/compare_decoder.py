# SPDX-License-Identifier: Apache-2.0
"""compare_decoder.py STORE_FORMAT_MD NAME...: runs the Python blocks of the page and compares what they
decode from NAME.vq.h5 with NAME/model.safetensors (fp32)."""
import json
import re
import sys

import numpy as np

page = open(sys.argv[1], encoding="utf-8").read()
blocks = re.findall(r"```python\n(.*?)```", page, re.S)
unpack_block = next(b for b in blocks if "def unpack" in b)
decode_block = next(b for b in blocks if "def decode" in b)
code = decode_block.split('f = h5py.File("model.vq.h5")')[0] + unpack_block
scope = {}
exec(compile(code, "decoder", "exec"), scope)

for name in sys.argv[2:]:
    raw = open(f"{name}/model.safetensors", "rb").read()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:8 + size])
    compared = 0
    with scope["h5py"].File(f"{name}.vq.h5", "r") as f:
        for tensor in f["tensors"]:
            entry = header.get(tensor)
            assert entry is not None and entry["dtype"] == "F32", (tensor, entry)
            begin, end = entry["data_offsets"]
            want = np.frombuffer(raw[8 + size + begin:8 + size + end], "<f4")
            got = scope["decode"](f, tensor).ravel()
            # The program rotates in fp32: log2(n) roundings of 2^-24 of the row's norm.
            bound = 1e-5 * np.abs(want).max() + 1e-12
            error = np.abs(got - want).max()
            assert got.size == want.size and error <= bound, (name, tensor, error, bound)
            compared += 1
    assert compared > 10, compared
    print(f"{name}: {compared} tensors equal")
