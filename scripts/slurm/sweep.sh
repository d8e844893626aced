#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A sweep as a Slurm job array: one job a point, then one that makes the results.
#   scripts/slurm/sweep.sh SWEEP.yaml FOLDER [sbatch options: --partition=cpu --cpus-per-task=8 ...]
# FOLDER lies on a disk that all machines see. Where there is no Slurm, `--local N` in place of the
# options makes N points at a time with GNU parallel. Points that died are made when it is run again.
set -euo pipefail
vq=${VQ:-vq}
if (($# < 2)); then
    echo "usage: $0 SWEEP.yaml FOLDER [--local N | sbatch options]" >&2
    exit 2
fi
sweep=$1 folder=$2
shift 2
"$vq" sweep "$sweep" -o "$folder" --prepare --quiet >/dev/null
description=$folder/sweep.yaml
# The header is no point.
points=$(($(wc -l <"$folder/points.tsv") - 1))
if [[ ${1:-} == --local ]]; then
    # One thread more or less changes no result, but jobs should not fight for cores.
    threads=$((($(nproc) + $2 - 1) / $2))
    seq 0 $((points - 1)) | parallel --jobs "$2" \
        "$vq" sweep "$description" -o "$folder" --point-index {} --threads "$threads" --quiet >/dev/null || true
    exec "$vq" sweep "$description" -o "$folder"
fi
megabytes=$(tail -n +2 "$folder/points.tsv" | cut -f3 | sort -n | tail -1)
array=$(sbatch --parsable --array="0-$((points - 1))" --mem="${megabytes}M" --requeue --job-name=vq-sweep \
    --output="$folder/points/%a.log" "$@" \
    --wrap="'$vq' sweep '$description' -o '$folder' --point-index \$SLURM_ARRAY_TASK_ID --threads \${SLURM_CPUS_PER_TASK:-1} --quiet")
sbatch --parsable --dependency="afterany:$array" --mem="${megabytes}M" --job-name=vq-sweep-results "$@" \
    --wrap="'$vq' sweep '$description' -o '$folder' --quiet"
