#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares vqkit's tokenizers with the Python packages `tokenizers` and `sentencepiece`.

Makes about 1 MB of mixed text (prose, code, digits, CJK, emoji, combining marks, odd white space,
control characters, strings of special tokens), trains small tokenizers of every kind on it, and
checks that the C++ tool tokenize_tool gives the same ids and the same decoded text for all of it.
Everything is made here, from a fixed seed; nothing is downloaded.

    compare_tokenizers.py --tool build/tests/io/tokenize_tool
    compare_tokenizers.py --tool ... --tokenizer DIR --text FILE     (also these)
    compare_tokenizers.py --write-golden tests/io/tokenizers/data    (golden ids for the unit test)

Exit status: 0 equal, 1 different, 77 the Python packages are missing.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import unicodedata
from pathlib import Path

from tokenizer_texts import SPECIALS, TextMaker

try:
    import sentencepiece
    import tokenizers
    from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers
    from tokenizers import processors, trainers
except ImportError as missing:
    print(f"SKIPPED: {missing} (pip install tokenizers sentencepiece)")
    sys.exit(77)

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + CONTRACTIONS
    + r"?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + CONTRACTIONS
    + r"?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)  # fmt: skip
# Patterns of released models, and every construct that Oniguruma and PCRE2 read differently.
PATTERNS = [
    LLAMA3, QWEN2, O200K, O200K.replace(CONTRACTIONS + "?", "").replace("{1,3}", ""),
    LLAMA3.replace(r"]?\p{L}+|\p{N}{1,3}", r"]?[\p{L}\p{M}]+|\p{N}").replace(r"[^\s\p{L}", r"[^\s\p{L}\p{M}"),
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "[一-龥\u3040-ゟ゠-ヿ]+", " ?[^(\\s|[.,!?…。，、।۔،])]+", r"\d{1,3}(?=(?:\d{3})*\b)", r"(?=(\d{3})+(?!\d))",
    r"\p{N}{3}+", r"\p{N}{2}?", r"\p{N}{2,}?", r"\p{N}{2,3}?x?", r"\p{N}{1,2}+", r"b{,2}c", r"(?:ab){2}+", r"a{1}{2}",
    r"a**", r"a++a", r"a?+a", r"b{", r"b{x}", "[a[bc]]", "[^a[^b]]", "[a-z&&[^aeiou]]+", "[^a-z&&[^aeiou]]", r"\h+",
    r"[\h&&\d]", r"[\W\d]+", r"[^\W\d]+", r"[^\S\n]", r"[\D]+", r"[\P{L}x]+", r"\H", r"\b\w", r"\B.", r"a(?i)b|A",
    r"(?i:k)", r"(?i:[j-l])", "(?m:x.a)", "x.a", r"(?i)a(?-i)b", r"\R", r"\N+", r"\O", r"b\Z", "(?<n>a)b", "(?'n'a)b",
    "(?#x)a", "(?>a+)a", "(?<=a)b", "(?<!a)b", "^a", "x$", "^", r"\Aa", r"b\z", "[[:digit:]]", "[[:^space:]]+",
    "[[:punct:][:blank:]]+", "[[:cntrl:]]", r"\x61", r"\x{61}|\x{1f600}", r"\u00e9", r"\012", "[]a]", "[a-]", "[a-c-e]+", "b]", "()",
    r"\p{^L}+", r"\P{^L}+", r"\p{Lowercase_Letter}+", r"\p{lu}", r"\p{Han}+", r"\e|\a|\f|\v", r"[\b\t]", r"\_|\-|\é",
]  # fmt: skip
# Sets of characters, to be compared code point by code point.
SETS = [
    *(rf"\p{{{name}}}" for name in "L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs "
      "Zl Zp C Cc Cf Co Cn Arabic Bopomofo Cyrillic Devanagari Greek Han Hangul Hebrew Hiragana Katakana Latin Thai "
      "Space Word XDigit ASCII Blank Punct".split()),
    r"\s", r"\w", r"\d", r"\h", r"\S", r"\W", r"[\w]", r"[\W]", r"[^\w]", r"[\p{Word}\p{Z}]", r"[\P{L}\p{Lu}]", r"[^\p{L}\p{N}\s]", r"[\p{L}&&[^\p{Han}]]", r"[^\p{L}[^\p{Lu}]]",
    r"(?i:[a-z])", r"(?i:[^a-z])", r"(?i:k)|(?i:s)", "[[:punct:]]", "[[:word:]]", "[[:space:]]", "[[:^cntrl:]]", ".", r"\N",
]  # fmt: skip

# ---------------------------------------------------------------------------------------------
# Tokenizers to compare


def added(content, **flags):
    return AddedToken(content, **flags)


def train_bpe(texts, name, pre_tokenizer, vocab, normalizer=None, specials=SPECIALS[:3]):
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, show_progress=False, special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return name, tokenizer


def byte_level(regex, prefix=False):
    return pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=regex)


def bos_template(token, tokenizer):
    return processors.TemplateProcessing(
        single=f"{token} $A", pair=f"{token} $A {token} $B",
        special_tokens=[(token, tokenizer.token_to_id(token))],
    )  # fmt: skip


def changed(tokenizer, change):
    """The tokenizer after change(its JSON)."""
    definition = json.loads(tokenizer.to_str())
    change(definition)
    return tokenizers.Tokenizer.from_str(json.dumps(definition))


def byte_level_tokenizers(texts, vocab):
    """One for each pre-tokenizer pattern in use: GPT-2, Llama 3, Qwen 2, SmolLM."""
    yield train_bpe(texts, "gpt2", byte_level(True), vocab)

    def split(pattern):
        return pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(pattern), "isolated"), byte_level(False)]
        )

    name, llama3 = train_bpe(texts, "llama3", split(LLAMA3), vocab, specials=SPECIALS[:4])
    llama3.post_processor = processors.Sequence(
        [processors.ByteLevel(trim_offsets=True), bos_template("<|begin_of_text|>", llama3)]
    )

    def whole_words(definition):  # words that no merge reaches, for ignore_merges
        definition["model"]["ignore_merges"] = True
        vocabulary = definition["model"]["vocab"]
        for word in ["ĠÃľber", "!!", "Ġxyzzy", "wÃ¶rd"]:
            vocabulary.setdefault(word, len(vocabulary))

    yield name, changed(llama3, whole_words)

    name, qwen2 = train_bpe(texts, "qwen2", split(QWEN2), vocab, normalizer=normalizers.NFC())
    qwen2.add_tokens([added("<tool_call>", normalized=False), added("café-token", normalized=True)])
    yield name, qwen2

    digits = pre_tokenizers.Digits(individual_digits=True)
    pre_tokenizer = pre_tokenizers.Sequence([digits, byte_level(True)])
    yield train_bpe(texts, "smollm", pre_tokenizer, vocab)


def llama2_tokenizer(texts, vocab):
    """What conversion makes of a sentencepiece model: metaspace by normalizers, byte fallback."""
    tokenizer = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    byte_tokens = [f"<0x{b:02X}>" for b in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, show_progress=False, special_tokens=["<unk>", "<s>", "</s>", *byte_tokens],
        limit_alphabet=90,
    )  # fmt: skip
    tokenizer.train_from_iterator([t for t in texts if len(t) < 200], trainer)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = bos_template("<s>", tokenizer)

    def bytes_are_no_specials(definition):
        definition["added_tokens"] = definition["added_tokens"][:3]

    return "llama2", changed(tokenizer, bytes_are_no_specials)


def variant_tokenizers(base, llama2):
    """Every other step and flag that tokenizer.json can have, on a vocabulary that exists already."""

    def on(tokenizer, pre_tokenizer, **parts):
        copy = tokenizers.Tokenizer.from_str(tokenizer.to_str())
        copy.pre_tokenizer = pre_tokenizer
        for key, value in parts.items():
            setattr(copy, key, value)
        return copy

    for behavior in ["isolated", "removed", "merged_with_previous", "merged_with_next", "contiguous"]:
        for invert in [False, True]:
            split = pre_tokenizers.Split(Regex(r"\w|-"), behavior, invert)
            yield f"split-{behavior}-{invert}", on(
                base, pre_tokenizers.Sequence([split, byte_level(False)])
            )
        split = pre_tokenizers.Split("an", behavior)
        yield f"split-string-{behavior}", on(
            base, pre_tokenizers.Sequence([split, byte_level(False)])
        )
    properties = r"[\p{Lu}\p{Lt}\p{M}]+|[^\S\n]|\P{L}\d?|[\p{P}\p{S}]+|\p{Ll}{2}|[\p{^N}a]"
    yield "properties", on(base, pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(properties), "isolated"), byte_level(False)]
    ))  # fmt: skip
    yield "prefix-space", on(base, byte_level(True, prefix=True))
    digits = pre_tokenizers.Digits(individual_digits=False)
    yield "digit-runs", on(base, pre_tokenizers.Sequence([digits, byte_level(True)]))
    whitespace = pre_tokenizers.Whitespace()
    yield "whitespace", on(base, pre_tokenizers.Sequence([whitespace, byte_level(False)]))
    whitespace = pre_tokenizers.WhitespaceSplit()
    yield "whitespace-split", on(base, pre_tokenizers.Sequence([whitespace, byte_level(False)]))
    yield "no-decoder", changed(base, lambda definition: definition.update(decoder=None))

    def metaspace(definition):
        definition["normalizer"] = None

    for scheme in ["always", "first", "never"]:
        for split in [True, False]:
            yield f"metaspace-{scheme}-{split}", on(
                changed(llama2, metaspace),
                pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split),
                decoder=decoders.Metaspace(prepend_scheme=scheme),
            )

    def no_bytes(definition, fuse):
        definition["model"].update(byte_fallback=False, fuse_unk=fuse)

    yield "unk-fused", changed(llama2, lambda definition: no_bytes(definition, True))
    yield "unk-single", changed(llama2, lambda definition: no_bytes(definition, False))

    def some_bytes(definition):
        for byte in range(0xC0, 0xE4):
            definition["model"]["vocab"].pop(f"<0x{byte:02X}>")

    yield "some-bytes", changed(llama2, some_bytes)
    regex_steps = normalizers.Sequence(
        [normalizers.Strip(), normalizers.Replace(Regex(r"\s{2,}"), " "), normalizers.NFC()]
    )
    yield "regex-normalizer", on(base, byte_level(True), normalizer=regex_steps)
    flags = on(base, byte_level(True))
    flags.add_tokens([
        added("word", single_word=True), added("<mask>", lstrip=True, rstrip=True, normalized=False),
        added("wör", normalized=True), added("<|im_", normalized=False), added("  ", normalized=False),
        added("x0", lstrip=True), added("gard", single_word=True, normalized=False),
    ])  # fmt: skip
    flags.add_special_tokens([added("near", rstrip=True, normalized=False)])
    yield "added-flags", flags


def pattern_text():
    """A text in which every pattern of PATTERNS finds something."""
    return (
        "aabbccc 12345678 x\nab AB Ab éÉ a-b ka Kk\u212a s\u017f b]c {,2}b b{x b{x} I'LL we've\r\n\r\n  don't"
        " e\u0301 ŉ ß 日本語ひらカナ。《x》 नमस्ते 한국어 ½²Ⅻ٣ __init__(self, *args): 😀👍🏽\t\x1b\x07\x0b\x0c\x08 …  \u3000. a.b/c\n\nb"
    )


def code_points():
    """Both sides of every border between general categories or scripts, as far as Python knows."""
    kind = [
        (unicodedata.category(c), unicodedata.name(c, "").split(" ")[0])
        for c in map(chr, range(0x110000))
    ]
    newer = [0x0897, 0x1C89, 0xA7CB, 0xA7DC, 0x1E030, 0x1E08F, 0x10D40, 0x10EC2, 0x1B132, 0x1B155, 0x1CCF0,
             0x2EBF0, 0x2EE5D, 0x31350, 0x323AF, 0x11B00, 0x11B0A, 0x1F1AE, 0x1FAE9, 0x13440]  # fmt: skip
    borders = [i for i in range(1, 0x110000) if kind[i] != kind[i - 1]]
    chosen = {j for i in [*borders, *newer] for j in (i - 1, i, i + 1)} | set(range(0x250))
    return "".join(chr(i) for i in sorted(chosen) if i < 0x110000 and not 0xD800 <= i < 0xE000)


def set_tokenizers(base):
    """What a set matches is removed, so the ids that are left show the set."""
    for pattern in SETS:
        copy = tokenizers.Tokenizer.from_str(base.to_str())
        split = pre_tokenizers.Split(Regex(pattern), "removed")
        copy.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level(False)])
        yield f"set {pattern}", copy


def sentencepiece_models(texts, vocab):
    lines = [line for text in texts for line in text.split("\n") if line.strip()]
    settings = {
        "spm-bpe": {"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity",
                    "remove_extra_whitespaces": False, "split_digits": True,
                    "allow_whitespace_only_pieces": True},
        "spm-nfkc": {"model_type": "bpe", "byte_fallback": False, "user_defined_symbols": ["<mask>"]},
    }  # fmt: skip
    for name, options in settings.items():
        with tempfile.TemporaryDirectory() as folder:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(lines), model_prefix=f"{folder}/m", vocab_size=vocab,
                character_coverage=0.98, num_threads=1, minloglevel=2, hard_vocab_limit=False,
                **options,
            )  # fmt: skip
            yield name, Path(f"{folder}/m.model").read_bytes()


# ---------------------------------------------------------------------------------------------
# Comparison


def expected_of(folder, texts):
    """What the Python packages say, in the shape of tokenize_tool's output."""
    start = time.perf_counter()
    if (folder / "tokenizer.json").exists():
        tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_truncation()
        plain = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        seconds = time.perf_counter() - start
        special = [tokenizer.encode(text, add_special_tokens=True).ids for text in texts]
        decoded = [tokenizer.decode(ids, skip_special_tokens=False) for ids in plain]
        # not skip_special_tokens=True, which overlooks special tokens that a normalizer changes
        skipped = {i for i, t in tokenizer.get_added_tokens_decoder().items() if t.special}
        decoded_special = [
            tokenizer.decode([i for i in ids if i not in skipped], skip_special_tokens=False)
            for ids in special
        ]
        kind = f"tokenizers {tokenizers.__version__}"
    else:
        processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
        plain = [processor.encode(text) for text in texts]
        seconds = time.perf_counter() - start
        special = [[processor.bos_id(), *ids] for ids in plain]
        decoded = decoded_special = [processor.decode(ids) for ids in plain]
        kind = f"sentencepiece {sentencepiece.__version__}"
    return kind, {
        "plain": plain, "special": special, "decoded": decoded, "decoded_special": decoded_special,
        "seconds": seconds,
    }  # fmt: skip


def compare(tool, name, folder, texts):
    """Prints one line; returns whether everything is equal."""
    kind, expected = expected_of(folder, texts)
    with tempfile.TemporaryDirectory() as work:
        texts_path, out_path = Path(work) / "texts.json", Path(work) / "out.json"
        texts_path.write_text(json.dumps(texts, ensure_ascii=False), encoding="utf-8")
        done = subprocess.run([tool, folder, texts_path, out_path], capture_output=True, text=True)
        if done.returncode != 0:
            print(f"DIFFERENT {name}: the tool failed: {done.stderr.strip()}")
            return False
        got = json.loads(out_path.read_text(encoding="utf-8"))
    equal = True
    for key in ["plain", "special", "decoded", "decoded_special"]:
        wrong = [i for i in range(len(texts)) if got[key][i] != expected[key][i]]
        if not wrong:
            continue
        equal = False
        i = min(wrong, key=lambda i: len(texts[i]))
        print(f"DIFFERENT {name}: {key} of {len(wrong)} of {len(texts)} texts, shortest: {texts[i]!r}")
        print(f"    vqkit  {str(got[key][i])[:400]!r}\n    {kind}  {str(expected[key][i])[:400]!r}")
    if equal:
        size = sum(len(text.encode()) for text in texts)
        ids = sum(len(row) for row in got["plain"])
        print(
            f"equal {name}: {kind}, {len(texts)} texts, {size} bytes, {ids} ids; "
            f"vqkit {size / 1e6 / max(got['seconds'], 1e-9):.1f} MB/s, "
            f"Python {size / 1e6 / expected['seconds']:.1f} MB/s"
        )
    return equal


def save(folder, tokenizer):
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(tokenizer, bytes):
        (folder / "tokenizer.model").write_bytes(tokenizer)
    else:
        (folder / "tokenizer.json").write_text(tokenizer.to_str(pretty=False), encoding="utf-8")


def compare_all(arguments):
    maker = TextMaker(seed=20)
    texts = maker.segments(arguments.size)
    training = TextMaker(seed=21).segments(150_000)
    few = texts[: len(texts) // 12]
    equal = True
    with tempfile.TemporaryDirectory() as work:
        byte_levels = dict(byte_level_tokenizers(training, 2000))
        llama2 = llama2_tokenizer(training, 1000)
        large = [*byte_levels.items(), llama2, *sentencepiece_models(training, 2000)]
        small = list(variant_tokenizers(byte_levels["gpt2"], llama2[1]))
        for name, tokenizer in large + small:
            save(Path(work) / name, tokenizer)
        for i, (name, tokenizer) in enumerate(set_tokenizers(byte_levels["gpt2"])):
            save(Path(work) / f"set{i}", tokenizer)
            equal &= compare(arguments.tool, name, Path(work) / f"set{i}", [code_points()])
        for name, _ in large:
            equal &= compare(arguments.tool, name, Path(work) / name, texts)
        for name, _ in small:
            equal &= compare(arguments.tool, name, Path(work) / name, few)
    for path in arguments.text:
        content = path.read_bytes()[: arguments.size].decode("utf-8", errors="replace")
        texts += [content[: len(content) // 2], *content[len(content) // 2 :].splitlines(keepends=True)]
    for folder in arguments.tokenizer:
        equal &= compare(arguments.tool, str(folder), folder, texts)
    return 0 if equal else 1


def write_golden(folder):
    """Small tokenizers, a few hundred hard texts, and their ids."""
    maker = TextMaker(seed=22)
    texts = [""]
    for kind in maker.kinds:
        texts += [kind()[:40] for _ in range(14)]
    texts += [maker.segment(2, 3)[:50] for _ in range(80)]
    texts = list(dict.fromkeys(texts))
    training = TextMaker(seed=23).segments(60_000)
    simple = [kind() for kind in [maker.prose, maker.code, maker.numbers] for _ in range(200)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "texts.json").write_text(json.dumps(texts, ensure_ascii=False), encoding="utf-8")
    text = pattern_text()
    pieces = {
        pattern: [piece for piece, _ in pre_tokenizers.Split(Regex(pattern), "isolated").pre_tokenize_str(text)]
        for pattern in PATTERNS
    }
    (folder / "patterns.json").write_text(
        json.dumps({"text": text, "pieces": pieces}, ensure_ascii=False, indent=0), encoding="utf-8"
    )
    made = [
        *byte_level_tokenizers(training, 500), llama2_tokenizer(training, 550),
        next(sentencepiece_models(simple, 550)),
    ]  # fmt: skip
    for name, tokenizer in made:
        save(folder / name, tokenizer)
        kind, expected = expected_of(folder / name, texts)
        first = expected["special"][0]
        decoded = {
            str(i): text for i, text in enumerate(expected["decoded"]) if text != texts[i]
        }
        golden = {"made_by": kind, "special_of_empty": first, "plain": expected["plain"],
                  "decoded_differently": decoded}  # fmt: skip
        (folder / name / "golden.json").write_text(
            json.dumps(golden, ensure_ascii=False, separators=(",", ":")), encoding="utf-8"
        )
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tool", type=Path, help="the built tokenize_tool")
    parser.add_argument("--size", type=int, default=1_000_000, help="bytes of generated text")
    parser.add_argument("--tokenizer", type=Path, action="append", default=[], metavar="DIR",
                        help="also compare this folder's tokenizer.json or tokenizer.model")  # fmt: skip
    parser.add_argument("--text", type=Path, action="append", default=[], metavar="FILE",
                        help="also use this text, for the --tokenizer folders")  # fmt: skip
    parser.add_argument("--write-golden", type=Path, metavar="DIR")
    arguments = parser.parse_args()
    if arguments.write_golden:
        return write_golden(arguments.write_golden)
    if not arguments.tool:
        parser.error("--tool is missing")
    return compare_all(arguments)


if __name__ == "__main__":
    sys.exit(main())
