#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Two builds of the program beside each other: every preset on models/tiny, stores and packed files compared.

    scripts/compare_presets.py --baseline OLD/vq --vq build/vq [--presets best,rvq] [--jobs 2] [--keep FOLDER]

Every dataset and attribute of every tensor and of every shared codebook must be the same in both stores,
and every record and section of the packed files. The embedding and the head are reported by themselves and
do not count, nor do what names the program (version, fingerprint, provenance). The presets are those
that the new program names; the baseline's that are missing count as differences, new ones are only noted.
Bytes depend on the instruction set and on the BLAS that is found, so both programs run here and now:
--keep FOLDER keeps the baseline's files, for further comparisons on this machine alone.
Exit code: 0 the same, 1 differences, 2 bad usage. Needs h5py and numpy (Debian: python3-h5py).
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
BUDGETS = ("2.5", "3.5", "4.5", "6")  # bits a weight; each preset gets the first that it can meet
APART = ("model.embed_tokens.weight", "lm_head.weight")
# What a store says of the program that made it, not of the model.
OF_THE_PROGRAM = ("tool_version", "fingerprint", "format_version")


class ProgramFailed(Exception):
    """Holds what the program said last."""


def run(program, *arguments):
    environment = dict(os.environ, OMP_NUM_THREADS="2", OMP_WAIT_POLICY="passive")
    done = subprocess.run([str(program), *map(str, arguments)], env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        raise ProgramFailed((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    return done.stdout


def presets_of(program):
    found = re.search(r"--method PRESET:\{([^}]*)\}", run(program, "quantize", "--help"))
    if not found:
        sys.exit(f"error: {program}: `quantize --help` lists no presets after --method")
    return found.group(1).split(",")


def make(program, preset, bits, calibration, model, folder):
    """Makes the store and the packed file of a preset, with the first budget of `bits` that it can meet, and
    returns that. There is no packed file where the format has no place for what the preset stores."""
    store, packed = folder / f"{preset}.vq.h5", folder / f"{preset}.vqp"
    for budget in bits:
        try:
            run(program, "quantize", model, "--calib", model / "calib.txt", "--calib-tokens", calibration,
                "--method", preset, "--bits", budget, "--threads", 2, "--quiet", "-o", store)
            break
        except ProgramFailed as failure:
            if "budget" not in str(failure) or budget == bits[-1]:
                raise
    try:
        run(program, "export", store, "--to", "packed", "--quiet", "-o", packed)
    except ProgramFailed as failure:
        if "the packed format has no" not in str(failure):
            raise
    return budget, store, packed


def kept(program, preset, calibration, model, keep):
    """make() for the baseline; the files are taken from `keep` when they lie there."""
    digest = hashlib.sha256(Path(program).read_bytes()).hexdigest()[:16]
    place = keep / f"{digest}-{calibration}-{preset}"
    if not (place / "bits").exists():
        keep.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=keep) as work:
            fresh = Path(work) / "files"
            fresh.mkdir()
            budget, _, _ = make(program, preset, BUDGETS, calibration, model, fresh)
            (fresh / "bits").write_text(budget)
            shutil.rmtree(place, ignore_errors=True)
            os.replace(fresh, place)
    return (place / "bits").read_text(), place / f"{preset}.vq.h5", place / f"{preset}.vqp"


class Differences:
    """Lines in the order found: those that count, those of embedding and head, and notes."""

    def __init__(self):
        self.counted, self.apart, self.notes = [], [], []

    def of(self, tensor):
        return self.apart if tensor in APART else self.counted


def as_text(value):
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def compare_attributes(where, a, b, out, skipped=()):
    for key in sorted(set(a) | set(b)):
        if key in skipped:
            continue
        if key not in a or key not in b:
            out.append(f"{where}: attribute {key} is {'new' if key in b else 'gone'}")
            continue
        x, y = a[key], b[key]
        if np.asarray(x).tobytes() == np.asarray(y).tobytes() and np.asarray(x).dtype == np.asarray(y).dtype:
            continue
        try:
            p, q = json.loads(x), json.loads(y)
            fields = [k for k in {**p, **q} if p.get(k) != q.get(k)] or ["the order or spelling of keys"]
            shown = "; ".join(f"{k}: {as_text(p.get(k))} -> {as_text(q.get(k))}" for k in fields)
        except (TypeError, ValueError, AttributeError):
            shown = f"{as_text(x)} -> {as_text(y)}"
        out.append(f"{where}: attribute {key} differs: {shown}")


def compare_arrays(where, a, b, out):
    if a.dtype != b.dtype or a.shape != b.shape:
        out.append(f"{where}: {a.dtype}{list(a.shape)} -> {b.dtype}{list(b.shape)}")
        return
    x, y = a[()], b[()]
    if x.tobytes() == y.tobytes():
        return
    unequal = np.flatnonzero(np.atleast_1d(x).ravel() != np.atleast_1d(y).ravel())
    first = f", the first at {unequal[0]}" if len(unequal) else " in bits alone"
    out.append(f"{where}: {len(unequal)} of {x.size} values differ{first}")


def compare_groups(where, a, b, out):
    compare_attributes(where, a.attrs, b.attrs, out)
    for name in sorted(set(a) | set(b)):
        if name not in a or name not in b:
            out.append(f"{where}/{name} is {'new' if name in b else 'gone'}")
        elif isinstance(a[name], h5py.Group) and isinstance(b[name], h5py.Group):
            compare_groups(f"{where}/{name}", a[name], b[name], out)
        elif isinstance(a[name], h5py.Dataset) and isinstance(b[name], h5py.Dataset):
            compare_arrays(f"{where}/{name}", a[name], b[name], out)
        else:
            out.append(f"{where}/{name} is another kind of object")


def compare_stores(old, new, found):
    with h5py.File(old) as a, h5py.File(new) as b:
        compare_attributes("store", a.attrs, b.attrs, found.counted, OF_THE_PROGRAM)
        compare_attributes("store", {k: v for k, v in a.attrs.items() if k in OF_THE_PROGRAM},
                           {k: v for k, v in b.attrs.items() if k in OF_THE_PROGRAM}, found.notes)
        for name in sorted(set(a) | set(b)):
            if name == "provenance":
                continue
            if name not in a or name not in b:
                found.counted.append(f"store: /{name} is {'new' if name in b else 'gone'}")
            elif name != "tensors":
                if isinstance(a[name], h5py.Group):
                    compare_groups(f"store: {name}", a[name], b[name], found.counted)
                else:
                    compare_arrays(f"store: {name}", a[name], b[name], found.counted)
        if list(a["tensors"]) != list(b["tensors"]):
            found.notes.append("store: the order of the tensors differs")
        for name in [*a["tensors"], *(n for n in b["tensors"] if n not in a["tensors"])]:
            if name in a["tensors"] and name in b["tensors"]:
                compare_groups(f"store: {name}", a["tensors"][name], b["tensors"][name], found.of(name))
            else:
                found.of(name).append(f"store: {name} is {'new' if name in b['tensors'] else 'gone'}")


class Packed:
    """A packed file of version 2 as named records (docs/packed-format.md); sections as bytes."""

    def __init__(self, path):
        self.bytes = Path(path).read_bytes()
        self.version, size = struct.unpack_from("<II", self.bytes, 8)
        if self.bytes[:8] != b"vqpacked" or self.version != 2 or size != 72:
            raise ValueError(f"{path}: packed format {self.version}, this script reads version 2")
        at, _, *self.counts = struct.unpack_from("<QQIIII", self.bytes, 24)
        blobs, codebooks, tensors, segments = self.counts
        names = at + 24 * (blobs + codebooks) + 152 * (tensors + segments)

        def name(offset, count):
            return self.bytes[names + offset:names + offset + count].decode()

        def section(offset, count):
            return self.bytes[offset:offset + count]

        self.blobs, self.codebooks, self.tensors = {}, [], {}
        for _ in range(blobs):
            n0, n1, *data = struct.unpack_from("<IIQQ", self.bytes, at)
            self.blobs[name(n0, n1)] = section(*data)
            at += 24
        for _ in range(codebooks):
            entries, dim, *data = struct.unpack_from("<IIQQ", self.bytes, at)
            self.codebooks.append((entries, dim, section(*data)))
            at += 24
        first_segment = at + 152 * tensors
        for _ in range(tensors):
            f = struct.unpack_from("<II4QIIQ8QQQIIII", self.bytes, at)
            record = dict(rows=f[2], cols=f[3], padded_rows=f[4], padded_cols=f[5], kind=f[6],
                          scale_kind=f[7], scale_group=f[8], dense=section(f[9], f[10]),
                          scales=section(f[11], f[12]), column_scale=section(f[13], f[14]),
                          permutation=section(f[15], f[16]), seed_in=f[17], seed_out=f[18],
                          rotations=f[19], segments=f[21], reserved=f[22])
            for i in range(f[21]):
                record |= self.segment(first_segment + 152 * (f[20] + i), f"segment {i}: ", section)
            self.tensors[name(f[0], f[1])] = record
            at += 152

    def segment(self, at, prefix, section):
        f = struct.unpack_from("<QQ4I8I8I3I2I2I2fIQQ", self.bytes, at)
        # Codebooks by content: their numbers change with any tensor before them.
        books = [self.codebooks[i] for i in f[14:14 + f[5]] if i < len(self.codebooks)]
        # Gains as stored, so that no rounding hides a difference.
        gains = self.bytes[at + 124:at + 132]
        fields = dict(col0=f[0], cols=f[1], code=f[2], along_outputs=f[3], dim=f[4], stages=f[5],
                      stage_bits=f[6:14], trellis_value=f[22], trellis_bits=f[23], tile_rows=f[24],
                      multiplier=f[25:27], addend=f[27:29], gain=gains, reserved=f[31],
                      codes=section(f[32], f[33]),
                      codebooks=b"".join(struct.pack("<II", *b[:2]) + b[2] for b in books))
        return {prefix + key: value for key, value in fields.items()}


def compare_packed(old, new, found):
    if not old.exists():
        if new.exists():
            found.notes.append("packed: the baseline makes no packed file of it")
        return
    if not new.exists():
        found.counted.append("packed: there is no packed file any more")
        return
    if Path(old).read_bytes() == Path(new).read_bytes():
        return
    try:
        a, b = Packed(old), Packed(new)
    except ValueError as error:
        found.counted.append(f"packed: the files differ and cannot be taken apart: {error}")
        return
    before = len(found.counted) + len(found.apart)
    if a.counts != b.counts:
        found.notes.append(f"packed: blobs, codebooks, tensors, segments: {a.counts} -> {b.counts}")
    for name in sorted(set(a.blobs) | set(b.blobs)):
        if a.blobs.get(name) != b.blobs.get(name):
            found.counted.append(f"packed: blob {name} differs")
    for name in [*a.tensors, *(n for n in b.tensors if n not in a.tensors)]:
        p, q = a.tensors.get(name, {}), b.tensors.get(name, {})
        for key in {**p, **q}:
            x, y = p.get(key), q.get(key)
            if x == y:
                continue
            if isinstance(x, bytes) and isinstance(y, bytes) and len(x) == len(y):
                first = next(i for i in range(len(x)) if x[i] != y[i])
                shown = f"byte {first} of {len(x)} is the first that differs"
            else:
                shown = " -> ".join(f"{len(v)} bytes" if isinstance(v, bytes) else str(v) for v in (x, y))
            found.of(name).append(f"packed: {name}: {key}: {shown}")
    if list(a.tensors) != list(b.tensors):
        found.counted.append("packed: the order of the tensors differs")
    if len(found.counted) + len(found.apart) == before:
        found.counted.append("packed: the same content in another order or with other gaps")


def compare(preset, arguments, model, work):
    """Returns (line for the preset, Differences)."""
    found = Differences()
    old, new = Path(work) / preset / "old", Path(work) / preset / "new"
    new.mkdir(parents=True)
    try:
        if arguments.keep:
            bits, *before = kept(arguments.baseline, preset, arguments.calib_tokens, model, arguments.keep)
        else:
            old.mkdir()
            bits, *before = make(arguments.baseline, preset, BUDGETS, arguments.calib_tokens, model, old)
        _, *after = make(arguments.vq, preset, (bits,), arguments.calib_tokens, model, new)
    except ProgramFailed as failure:
        found.counted.append(f"a program failed: {failure}")
        return "not compared", found
    compare_stores(before[0], after[0], found)
    compare_packed(before[1], after[1], found)
    how = f"{bits} bits" + ("" if after[1].exists() else ", no packed form")
    shutil.rmtree(Path(work) / preset)
    return how, found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--baseline", required=True, type=Path, help="the program before")
    parser.add_argument("--vq", required=True, type=Path, help="the program now")
    parser.add_argument("--presets", help="only these, separated by commas")
    parser.add_argument("--jobs", type=int, default=1, help="presets at a time, of two threads each")
    parser.add_argument("--calib-tokens", type=int, default=4096)
    parser.add_argument("--model", type=Path, default=ROOT / "models/tiny")
    parser.add_argument("--keep", type=Path, help="folder for the baseline's files, to be used again")
    parser.add_argument("--lines", type=int, default=8, help="differences shown for a store, for a packed file")
    arguments = parser.parse_args()

    there, here = presets_of(arguments.baseline), presets_of(arguments.vq)
    wanted = arguments.presets.split(",") if arguments.presets else here
    unknown = [p for p in wanted if p not in here]
    if unknown:
        parser.error(f"no such presets: {', '.join(unknown)}: there are {', '.join(here)}")
    both = [p for p in wanted if p in there]
    differing = 0
    for preset in (p for p in there if p not in here and not arguments.presets):
        print(f"{preset:<12} DIFFERS  the new program does not have it")
        differing += 1
    for preset in (p for p in wanted if p not in there):
        print(f"{preset:<12} new      the baseline does not have it")

    # Notes and differences of embedding and head repeat from preset to preset: said once at the end.
    aside = {}
    with tempfile.TemporaryDirectory() as work, \
            concurrent.futures.ThreadPoolExecutor(max_workers=arguments.jobs) as pool:
        results = pool.map(lambda p: compare(p, arguments, arguments.model.resolve(), work), both)
        for preset, (how, found) in zip(both, results):
            differing += bool(found.counted)
            print(f"{preset:<12} {'DIFFERS' if found.counted else 'same':<8} {how}", flush=True)
            packed = [line for line in found.counted if line.startswith("packed")]
            for lines in ([line for line in found.counted if line not in packed], packed):
                for line in lines[:arguments.lines]:
                    print(f"    {line}")
                if len(lines) > arguments.lines:
                    print(f"    and {len(lines) - arguments.lines} more")
            for line in found.notes + found.apart:
                aside.setdefault(re.sub(r"[0-9a-f]{16,}", "...", line), []).append(preset)
    if aside:
        print("Not counted (embedding, head, what names the program):")
        for line, where in aside.items():
            print(f"    {line} ({', '.join(where) if len(where) < len(both) else 'all'})")
    print(f"{len(both)} presets compared, {differing} differ")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
