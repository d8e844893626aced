#!/usr/bin/env bash
# store_format_test.sh SOURCE VQ WORK: quantizes the tiny model with every preset, exports it dense, and
# compares with what the code printed in docs/store-format.md decodes (Debian's python3-h5py).
set -euo pipefail
source=$1 vq=$2 work=$3
rm -rf "$work" && mkdir -p "$work"
cd "$work"
quantize() { # NAME METHOD BITS
    "$vq" quantize "$source/models/tiny" -o "$1.vq.h5" --method "$2" --bits "$3" --quiet \
        --calib "$source/models/tiny/calib.txt" --calib-tokens 2048 >/dev/null
    "$vq" export "$1.vq.h5" --to safetensors --dtype f32 -o "$1" --quiet >/dev/null
    names+=("$1")
}
names=()
for method in rvq vptq gptvq gptq aqlm higgs awq finequant llm-fp4 pb-llm db-llm quip-sharp best; do
    quantize "$method" "$method" 2.6
done
quantize squeezellm squeezellm 3.4
quantize lq-lora lq-lora 3.4
quantize quip-sharp.3 quip-sharp 3.4
quantize quip-sharp.4 quip-sharp 4.4
quantize bitmod bitmod 4
quantize cvxq-grid cvxq-grid 3.2
quantize bitmod.4 bitmod 5
/usr/bin/python3 "$source/tests/docs/compare_decoder.py" "$source/docs/store-format.md" "${names[@]}"
