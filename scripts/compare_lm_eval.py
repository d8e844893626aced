#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares `vq eval --tasks` with lm-evaluation-harness on the same questions, in fp32.

    compare_lm_eval.py --model FOLDER --tasks QUESTIONS.jsonl [--vq build/vq]

FOLDER is a HF folder (`vq export --to safetensors --dtype f32` makes one of a store). Accuracy and accuracy by
length must be equal, and so must their standard errors. Prints one line of JSON. Exit status: 0 equal, 1 not,
77 the Python packages are missing (scripts/python_env.sh lm-eval).
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

try:
    import lm_eval
    from lm_eval.models.huggingface import HFLM
except ImportError as missing:
    print(f"SKIPPED: {missing} (scripts/python_env.sh lm-eval)")
    sys.exit(77)


def theirs(model, tasks):
    task = {
        "task": "questions",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(tasks)}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": lambda doc: doc["prompt"],
        "doc_to_choice": lambda doc: doc["choices"],
        "doc_to_target": lambda doc: doc["answer"],
        "metric_list": [{"metric": metric, "aggregation": "mean", "higher_is_better": True}
                        for metric in ("acc", "acc_norm")],
    }
    found = lm_eval.simple_evaluate(model=HFLM(pretrained=str(model), dtype="float32", device="cpu", batch_size=4),
                                    tasks=[task], bootstrap_iters=0)["results"]["questions"]
    return {"accuracy": found["acc,none"], "accuracy_norm": found["acc_norm,none"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--tasks", type=Path, required=True)
    parser.add_argument("--vq", type=Path, default=Path("build/vq"))
    options = parser.parse_args()
    command = [options.vq, "eval", options.model, "--tasks", options.tasks, "--precision", "fp32", "--json", "--quiet"]
    ours = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    reference = theirs(options.model, options.tasks)
    print(json.dumps({"questions": ours["questions"], "lm_eval": reference, "vq": {key: ours[key] for key in reference}}))
    sys.exit(any(abs(ours[key] - value) > 1e-9 for key, value in reference.items()))


main()
