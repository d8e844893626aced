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
    address) preset=asan targets=(all) select=() ;;
    thread)
        preset=tsan
        # Everything that starts threads, or runs on those of its caller; the rest has none to race.
        targets=(base_parallel_test base_gemm_test assigner_test kmeans_test residual_code_test
            viterbi_test trellis_code_test decode_test every_code_test feedback_test refine_test scale_search_test
            quantize_layer_test model_kernels_test model_linear_test model_scratch_test evaluate_test
            generate_test calibration_test quantize_model_test vq apps_test)
        select=(-R '^(base/(Parallel|ThreadScope|Gemm)|codebooks/|lattice/|decode/|model/|apps/(Contract|Packed|Interrupt)|vq/(Feedback|Refine|ScaleSearch|QuantizeLayer))'
            -E 'Embed|Demo')
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
# Threads that wait sleep, and two are enough to race.
export OMP_WAIT_POLICY=passive OMP_NUM_THREADS=2
exec ctest --preset "$preset" --no-tests=error --timeout 1800 "${select[@]}" "$@"
