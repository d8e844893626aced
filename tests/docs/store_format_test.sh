#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# store_format_test.sh SOURCE VQ WORK: quantizes the tiny model with every preset, exports it dense, and
# compares with what the code printed in docs/store-format.md decodes (Debian's python3-h5py).
set -euo pipefail
source=$1 vq=$2 work=$3
rm -rf "$work" && mkdir -p "$work"
cd "$work"
quantize() { # NAME METHOD BITS...: with the first budget that the method can meet
    local name=$1 method=$2 bits
    shift 2
    for bits; do
        if "$vq" quantize "$source/models/tiny" -o "$name.vq.h5" --method "$method" --bits "$bits" --quiet \
            --calib "$source/models/tiny/calib.txt" --calib-tokens 2048 >/dev/null 2>error.txt; then
            "$vq" export "$name.vq.h5" --to safetensors --dtype f32 -o "$name" --quiet >/dev/null
            names+=("$name")
            return
        fi
        grep -q 'the budget is too small' error.txt || break
    done
    cat error.txt >&2
    return 1
}
names=()
presets=$("$vq" quantize --help | sed -n 's/.*--method PRESET:{\([^}]*\)}.*/\1/p')
for method in ${presets//,/ }; do
    quantize "$method" "$method" 2.6 3.4 4
done
[[ ${#names[@]} -ge 18 ]]
# Codes of other sizes.
quantize quip-sharp.3 quip-sharp 3.4
quantize quip-sharp.4 quip-sharp 4.4
quantize bitmod.4 bitmod 5
/usr/bin/python3 "$source/tests/docs/compare_decoder.py" "$source/docs/store-format.md" "${names[@]}"
