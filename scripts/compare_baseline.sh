#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds an earlier commit beside the tree and compares all presets of both programs on models/tiny.
#   scripts/compare_baseline.sh [COMMIT] [options of compare_presets.py]     the program now: build/vq
#   VQKIT_CACHE=FOLDER   where the earlier commit is built (default ~/.cache/vqkit)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/packages.sh

commit=07926bf  # the last one before codes became folders
if [[ $# -gt 0 && $1 != -* ]]; then
    commit=$1
    shift
fi
need_packages "${build_packages[@]}" git
hash=$(git rev-parse --quiet --verify "$commit^{commit}") || {
    say "error: no such commit: $commit: a shallow clone lacks it, try git fetch --unshallow"
    exit 2
}
cache=${VQKIT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vqkit}
tree=$cache/tree-$hash
if [[ ! -x $tree/build/vq ]]; then
    # An archive, not a worktree: nothing of it is left in the repository's records.
    mkdir -p "$tree"
    git archive "$hash" | tar -x -C "$tree"
    "$tree/scripts/build.sh"
fi
[[ -x build/vq ]] || scripts/build.sh
exec /usr/bin/python3 scripts/compare_presets.py --baseline "$tree/build/vq" --vq build/vq "$@"
