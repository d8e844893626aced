#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Measures the formats of ggml side by side with ours, in one run: builds the given source tree of ggml, llama.cpp
# or ik_llama.cpp for this CPU, multiplies matrices of its formats and of ours, 4096 x 4096, cycled through more than
# 1 GB, with 1 and 2 threads and 512 vectors at a time, and prints one table. With a model, also tokens a second of
# its Q4_0 (made of MODEL by the tree's own llama-quantize) beside `vq generate` on a packed file.
#   bench/ggml.sh --ggml DIR [--model MODEL.gguf] [--packed MODEL.vqp] [options]
#   --ggml DIR       the source tree; what is built of it lies in --build
#   --model GGUF     for tokens a second of Q4_0; scripts/get_model.sh prints the path of one
#   --packed FILE    of the same model: vq export STORE --to packed -o FILE
#   --formats "A B"  formats of ggml; those that DIR does not have are left out
#   --codes "A B"    codes of ours: vq bench kernels --help lists them
#   --seconds T      for each kernel, at least (default 1)
#   --build FOLDER   default build/ggml-peer; --vq PROGRAM   default build/vq
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/packages.sh

tree='' model='' packed='' seconds=1 build=build/ggml-peer vq=''
formats='q4_0 q4_0_r8 q2_K q2_k_r4 iq2_xxs iq2_xxs_r4 iq2_xs iq2_s iq2_k iq2_k_r4 iq2_kt iq3_kt iq4_kt'
codes='lut-2x8 e8p trellis-2 scalar-2 lut-3x8 e8p-3 trellis-3 scalar-3 e8p-4 trellis-4 scalar-4'
usage() {
    sed -n '2,/^set/{/^# /s/^# //p}' bench/ggml.sh >&2
    exit 2
}
fail() {
    say "error: $1"
    exit 1
}
while (($#)); do
    [[ $# -ge 2 ]] || usage
    case $1 in
        --ggml) tree=$2 ;;
        --model) model=$2 ;;
        --packed) packed=$2 ;;
        --formats) formats=$2 ;;
        --codes) codes=$2 ;;
        --seconds) seconds=$2 ;;
        --build) build=$2 ;;
        --vq) vq=$2 ;;
        *) usage ;;
    esac
    shift 2
done
[[ -n $tree ]] || usage

llama=''
if [[ -f $tree/ggml/include/ggml.h && -f $tree/include/llama.h && -f $tree/CMakeLists.txt ]]; then
    llama=yes
elif [[ ! -f $tree/include/ggml.h || ! -f $tree/CMakeLists.txt ]]; then
    fail "not a source tree of ggml, llama.cpp or ik_llama.cpp: $tree: clone one of them and give its folder"
fi
tree=$(realpath "$tree")
[[ -z $packed || -f $packed ]] || fail "no such file: $packed: make it with vq export STORE --to packed"
[[ -z $model || -f $model ]] || fail "no such file: $model: give a GGUF file"
[[ -z $model || -n $llama ]] || fail "no llama-bench in a tree of ggml alone: $tree: leave --model out"

if [[ -z $vq ]]; then
    vq=build/vq
    [[ -x $vq ]] || scripts/build.sh
fi
targets=(ggml_driver)
[[ -z $model ]] || targets+=(llama-bench llama-quantize)
say "building $tree in $build: minutes the first time"
mkdir -p "$build"
{
    cmake -S bench/ggml -B "$build" -G Ninja -D GGML_TREE="$tree"
    cmake --build "$build" --target "${targets[@]}"
} >"$build/build.log" 2>&1 || {
    tail -n 20 "$build/build.log" >&2
    fail "cannot build: $tree: see $build/build.log"
}

results=$build/results  # stays, for bench/ggml/table.py
rm -rf "$results"
mkdir -p "$results"
read -ra format_list <<<"$formats"
ours=(--json)
for code in $codes; do ours+=(--code "$code"); done
# Ours and theirs take turns: the speed of a shared machine drifts.
measure() {  # threads, vectors at a time, megabytes
    say "threads: $1, vectors at a time: $2"
    "$vq" bench kernels "${ours[@]}" --threads "$1" --batch "$2" --megabytes "$3" --seconds "$seconds" \
        >"$results/ours.$1.$2.json" 2>"$results/log" || fail "$(tail -n 1 "$results/log")"
    "$build/ggml_driver" --threads "$1" --batch "$2" --megabytes "$3" --seconds "$seconds" "${format_list[@]}" \
        >"$results/ggml.$1.$2.json" 2>"$results/log" || fail "$(tail -n 1 "$results/log")"
}
measure 1 1 1100
measure 2 1 1100
measure 2 512 16

# Some trees put their programs in a folder of their own.
program() {
    local file
    for file in "$build/$1" "$build/bin/$1"; do
        [[ -x $file ]] && printf '%s\n' "$file" && return
    done
    fail "the tree built no $1: see $build/build.log"
}
if [[ -n $model ]]; then
    bench=$(program llama-bench) quantize=$(program llama-quantize)
    q4=$build/$(basename "$model" .gguf).q4_0.gguf
    [[ $q4 -nt $model ]] || "$quantize" --allow-requantize "$model" "$q4" Q4_0 >"$results/log" 2>&1 ||
        fail "llama-quantize: $(tail -n 1 "$results/log")"
    for threads in 1 2; do
        "$bench" -m "$q4" -p 0 -n 64 -r 5 -t $threads -o json >"$results/tokens.ggml.$threads.json" \
            2>"$results/log" || fail "llama-bench: $(tail -n 1 "$results/log")"
    done
fi
if [[ -n $packed ]]; then
    for threads in 1 2; do
        for round in 1 2 3 4 5; do
            "$vq" generate "$packed" --prompt "The capital of France is" -n 64 --threads $threads --json --quiet \
                >"$results/tokens.ours.$threads.$round.json"
        done
    done
fi
python3 bench/ggml/table.py "$results"
