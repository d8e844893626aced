#!/usr/bin/env bash
# Quantizes a model with every preset, then the default with one part switched off at a time, evaluates each
# against the original, and prints the table of docs/results.md. About 5 minutes a row on 2 cores.
#   bench/quality.sh MODEL EVAL_TEXT OUT_FOLDER CALIB_TEXT...      (rows already in OUT_FOLDER are kept)
#   ROWS="rvq no-feedback" bench/quality.sh ...                    only these rows
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
(($# >= 4)) || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
model=$1 text=$2 out=$3
shift 3
calib=()
for file in "$@"; do calib+=(--calib "$file"); done
mkdir -p "$out"

declare -A row=(
    [rvq]="--method rvq"
    [vptq]="--method vptq"
    [gptvq]="--method gptvq"
    [gptq]="--method gptq"
    [no-hadamard]="--method rvq --set transform.hadamard=none"
    [no-feedback]="--method rvq --set feedback.order=none"
    [no-refiner]="--method rvq --set refine.rounds=0"
    [original-inputs]="--method rvq --hessians original"
    [rvq-65k-tokens]="--method rvq --calib-tokens 65536"
)
for name in ${ROWS:-rvq vptq gptvq gptq no-hadamard no-feedback no-refiner original-inputs rvq-65k-tokens}; do
    store=$out/$name.vq.h5
    if [[ ! -s $out/$name.json ]]; then
        # shellcheck disable=SC2086
        build/vq quantize "$model" -o "$store" --bits "${BITS:-2.3}" ${row[$name]} "${calib[@]}" --json \
            >"$out/$name.tmp" 2>"$out/$name.log"
        mv "$out/$name.tmp" "$out/$name.json"
    fi
    if [[ ! -s $out/$name.eval.json ]]; then
        build/vq eval "$store" --ref "$model" --text "$text" --ctx 512 --max-tokens 16384 --json \
            >"$out/$name.tmp" 2>>"$out/$name.log"
        mv "$out/$name.tmp" "$out/$name.eval.json"
    fi
    python3 - "$name" "$out/$name.json" "$out/$name.eval.json" <<'PY'
import json, sys
name, q, e = sys.argv[1], json.load(open(sys.argv[2])), json.load(open(sys.argv[3]))
proxy = sum(t["rel_proxy"] for t in q["tensors"]) / len(q["tensors"])
print(f"| {name} | {q['bits_per_weight']:.4f} | {proxy:.4f} | {e['perplexity']:.1f} | {e['kld_mean']:.3f} "
      f"| {e['kld_p99']:.2f} | {100 * e['top1_agreement']:.1f}% | {q['seconds'] / 60:.1f} "
      f"| {q['peak_rss_bytes'] / 1e6:.0f} |", flush=True)
PY
done
