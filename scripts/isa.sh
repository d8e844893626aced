#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Says for every instruction set that there are kernels for whether its tests run here natively, under an
# emulator (Debian's qemu-user), or not at all; and runs the emulated ones.
#   scripts/isa.sh     exit code 1: a test failed
# Native ones need no run of their own: the tests of kernels go through all that the processor has.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/packages.sh
need_packages qemu-user

file=tests/decode/every_code/every_code.vqp
[[ -x build/every_code_test ]] || scripts/build.sh all
# Tests with kernels of their own beside the decode library's.
tests=(build/tests/codebooks/assigner_test build/tests/lattice/viterbi_test build/tests/model/model_kernels_test)
failed=0

# under NAME COMMAND...: runs and tells
under() {
    local name=$1 log
    shift
    if log=$("$@" 2>&1); then
        say "    $name: passed"
    else
        say "    $name: FAILED: $*"
        printf '%s\n' "$log" | tail -n 20 >&2
        failed=1
    fi
}

emulate() { # CPU ISA
    local test
    under "decode library on every code" qemu-x86_64 -cpu "$1" build/every_code_test "$file" "$2"
    for test in "${tests[@]}"; do
        if [[ -x $test ]]; then
            OMP_NUM_THREADS=2 VQ_ISA=$2 under "$(basename "$test")" qemu-x86_64 -cpu "$1" "$test" --gtest_brief=1 \
                --gtest_filter='-*AgreesWithFaiss*'  # what FAISS itself needs is not ours to choose
        else
            say "    $(basename "$test"): not run, not built"
        fi
    done
}

# 0: runs natively, 77: this processor lacks it
native() {
    local status=0
    build/every_code_test "$file" "$1" >/dev/null 2>&1 || status=$?
    ((status == 0 || status == 77)) || failed=1
    return $status
}

# The oldest x86-64 processor: no kernel, and no instruction beyond the baseline anywhere else.
say "scalar: emulated as well (qemu-x86_64 -cpu qemu64, the x86-64 baseline)"
emulate qemu64 scalar
for isa in avx2 avx512 amx; do
    status=0
    native "$isa" || status=$?
    case $status in
        0) say "$isa: run natively" ;;
        77)
            if [[ $isa == avx2 ]]; then
                say "avx2: emulated (qemu-x86_64 -cpu max)"
                emulate max avx2
            elif [[ $isa == amx ]]; then
                say "amx: NOT RUN, this processor lacks it and Debian's emulator too; decode_test emulates its tile instructions alone"
            else
                say "$isa: NOT RUN, this processor lacks it and Debian's emulator too"
            fi
            ;;
        *) say "$isa: FAILED natively: build/every_code_test $file $isa" ;;
    esac
done
exit $failed
