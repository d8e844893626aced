#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes a Python environment in the cache folder, with fixed versions of the packages that the
# comparison scripts use, and prints the path of its interpreter. Exit code 77: pip cannot reach them.
#   scripts/python_env.sh            numpy, h5py, tokenizers, sentencepiece, safetensors
#   scripts/python_env.sh torch      torch and transformers too (large)
#   scripts/python_env.sh lm-eval    and lm-evaluation-harness
#   VQKIT_CACHE=FOLDER   where to make it (default ~/.cache/vqkit)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/packages.sh

requirements=(numpy==2.4.6 h5py==3.16.0 tokenizers==0.23.3 sentencepiece==0.2.3 safetensors==0.8.0)
torch=(torch==2.15.0 transformers==5.23.0 gguf==0.19.0 accelerate==1.15.0)
kind=${1:-base}
case $kind in
    base) ;;
    torch) requirements+=("${torch[@]}") ;;
    lm-eval) requirements+=("${torch[@]}" lm_eval==0.4.13 datasets==5.2.0) ;;
    *) say "error: unknown environment: $kind: use base, torch or lm-eval"; exit 2 ;;
esac
cache=${VQKIT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vqkit}
# Another list of packages is another environment: nothing is ever upgraded in place.
environment=$cache/python-$kind-$(printf '%s\n' "${requirements[@]}" | sha256sum | cut -c1-12)

if [[ ! -f $environment/complete ]]; then
    mkdir -p "$cache"
    exec 9>"$cache/python.lock"
    flock 9  # tests run side by side
fi
if [[ ! -f $environment/complete ]]; then
    rm -rf "$environment"
    python3 -c 'import ensurepip' 2>/dev/null || need_packages python3 python3-venv || exit 77
    python3 -m venv "$environment"
    if ! "$environment/bin/python" -m pip install --quiet --disable-pip-version-check \
            --retries 1 --timeout 20 "${requirements[@]}" >"$environment/log" 2>&1; then
        say "pip cannot install ${requirements[*]}: $(grep -m1 ERROR "$environment/log" || tail -n1 "$environment/log")"
        rm -rf "$environment"
        exit 77
    fi
    touch "$environment/complete"
fi
echo "$environment/bin/python"
