#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Pages in a browser: what scripts make of them, no complaint on the console. Exit code 77: no Chromium here.
#   pages_test.sh VQ MODEL FOLDER
set -euo pipefail
vq=$1 model=$2 folder=$3
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || exit 77
rm -rf "$folder"
mkdir -p "$folder/profile"
cd "$folder"
cat >sweep.yaml <<END
model: $model
method: [gptq, rvq]
bits: [0.3, 3]
exclude: {method: rvq, bits: 0.3}
set: {refine.rounds: 0}
calibration: {text: $model/calib.txt, tokens: 512}
evaluation: {text: [$model/heldout.txt, $model/calib.txt], ctx: 128, max_tokens: 600}
keep_stores: true
END
"$vq" sweep sweep.yaml -o out --quiet >/dev/null && exit 1  # one point fails
"$vq" inspect "$(ls out/stores/*.vq.h5 | head -1)" --html store.html >/dev/null

dom() {
    timeout 100 "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$folder/profile" \
        --enable-logging=stderr --virtual-time-budget=5000 --dump-dom "file://$folder/$1" 2>log
    if grep CONSOLE log >&2; then exit 1; fi
}
# count PATTERN NUMBER: so many times in the page `page`.
count() {
    local n
    n=$(grep -o -- "$1" <<<"$page" | wc -l)
    if [[ $n != "$2" ]]; then
        echo "\"$1\" stands $n times, not $2" >&2
        exit 1
    fi
}
page=$(dom out/report.html)
count '<canvas' 4
count '</figure>' 4
count '</tr>' 6  # the head, two points on two texts, and the one that failed
count 'budget is too small' 2  # in the table and in the data
count '<summary>show</summary>' 4
count 'vq eval ' 8
grep -q 'of which 1 failed' <<<"$page"
page=$(dom store.html)
count '<canvas' 3
grep -q 'mlp.down_proj' <<<"$page"
count 'scope="row"' 7
