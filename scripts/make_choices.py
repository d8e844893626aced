#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes questions with choices from any text, for `vq eval --tasks`: how does a sentence go on?

    make_choices.py TEXT [--questions 500] [--choices 4] [--seed 0] > questions.jsonl

A prompt is the beginning of a paragraph, the right choice the words that follow it, the wrong ones as
many words from other paragraphs. The same text and seed give the same questions.
"""

import argparse
import json
import random
import sys
from pathlib import Path

ENDING = 10  # words of a choice
LEAST = 20  # words of a prompt
MOST = 80


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--choices", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    paragraphs = [line.split() for line in options.text.read_text(encoding="utf-8").splitlines()]
    paragraphs = [words for words in paragraphs if len(words) >= LEAST + ENDING]
    if options.choices < 2 or len(paragraphs) < max(options.questions, options.choices):
        sys.exit(f"error: {options.text} has {len(paragraphs)} paragraphs of {LEAST + ENDING} words or more, "
                 f"fewer than {options.questions} questions of {options.choices} choices need")
    draw = random.Random(options.seed)

    def piece(words):
        start = draw.randint(LEAST, len(words) - ENDING)
        return start, " ".join(words[start : start + ENDING])

    for i in draw.sample(range(len(paragraphs)), options.questions):
        start, right = piece(paragraphs[i])
        others = draw.sample([j for j in range(len(paragraphs)) if j != i], options.choices - 1)
        choices = [right] + [piece(paragraphs[j])[1] for j in others]
        order = draw.sample(range(options.choices), options.choices)
        print(json.dumps({"prompt": " ".join(paragraphs[i][max(0, start - MOST) : start]),
                          "choices": [choices[c] for c in order], "answer": order.index(0)},
                         ensure_ascii=False))


main()
