#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The tests under sanitizers; run before a change lands (CONTRIBUTING.md).
#   scripts/sanitize.sh address   the whole suite: address and undefined behaviour (GCC)
#   scripts/sanitize.sh thread    what uses threads: data races (clang and its OpenMP)
#   further arguments go to ctest: scripts/sanitize.sh address -R io/
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/packages.sh

kind=${1:-}
case $kind in
    address) preset=asan targets=(all) suites=() select=() ;;
    thread)
        preset=tsan
        # Folders that start threads or run on those of their caller, whole, and what works on whole
        # models; the rest has none to race. Not the examples, which run the same products, nor the
        # scripts, which take minutes and run the same program.
        suites=(base/ codebooks/ lattice/ decode/ vq/ model/ io/Checkpoint io/Store
            apps/Contract apps/Packed apps/Interrupt)
        targets=(tests/{base,codebooks,lattice,decode,vq,model,io}/all apps_test)
        select=(-R "^($(IFS='|'; echo "${suites[*]}"))" -E 'Embed|Demo')
        ;;
    *)
        say "usage: scripts/sanitize.sh address|thread [ctest arguments]"
        exit 2
        ;;
esac
shift
need_packages "${build_packages[@]}"
[[ $preset == asan ]] || need_packages clang libomp-dev
launcher=()
if command -v ccache >/dev/null; then
    launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
fi
cmake --preset "$preset" "${launcher[@]}" >&2
cmake --build --preset "$preset" --target "${targets[@]}" >&2
# A name that no test has any more would leave out what it stood for, and nobody would see it.
tests=$(ctest --preset "$preset" -N)
for suite in "${suites[@]}"; do
    grep -q "Test *#[0-9]*: $suite" <<<"$tests" || {
        say "error: no test is called $suite...: correct the list in scripts/sanitize.sh"
        exit 1
    }
done
# Threads that wait sleep, and two are enough to race.
export OMP_WAIT_POLICY=passive OMP_NUM_THREADS=2
exec ctest --preset "$preset" --no-tests=error --timeout 1800 "${select[@]}" "$@"
