#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Quantizes a model with the default method, then with one part of it switched off at a time, then with other
# presets, evaluates each against the original, and prints the tables of docs/results.md. 1-15 minutes a row,
# and longer for aqlm.
#   bench/quality.sh MODEL EVAL_TEXT OUT_FOLDER CALIB_TEXT...      (rows already in OUT_FOLDER are kept)
#   BITS=2.06 ROWS="best gptq" bench/quality.sh ...                    only these rows
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
(($# >= 4)) || { sed -n '2,6s/^# //p' "$0" >&2; exit 2; }
model=$1 text=$2 out=$3
shift 3
calib=()
for file in "$@"; do calib+=(--calib "$file"); done
mkdir -p "$out"

declare -A row=(
    [best-fp32]="--method best --precision fp32"
    [no-hadamard]="--method best --set transform.hadamard=none"
    [no-feedback]="--method best --set feedback.order=none"
    [sweep]="--method best --set refine.rounds=1"
    [rvq-no-refiner]="--method rvq --set refine.rounds=0"
    [no-correction]="--method best --set objective.correction=0"
    [no-waterfill]="--method best --set code.waterfill=off"
    [original-inputs]="--method best --hessians original --set objective.correction=0"
    [best-65k-tokens]="--method best --calib-tokens 65536"
    [gptq-groups]="--method gptq --set scale.scope=group --set scale.group=128"
    [rvq-corrected]="--method rvq --set objective.correction=0.35"
)
for name in ${ROWS:-best no-hadamard no-feedback no-correction sweep qtip rvq rvq-no-refiner quip-sharp aqlm vptq gptvq gptq}; do
    # A name that is no row is a preset.
    : "${row[$name]:=--method $name}"
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
