# SPDX-License-Identifier: Apache-2.0
"""presets_test.py VQ METHODS_MD: the tables of docs/methods.md name exactly the presets of the program, each with
the papers that `vq quantize --help` gives."""
import re
import subprocess
import sys

program, page = sys.argv[1:]
text = subprocess.run([program, "quantize", "--help"], check=True, capture_output=True, text=True).stdout
names = re.search(r"--method PRESET:\{([^}]*)\}", text).group(1).split(",")
wanted = {name: re.search(rf"^  {re.escape(name)} .*\(([^()]*)\)$", text, re.M).group(1) for name in names}

found = {}
rows = [[cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in open(page, encoding="utf-8") if line.startswith("|")]
for number, row in enumerate(rows):
    # A table with a column for each preset has their papers below; others have a row for each.
    if row[0] == "part" and row[1].startswith("`"):
        assert rows[number + 2][0] == "paper", rows[number + 2]
        for cell, paper in zip(row[1:], rows[number + 2][1:], strict=True):
            found[re.match(r"`([^`]+)`", cell).group(1)] = paper
    elif row[0] == "preset":
        assert row[1] == "paper", row
    elif re.fullmatch(r"`[a-z0-9-]+`", row[0]):
        found[row[0].strip("`")] = row[1]

faults = [f"{name}: not in the tables of the page" for name in wanted if name not in found]
faults += [f"{name}: in the tables of the page, not a preset" for name in found if name not in wanted]
faults += [f"{name}: the page says {found[name]}, the program {paper}" for name, paper in wanted.items()
           if name in found and found[name] != paper]
print("\n".join(faults) or f"{len(found)} presets")
sys.exit(bool(faults))
