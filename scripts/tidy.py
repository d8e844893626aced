#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""clang-tidy over the files that changed, or over all, in a bounded time.

    scripts/tidy.py [--base COMMIT | --all] [--seconds 900] [--jobs 2]

A header is looked at through a source that includes it. Clean results are kept in the cache folder
(VQKIT_CACHE, default ~/.cache/vqkit), so that the next call goes on with the rest. What there was no time
for, and headers that no source includes, are listed by name and counted by themselves.
Exit code: 0 nothing found, 1 something found or a source that clang-tidy cannot read, 2 bad usage.
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("VQKIT_CACHE") or
             Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vqkit") / "tidy"
SECONDS_A_FILE = 400


def git(*arguments):
    return subprocess.run(["git", *arguments], cwd=ROOT, text=True, capture_output=True, check=False).stdout.split()


def changed_files(base):
    """Sources and headers that differ from `base`, and those that git does not know yet."""
    names = git("diff", "--name-only", "--diff-filter=d", base) if base else git("ls-files")
    names += git("ls-files", "--others", "--exclude-standard")
    return sorted({n for n in names if n.endswith((".cpp", ".h", ".hpp")) and (ROOT / n).is_file()})


def closure(unit, known):
    """All files of the tree that `unit` includes, itself too. `known` remembers what each file includes."""
    seen, open_ = set(), [unit]
    while open_:
        name = open_.pop()
        if name in seen or not (ROOT / name).is_file():
            continue
        seen.add(name)
        if name not in known:
            known[name] = re.findall(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', (ROOT / name).read_text(), re.M)
        open_ += known[name]
    return seen


def units_for(files, units, closures):
    """(sources to look at so that every file of `files` is seen, files that none shows)."""
    chosen, unseen = {f for f in files if f in units}, []
    for header in (f for f in files if not f.endswith(".cpp")):
        of = [u for u in units if header in closures[u]]
        if not of:
            unseen.append(header)
        elif not chosen.intersection(of):
            same = [u for u in of if Path(u).stem == Path(header).stem]
            chosen.add(min(same or of, key=lambda u: len(closures[u])))
    unseen += [f for f in files if f.endswith(".cpp") and f not in units]
    return sorted(chosen), unseen


def key_of(unit, units, closures, version):
    digest = hashlib.sha256((version + units[unit] + (ROOT / ".clang-tidy").read_text()).encode())
    for name in sorted(closures[unit]):
        digest.update(name.encode() + (ROOT / name).read_bytes())
    return digest.hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--base", help="the commit that the work goes on from (default: where it left origin/main, "
                                      "or the commit before)")
    which.add_argument("--all", action="store_true", help="all files")
    parser.add_argument("--seconds", type=int, default=900, help="after which no other file is begun")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()

    base = arguments.base
    if not base and not arguments.all:
        head, main_branch = git("rev-parse", "HEAD"), git("merge-base", "HEAD", "origin/main")
        before = git("rev-parse", "--quiet", "--verify", "HEAD~1")
        base = "".join(before if main_branch in ([], head) else main_branch)
    commands = ROOT / "build/compile_commands.json"
    if not commands.is_file():
        parser.error("build/compile_commands.json is missing: run scripts/build.sh")
    # Generated sources lie in the build folder and are nobody's to mend.
    units = {os.path.relpath(c["file"], ROOT): c["command"] for c in json.loads(commands.read_text())}
    units = {u: c for u, c in units.items() if u.endswith(".cpp") and not u.startswith("build")}
    known = {}
    closures = {u: closure(u, known) for u in units}
    files = changed_files(None if arguments.all else base)
    chosen, unseen = units_for(files, units, closures)
    version = subprocess.run(["clang-tidy", "--version"], text=True, capture_output=True, check=True).stdout
    CACHE.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + arguments.seconds

    def look(unit):
        """"clean", "before" (clean when looked at before), "found" or "late"."""
        mark = CACHE / key_of(unit, units, closures, version)
        if mark.exists():
            return "before"
        left = end - time.monotonic()
        if left <= 0:
            return "late"
        try:
            done = subprocess.run(["clang-tidy", "--quiet", "-p", "build", unit], cwd=ROOT, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS_A_FILE)
        except subprocess.TimeoutExpired:
            return "late"
        if done.returncode != 0:
            print(done.stdout, file=sys.stderr, flush=True)
            return "found"
        mark.touch()
        return "clean"

    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(max_workers=arguments.jobs) as pool:
        results = dict(zip(chosen, pool.map(look, chosen)))
    late = [u for u, result in results.items() if result == "late"]
    for name in late:
        print(f"clang-tidy: NOT looked at for lack of time: {name}", file=sys.stderr)
    for name in unseen:
        print(f"clang-tidy: NOT looked at, no source that is built includes it: {name}", file=sys.stderr)
    count = {r: list(results.values()).count(r) for r in ("clean", "before", "found")}
    print(f"clang-tidy: {count['clean'] + count['before']} sources clean ({count['before']} of them looked at before), "
          f"{count['found']} with findings, {len(late) + len(unseen)} files not looked at, "
          f"{time.monotonic() - begin:.0f} s", file=sys.stderr)
    return 1 if count["found"] else 0


if __name__ == "__main__":
    sys.exit(main())
