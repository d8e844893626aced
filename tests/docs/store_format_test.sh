#!/usr/bin/env bash
# store_format_test.sh SOURCE VQ WORK: quantizes the tiny model with every preset, exports it dense, and
# compares with what the code printed in docs/store-format.md decodes (Debian's python3-h5py).
set -euo pipefail
source=$1 vq=$2 work=$3
rm -rf "$work" && mkdir -p "$work"
cd "$work"
for method in rvq vptq gptvq gptq best; do
    "$vq" quantize "$source/models/tiny" -o "$method.vq.h5" --method "$method" --bits 2.6 --quiet \
        --calib "$source/models/tiny/calib.txt" --calib-tokens 2048 >/dev/null
    "$vq" export "$method.vq.h5" --to safetensors --dtype f32 -o "$method" --quiet >/dev/null
done
/usr/bin/python3 "$source/tests/docs/compare_decoder.py" "$source/docs/store-format.md" rvq vptq gptvq gptq best
