#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks which folder may include which, and which names may be used where.

    scripts/check_arrows.py          checks; exit code 1 and a line for each fault
    scripts/check_arrows.py --draw   prints the arrows that there are, with the number of includes of each

docs/arrows.txt is the list of what is allowed. It is kept as tight as the sources: an arrow that is
missing there, and one that no include uses any more, are faults, and so are
  - an arrow that leads upwards in that list (no folders in a circle), and files that include in a circle;
  - anything but the standard library in what the decode library is built from;
  - names of codes outside the folders of the codes and the two lists of all codes, and names of model
    families outside their table;
  - a source, script or CMake file that does not begin with its license.
"""
import argparse
import collections
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "docs/arrows.txt"
# The law: which top-level folder may include which others.
ROOMS = {
    "apps": ("model", "vq", "decode", "io", "base"),
    "model": ("vq", "decode", "io", "base"),
    "vq": ("lattice", "codebooks", "io", "base"),
    "decode": ("lattice", "codebooks", "base"),
    "lattice": ("codebooks", "base"),
    "codebooks": ("base",),
    "io": ("base",),
    "base": (),
}
SOURCES = (".h", ".hpp", ".cpp", ".c")
# Headers with a dot that the decode library may use: C's, the compiler's intrinsics, Linux's for AMX.
PLAIN_HEADERS = {"stddef.h", "stdint.h", "immintrin.h", "arm_neon.h", "cpuid.h", "unistd.h", "sys/syscall.h",
                 "sys/auxv.h"}


class Rule:
    """`pattern` may occur, outside comments, only in the files that `allowed` matches."""

    def __init__(self, what, pattern, allowed):
        self.what, self.pattern, self.allowed = what, re.compile(pattern), re.compile(allowed)


def family_names():
    """A pattern of the string literals in which the rows of the table name families and their tensors."""
    rows = "".join(path.read_text() for path in sorted((ROOT / "io/families").glob("row*.cpp")))
    families = set(re.findall(r'\.(?:model_type|hf_class|architecture) = "([^"]+)"', rows))
    names = re.findall(r'"([^" ]*\{\}[^" ]*)"', rows)
    parts = {part for name in names for part in re.findall(r"\.(\w+)(?=[|\[]|$)", name) if "_" in part}
    assert len(families) > 60 and len(parts) > 60, "io/families/row*.cpp: the rows are not understood"
    return rf'"({"|".join(sorted(families))})"|"[^"]*\b({"|".join(sorted(parts))})\b[^"]*"'


CODE_FOLDERS = r"(codebooks|lattice)/(?!assign/)[^/]+/"
CODES = "residual|trellis|e8p|bitmod|bytes|iq4nl|lut|table|grid"
# Where codes are named as settings: rows of presets and of benchmarks, and what is taken where nothing is set.
CODE_ROWS = r"vq/run/presets\.cpp|vq/layer/gaussian_bench\.cpp|model/random_packed\.cpp|base/codes/code_settings\.h"
RULES = [
    Rule("the number of a packed code outside its folder", r"\bCodeKind\s*(::|\{)", CODE_FOLDERS),
    Rule("asks for the name of a code", rf'[!=]=\s*"({CODES})"|"({CODES})"\s*[!=]=', CODE_FOLDERS),
    Rule("the name of a code outside its folder and rows of settings", rf'"({CODES})"', f"{CODE_FOLDERS}|{CODE_ROWS}"),
    # Not a family: llama.cpp, and the way of scaling rotary positions that configurations call llama3. The
    # tokenizers of GGUF files have names of their own.
    Rule("the name of a family of models outside its table", r"(?i)llama(?!3\b|.?cpp)|qwen|mistral|gemma",
         r"io/(families|tokenizers)/"),
    # assign/ is no code; the lists name all codes by including them; the packed exporter rounds what is not
    # quantized, embedding and head, to bytes.
    Rule("includes a code", r'#include "(codebooks|lattice)/(?!assign/)',
         r"(codebooks|lattice)/|decode/codes\.cpp|vq/tensor/code_families\.cpp|vq/exports/export_packed\.cpp"),
    # Tokenizers of GGUF files are called "llama" and "qwen2" too.
    Rule("a name of a model family or of its tensors outside their table", family_names(),
         r"io/(families|tokenizers)/"),
]


def read_sources():
    """Path from the root -> text, of all sources of the library and the program."""
    return {str(path.relative_to(ROOT)): path.read_text()
            for room in ROOMS for path in sorted((ROOT / room).rglob("*")) if path.suffix in SOURCES}


def includes(text):
    """[(quoted, name)] of all includes."""
    found = re.findall(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<([^>]+)>)', text, re.M)
    return [(bool(quoted), quoted or system) for quoted, system in found]


def folder(path):
    """The folder that a file counts as: of two levels, as vq/layer, or base."""
    return "/".join(path.split("/")[:-1][:2])


def read_list():
    """(folder -> folders it may include, in the order of the list, which is from the top down;
    the arrows known to be wrong)."""
    allowed, wrong = {}, set()
    for line in LIST.read_text().splitlines():
        if re.match(r"(! )?[a-z][\w/]* *->", line):
            source, targets = line.removeprefix("! ").split("->")
            if line[0] == "!":
                wrong |= {(source.strip(), target) for target in targets.split()}
            else:
                allowed[source.strip()] = targets.split()
    return allowed, wrong


def check_arrows(sources, allowed, wrong):
    arrows = collections.defaultdict(list)
    for path, text in sources.items():
        for quoted, name in includes(text):
            if quoted and name not in sources:
                yield f"{path}: includes \"{name}\", which is no file of the tree"
            elif quoted and folder(name) != folder(path):
                arrows[folder(path), folder(name)].append((path, name))
    for (source, target), where in sorted(arrows.items()):
        if target not in allowed.get(source, ()) and (source, target) not in wrong:
            shown = ", ".join(f"{path} ({name})" for path, name in where[:3])
            yield f"{source} -> {target} is not in docs/arrows.txt: {shown}" + (", ..." if len(where) > 3 else "")
    order = {name: i for i, name in enumerate(allowed)}
    for source, targets in allowed.items():
        for target in targets:
            if (source, target) not in arrows:
                yield f"docs/arrows.txt: {source} -> {target} is used by no include: take it out"
            elif order.get(target, len(order)) < order[source]:
                yield f"docs/arrows.txt: {source} -> {target} leads upwards"
            else:
                rooms = source.split("/")[0], target.split("/")[0]
                if rooms[0] != rooms[1] and rooms[1] not in ROOMS[rooms[0]]:
                    yield f"docs/arrows.txt: {source} -> {target} is against the law of rooms"
    for source, target in sorted(wrong - set(arrows)):
        yield f"docs/arrows.txt: ! {source} -> {target} is used by no include: take it out"


def check_cycles(sources):
    state, path_to = {}, []

    def visit(path):
        state[path] = "open"
        path_to.append(path)
        for quoted, name in includes(sources[path]):
            if not quoted or name not in sources:
                continue
            if state.get(name) == "open":
                yield "files include in a circle: " + " -> ".join([*path_to[path_to.index(name):], name])
            elif name not in state:
                yield from visit(name)
        path_to.pop()
        state[path] = "done"

    for path in sources:
        if path not in state:
            yield from visit(path)


def decode_units():
    """The sources that the decode library is built from, as the CMake files name them."""
    lists = [("decode", r"set\(decode_sources([^)]*)\)", ROOT / "decode/CMakeLists.txt"),
             ("base", r"vqkit_library\(vqkit_core([^)]*)\)", ROOT / "base/CMakeLists.txt")]
    lists += [(path.parent.relative_to(ROOT), r"vqkit_decode_sources\(([^)]*)\)", path)
              for room in ("codebooks", "lattice") for path in sorted((ROOT / room).glob("*/decode.cmake"))]
    for place, pattern, path in lists:
        for listed in re.findall(pattern, path.read_text()):
            for name in re.findall(r"\S+\.cpp", listed):
                name = name.replace("${root}/", "/").replace("${shared}/", "/base/packed/")
                yield name[1:] if name[0] == "/" else f"{place}/{name}"


def check_standard_library_only(sources):
    units = list(decode_units())
    yield from (f"{unit}: a source of the decode library that is not there" for unit in units if unit not in sources)
    if len(units) < 20:
        yield "decode/CMakeLists.txt: the sources of the decode library are not listed as this script reads them"
    for missing in sorted(set(units) - set(sources)):
        yield f"{missing}: the decode library is built from it, and there is no such source"
    seen, open_ = set(), units + [p for p in sources if p.startswith(("decode/", "base/packed/"))]
    while open_:
        path = open_.pop()
        if path in seen or path not in sources:
            continue
        seen.add(path)
        for quoted, name in includes(sources[path]):
            if quoted:
                open_.append(name)
            elif ("/" in name or "." in name) and name not in PLAIN_HEADERS:
                yield f"{path}: includes <{name}>, and the decode library uses the standard library alone"


def without_comments(text):
    """The same lines with comments blanked; string literals stay."""
    token = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    return token.sub(lambda m: m[0] if m[0][0] in "\"'" else re.sub(r"[^\n]", " ", m[0]), text)


def check_names(sources):
    for rule in RULES:
        for path, text in sources.items():
            if rule.allowed.match(path):
                continue
            for number, line in enumerate(without_comments(text).splitlines(), 1):
                if rule.pattern.search(line):
                    yield f"{path}:{number}: {rule.what}: {line.strip()}"


def check_licenses():
    """SPDX on the first line, or on the second after #!."""
    skipped = {".git", "models", "data"}
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        if skipped.intersection(parts) or parts[0].startswith("build") or not path.is_file():
            continue
        if path.suffix in (*SOURCES, ".py", ".sh", ".cmake", ".in", ".yml") or path.name == "CMakeLists.txt":
            lines = path.read_text().splitlines()
            first = lines[1] if lines and lines[0].startswith("#!") and len(lines) > 1 else "".join(lines[:1])
            if "SPDX-License-Identifier: Apache-2.0" not in first:
                yield f"{path.relative_to(ROOT)}: does not begin with SPDX-License-Identifier: Apache-2.0"


def draw(sources):
    arrows = collections.Counter((folder(path), folder(name)) for path, text in sources.items()
                                 for quoted, name in includes(text) if quoted and folder(name) != folder(path))
    for source in sorted({s for s, _ in arrows}):
        print(f"{source} -> " + "  ".join(f"{t} ({n})" for (s, t), n in sorted(arrows.items()) if s == source))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draw", action="store_true", help="print the arrows that there are")
    arguments = parser.parse_args()
    sources = read_sources()
    if arguments.draw:
        draw(sources)
        return 0
    allowed, wrong = read_list()
    faults = [*check_arrows(sources, allowed, wrong), *check_cycles(sources), *check_standard_library_only(sources),
              *check_names(sources), *check_licenses()]
    for fault in faults:
        print(fault)
    print(f"{len(sources)} files in {len({folder(p) for p in sources})} folders, "
          f"{sum(map(len, allowed.values()))} arrows, "
          f"{len(wrong)} known to be wrong, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
