#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""English prose that a Debian system has anyway, in two disjoint parts: calibration and held-out.

    scripts/demo_text.py FOLDER      writes FOLDER/calib.txt and FOLDER/heldout.txt

Sources: the Python language reference that pydoc shows, the common licenses, and the manuals of Perl
where they are installed. Paragraphs that occur twice are used once, so nothing is in both parts.
"""
import pathlib
import sys

BLOCK = 6000       # bytes of consecutive text that stay together
HELDOUT_EVERY = 5  # every fifth block is held out


def documents():
    try:
        from pydoc_data import topics
        for name in sorted(topics.topics):
            yield topics.topics[name]
    except ImportError:
        pass
    for pattern in ("usr/share/common-licenses/*", "usr/share/perl/*/**/*.pod"):
        for path in sorted(pathlib.Path("/").glob(pattern)):
            if not path.is_symlink() and path.is_file():
                yield path.read_text(encoding="utf-8", errors="replace")


def blocks():
    """Runs of paragraphs, none of them seen before, of about BLOCK bytes."""
    seen, block, size = set(), [], 0
    for document in documents():
        for paragraph in document.split("\n\n"):
            text = " ".join(paragraph.split())
            if len(text) < 80 or text in seen:  # headings, tables, rulers
                continue
            seen.add(text)
            block.append(text)
            size += len(text)
            if size >= BLOCK:
                yield "\n\n".join(block) + "\n\n"
                block, size = [], 0


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    parts = {"calib.txt": [], "heldout.txt": []}
    for i, block in enumerate(blocks()):
        parts["heldout.txt" if i % HELDOUT_EVERY == 0 else "calib.txt"].append(block)
    if not parts["calib.txt"]:
        sys.exit("error: no text found on this system: /usr/share: give one with demo.sh --text FILE")
    for name, texts in parts.items():
        (folder / name).write_text("".join(texts), encoding="utf-8")


if __name__ == "__main__":
    main()
