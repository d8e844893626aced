#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# demo_test.sh DEMO VQ FOLDER: the demo on the tiny model ends with its five lines and leaves the store.
set -euo pipefail
demo=$1 vq=$2 folder=$3
rm -rf "$folder"
"$demo" --tiny --vq "$vq" --out "$folder" >"$folder.out"
tail -n 5 "$folder.out" >"$folder.summary"
cat "$folder.summary"
i=0
for word in size bits perplexity divergence 'made in'; do
    i=$((i + 1))
    line=$(sed -n "${i}p" "$folder.summary")
    [[ $line == "$word "*[0-9]* ]] || { echo "line $i does not tell the $word: $line"; exit 1; }
done
store=$(sed -n 's/.*the file is //p' "$folder.summary")
"$vq" verify "$store"
grep -q '^Anna had three ' "$folder.out" || { echo "no text was generated"; exit 1; }
rm -rf "$folder" "$folder.out" "$folder.summary"
