# SPDX-License-Identifier: Apache-2.0
"""Prints the tables of bench/ggml.sh from a folder with its measurements.

ours.THREADS.BATCH.json, ggml.THREADS.BATCH.json: what `vq bench kernels --json` and ggml_driver print;
tokens.ggml.THREADS.json: what llama-bench -o json prints; tokens.ours.THREADS.ROUND.json: vq generate --json.
"""

import json
import statistics
import sys
from pathlib import Path


def kernels(folder):
    """{(origin, code): {(threads, batch): kernel}}, and the bandwidths of each number of threads."""
    rows, bandwidths = {}, {}
    for origin in ("ours", "ggml"):
        for file in sorted(folder.glob(f"{origin}.*.json")):
            _, threads, batch, _ = file.name.split(".")
            for kernel in json.loads(file.read_text())["kernels"]:
                row = rows.setdefault((origin, kernel["code"]), {})
                row[int(threads), int(batch)] = kernel
                if int(batch) == 1:
                    bandwidths.setdefault(int(threads), []).append(kernel["bandwidth_gbps"])
    return rows, bandwidths


def kernel_table(rows, bandwidths):
    columns = sorted({column for row in rows.values() for column in row}, key=lambda c: (c[1], c[0]))
    singles = [c for c in columns if c[1] == 1]
    batches = [c for c in columns if c[1] > 1]
    head = ["", "format", "bits"]
    for threads, _ in singles:
        head += [f"Gweights/s, {threads} thread{'s' * (threads > 1)}", "GB/s",
                 f"of {statistics.median(bandwidths[threads]):.1f} GB/s"]
    head += [f"GFLOP/s, {batch} vectors, {threads} threads" for threads, batch in batches]
    table = [head, ["---"] * len(head)]
    for (origin, code), row in sorted(rows.items(), key=lambda r: bits(r[1])):
        cells = [origin, code, f"{bits(row):.3f}"]
        for column in singles:
            kernel = row.get(column)
            cells += ([f"{kernel['gweights_per_s']:.1f}", f"{kernel['gbps']:.1f}",
                       f"{100 * kernel['bandwidth_share']:.0f}%"] if kernel else ["-"] * 3)
        cells += [f"{row[c]['gflops']:.0f}" if c in row else "-" for c in batches]
        table.append(cells)
    return table


def bits(row):
    return next(iter(row.values()))["bits_per_weight"]


def token_table(folder):
    rates, sizes = {}, {}
    for file in sorted(folder.glob("tokens.ggml.*.json")):
        for run in json.loads(file.read_text()):
            samples = run.get("samples_ts") or [run["avg_ts"]]
            rates.setdefault(("ggml Q4_0", run["n_threads"]), []).extend(samples)
            sizes["ggml Q4_0"] = run["model_size"]
    for file in sorted(folder.glob("tokens.ours.*.json")):
        run = json.loads(file.read_text())
        rates.setdefault(("ours, packed", int(file.name.split(".")[2])), []).append(run["tokens_per_second"])
        sizes["ours, packed"] = run["bytes_per_token"]
    if not rates:
        return []
    threads = sorted({t for _, t in rates})
    table = [["model", "MB a token"] + [f"tokens/s, {t} thread{'s' * (t > 1)}" for t in threads]]
    table.append(["---"] * len(table[0]))
    for name in sizes:
        table.append([name, f"{sizes[name] / 1e6:.1f}"] + [
            f"{statistics.median(rates[name, t]):.1f}" if (name, t) in rates else "-" for t in threads])
    return table


def show(table):
    for row in table:
        print("| " + " | ".join(row) + " |")


folder = Path(sys.argv[1])
show(kernel_table(*kernels(folder)))
tokens = token_table(folder)
if tokens:
    print()
    show(tokens)
