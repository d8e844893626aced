#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that are missing (as root, or through sudo) and builds into build/.
#   scripts/build.sh            the program, build/vq
#   scripts/build.sh all        tests and benchmarks too
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/packages.sh
need_packages "${build_packages[@]}"
launcher=()
if command -v ccache >/dev/null; then
    launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
fi
cmake --preset release "${launcher[@]}" >&2
cmake --build build --target "${1:-vq}" >&2
