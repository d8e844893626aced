#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Shows the main job from end to end: installs what is missing, builds, gets SmolLM2-135M-Instruct,
# quantizes it, compares it with the original, lets it write. The last five lines say what came out.
#   scripts/demo.sh [--text FILE] [--bits B] [--out FOLDER] [--tiny] [--vq PROGRAM] [--threads N]
#   --text FILE    calibrate and evaluate on your text (its last fifth is held out)
#   --tiny         the tiny model of this repository instead (a few seconds, no network)
#   --vq PROGRAM   use this program instead of building one
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$here/scripts/packages.sh"

text='' bits='' out=$here/build/demo tiny='' vq='' threads=()
usage() {
    sed -n '2,/^set/{/^# /s/^# //p}' "${BASH_SOURCE[0]}" >&2
    exit 2
}
while (($#)); do
    case $1 in
        --tiny) tiny=yes; shift; continue ;;
        --text | --bits | --out | --vq | --threads) [[ $# -ge 2 ]] || usage ;;
        *) usage ;;
    esac
    case $1 in
        --text) text=$(realpath "$2") ;;
        --bits) bits=$2 ;;
        --out) out=$(realpath -m "$2") ;;
        --vq) vq=$(realpath "$2") ;;
        --threads) threads=(--threads "$2") ;;
    esac
    shift 2
done

if [[ -z $vq ]]; then
    "$here/scripts/build.sh"
    vq=$here/build/vq
fi
mkdir -p "$out"

if [[ -z $tiny ]]; then
    status=0
    model=$("$here/scripts/get_model.sh") || status=$?
    if ((status == 77)); then
        say "SmolLM2 cannot be downloaded here: going on with the tiny model of this repository"
        tiny=yes
    elif ((status)); then
        exit "$status"
    fi
fi
if [[ -n $tiny ]]; then
    model=$here/models/tiny name=tiny prompt='Anna had three'
    bits=${bits:-2.5}
    calibrate=(--calib-tokens 8192)
    evaluate=(--max-tokens 8192)
else
    name=smollm2-135m prompt='The capital of France is'
    bits=${bits:-2.3}
    calibrate=(--calib-tokens 32768)
    evaluate=(--max-tokens 16384)
fi

if [[ -n $text ]]; then
    size=$(stat -c %s "$text")
    head -c $((size * 4 / 5)) "$text" >"$out/calib.txt"
    tail -c $((size / 5)) "$text" >"$out/heldout.txt"
    say "calibration on the first four fifths of $text, evaluation on the rest"
elif [[ -n $tiny ]]; then
    cp "$model/calib.txt" "$model/heldout.txt" "$out/"
else
    "$here/scripts/demo_text.py" "$out"
    say "calibration and evaluation on separate parts of the manuals that this system carries"
fi

store=$out/$name.vq.h5
say "--- vq quantize"
rm -rf "$store" "$store.parts"
"$vq" quantize "$model" -o "$store" --calib "$out/calib.txt" --bits "$bits" "${calibrate[@]}" \
    "${threads[@]}" --json >"$out/quantize.json"
say "--- vq eval"
"$vq" eval "$store" --ref "$model" --text "$out/heldout.txt" "${evaluate[@]}" "${threads[@]}" \
    --json >"$out/eval.json"
say "--- vq generate"
printf '%s' "$prompt"
"$vq" generate "$store" --prompt "$prompt" -n 60 "${threads[@]}"

# A number at the top level of a document that vq printed.
field() { sed -n "s/^  \"$2\": \([-0-9.e+]*\),\{0,1\}$/\1/p" "$out/$1.json"; }
awk -v bits="$(field quantize bits_per_weight)" -v bytes="$(field quantize model_bytes)" \
    -v weights="$(field quantize quantized_weights)" -v dense="$(field quantize dense_weights)" \
    -v embeddings="$(field quantize embedding_weights)" \
    -v seconds="$(field quantize seconds)" -v rss="$(field quantize peak_rss_bytes)" \
    -v ppl="$(field eval perplexity)" -v before="$(field eval reference_perplexity)" \
    -v kld="$(field eval kld_mean)" -v top="$(field eval top1_agreement)" \
    -v tokens="$(field eval tokens)" -v store="$store" 'BEGIN {
    whole = 2 * (weights + embeddings + dense)
    printf "size        %.1f MB, %.1f times smaller than 16-bit weights (%.1f MB)\n", bytes / 1e6, whole / bytes, whole / 1e6
    printf "bits        %.3f a weight in the quantized layers, codebooks and scales counted\n", bits
    printf "perplexity  %.3f, the original %.3f, on %d held-out tokens\n", ppl, before, tokens
    printf "divergence  KL %.4f nats a token, the same likeliest token in %.1f%% of places\n", kld, 100 * top
    printf "made in     %d min %d s with %.2f GB of memory; the file is %s\n", seconds / 60, seconds % 60, rss / 1e9, store
}'
