#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# embed_test.sh VQ EMBED MODEL WORK: quantizes MODEL, packs it, and lets the example program multiply.
set -euo pipefail
vq=$1 embed=$2 model=$3 work=$4
rm -rf "$work"
mkdir -p "$work"
"$vq" quantize "$model" --calib "$model/calib.txt" --calib-tokens 2048 --bits 2.4 --set refine.rounds=0 \
    -o "$work/model.vq.h5" --quiet >/dev/null
"$vq" export "$work/model.vq.h5" --to packed -o "$work/model.vqp" --quiet >/dev/null
for isa in scalar ""; do
    VQ_ISA=$isa "$embed" "$work/model.vqp" >"$work/out.txt"
    grep -q '^29 quantized tensors on .*, 0 of them wrong$' "$work/out.txt"
done
# Nothing of the rest of vqkit, nor of its dependencies, is needed.
! ldd "$embed" | grep -Ei 'faiss|hdf5|blas|gomp|dnnl|fmt'
# A damaged file is refused with a reason.
head -c 5000 "$work/model.vqp" >"$work/short.vqp"
! "$embed" "$work/short.vqp" 2>"$work/error.txt"
grep -q 'short.vqp: the file has 5000 bytes' "$work/error.txt"
rm -rf "$work"
