#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ggml_test.sh SOURCE VQ FOLDER: bench/ggml.sh says in one line what is missing, with the exit codes of vq, and
# bench/ggml/table.py makes its tables of what vq, the driver and llama-bench print.
set -euo pipefail
source_folder=$1 vq=$2 folder=$3
rm -rf "$folder"
mkdir -p "$folder/llama/ggml/include" "$folder/llama/include" "$folder/ggml/include" "$folder/results"
touch "$folder"/{llama,ggml}/CMakeLists.txt "$folder"/{llama/ggml,ggml}/include/ggml.h "$folder/llama/include/llama.h"

expect() {  # exit code, words of stderr, arguments
    local code=0
    "$source_folder/bench/ggml.sh" "${@:3}" >"$folder/out" 2>"$folder/err" || code=$?
    [[ $code == "$1" ]] || { echo "exit code $code, not $1: ggml.sh ${*:3}"; exit 1; }
    grep -qF -- "$2" "$folder/err" || { echo "does not say '$2': ggml.sh ${*:3}"; cat "$folder/err"; exit 1; }
    [[ ! -s $folder/out ]] || { echo "writes to stdout: ggml.sh ${*:3}"; exit 1; }
}
expect 2 '--ggml DIR'
expect 2 '--ggml DIR' --ggml
expect 2 '--ggml DIR' --tree "$folder/llama"
expect 1 "error: not a source tree of ggml, llama.cpp or ik_llama.cpp: $folder/results:" --ggml "$folder/results"
expect 1 "error: no such file: $folder/none.gguf:" --ggml "$folder/llama" --model "$folder/none.gguf"
expect 1 "error: no such file: $folder/none.vqp:" --ggml "$folder/llama" --packed "$folder/none.vqp"
expect 1 "error: no llama-bench in a tree of ggml alone" --ggml "$folder/ggml" --model "$vq"
# A tree that does not build: its compiler's last words, and where the rest is.
expect 1 "error: cannot build: $folder/ggml: see $folder/build/build.log" --ggml "$folder/ggml" --vq "$vq" \
    --build "$folder/build"

results=$folder/results
"$vq" bench kernels --json --quiet --code lut-2x8 --shape 64x64 --megabytes 1 --seconds 0 --threads 1 \
    >"$results/ours.1.1.json"
kernel() {  # code, bits, threads, Gweights/s, GB/s, share, GFLOP/s
    printf '{"code": "%s", "bits_per_weight": %s, "threads": %s, "gweights_per_s": %s, "gbps": %s,
             "bandwidth_gbps": 20, "bandwidth_share": %s, "gflops": %s}' "$@"
}
echo "{\"kernels\": [$(kernel iq9_x 2.0625 2 40 10 0.5 80), $(kernel q8_x 8.5 2 18.82 20 1 37.6)]}" \
    >"$results/ggml.2.1.json"
echo "{\"kernels\": [$(kernel iq9_x 2.0625 2 0.5 0.1 0.01 312.4)]}" >"$results/ggml.2.512.json"
echo '[{"n_threads": 2, "model_size": 91000000, "avg_ts": 90.0, "samples_ts": [50.0, 60.0, 70.0]}]' \
    >"$results/tokens.ggml.2.json"
for round in 1 2 3; do
    echo "{\"tokens_per_second\": ${round}1.0, \"bytes_per_token\": 84000000}" >"$results/tokens.ours.2.$round.json"
done
python3 "$source_folder/bench/ggml/table.py" "$results" >"$folder/table"
cat "$folder/table"
has() { grep -qE -- "$1" "$folder/table" || { echo "no such line: $1"; exit 1; }; }
has '^\|  \| format \| bits \| Gweights/s, 1 thread \| GB/s \| of [0-9.]+ GB/s \| Gweights/s, 2 threads \| GB/s \| of 20\.0 GB/s \| GFLOP/s, 512 vectors, 2 threads \|$'
has '^\| ours \| lut-2x8 \| [0-9.]+ \| [0-9.]+ \| [0-9.]+ \| [0-9]+% \| - \| - \| - \| - \|$'
has '^\| ggml \| iq9_x \| 2\.062 \| - \| - \| - \| 40\.0 \| 10\.0 \| 50% \| 312 \|$'
has '^\| ggml \| q8_x \| 8\.500 \| - \| - \| - \| 18\.8 \| 20\.0 \| 100% \| - \|$'
has '^\| ggml Q4_0 \| 91\.0 \| 60\.0 \|$'
has '^\| ours, packed \| 84\.0 \| 21\.0 \|$'
rm -rf "$folder"
