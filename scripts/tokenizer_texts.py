# SPDX-License-Identifier: Apache-2.0
"""Texts that a tokenizer may be given: prose, code, digits, CJK, emoji, combining marks, odd white space, control
characters, strings of special tokens. Made from a seed; nothing is downloaded."""

import random

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<tool_call>"]

NOUNS = "river engine letter morning village theory signal garden captain number market window"
VERBS = "carries follows measures forgets repairs answers crosses divides remembers doesn't they've"
ADJECTIVES = "quiet narrow electric ordinary broken distant careful hollow naïve café-like Über-große"
PLACES = "Zürich Łódź Reykjavík Αθήνα Москва القاهرة ירושלים दिल्ली 東京 서울 กรุงเทพ Hà Nội"
EMOJI = "😀 🎉 👍🏽 👩‍👩‍👧‍👦 🇨🇭 🏳️‍🌈 ❤️ 1️⃣ ✈ 🦜 🫠 🪿"
SPACES = " \t\n\r\v\f\x85\xa0\u1680\u180e\u2002\u2009\u200a\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"
MARKS = "\u0300\u0301\u0302\u0308\u0323\u0327\u0331\u0345\u05b0\u064b\u093c\u094d\u0e49\u20dd\u3099"


class TextMaker:
    """Random texts of many kinds, the same ones for the same seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.kinds = [
            self.prose, self.prose, self.prose, self.code, self.numbers, self.cjk, self.emoji,
            self.marks, self.spaces, self.controls, self.specials, self.any_unicode,
            self.contractions, self.punctuation, self.repeats, self.byte_like,
        ]  # fmt: skip

    def pick(self, text):
        return self.random.choice(text.split() if isinstance(text, str) else text)

    def many(self, low, high, make, joint=""):
        return joint.join(make() for _ in range(self.random.randint(low, high)))

    def prose(self):
        def sentence():
            words = ["The", self.pick(ADJECTIVES), self.pick(NOUNS), self.pick(VERBS), "a"]
            words += [self.pick(NOUNS), "near", self.pick(PLACES) + self.pick(". , ! ? ; …")]
            return " ".join(words)

        return self.many(1, 4, sentence, " ")

    def code(self):
        name = self.pick(NOUNS) + self.pick(["_", "", "Count", "2"])
        indent = self.pick(["    ", "\t", "  "]) * self.random.randint(0, 3)
        return self.pick([
            f"{indent}for (int i = 0; i < {name}; ++i) {{ {name}[i] += 0x{self.random.getrandbits(32):08X}; }}\n",
            f"{indent}def {name}(self, *args, **kwargs):\r\n{indent}\treturn f\"{{{name}!r}}\"  # TODO?\n\n",
            f"{indent}<a href='https://example.org/{name}?q=%20&x=1#top'>{name}</a>\n",
            f"{indent}SELECT * FROM {name} WHERE id >= {self.random.randint(0, 99999)};--\n",
            f"{indent}x->{name} = (a && !b) || ~c ^ 1.5e-{self.random.randint(1, 30)}f; // {name}\\n\n",
        ])  # fmt: skip

    def numbers(self):
        digits = ["0123456789", "٠١٢٣٤٥٦٧٨٩", "०१२३४५६७८९", "½²³①ⅧⅫ〇௧", "𝟘𝟙𝟚"]
        alphabet = self.pick(digits[:1] * 4 + digits)
        number = self.many(1, 12, lambda: self.random.choice(alphabet))
        return self.pick(["", " ", "-", "$"]) + number + self.pick(["", ".5", "%", ",000", "th "])

    def cjk(self):
        low, high = self.random.choice([
            (0x4E00, 0x9FFF), (0x3041, 0x30FF), (0xAC00, 0xD7A3), (0x3400, 0x4DBF),
            (0x20000, 0x2A6DF), (0x31350, 0x323AF), (0xFF01, 0xFF5E), (0x3000, 0x303F),
        ])  # fmt: skip
        return self.many(1, 20, lambda: chr(self.random.randint(low, high)))

    def emoji(self):
        return self.many(1, 6, lambda: self.pick(EMOJI), self.pick(["", " "][:]) or "")

    def marks(self):
        def cluster():
            base = self.random.choice("aeiouAEnsLк한ᄀが्เक")
            return base + self.many(0, 4, lambda: self.random.choice(MARKS))

        return self.many(1, 8, cluster)

    def spaces(self):
        run = self.random.choice([" ", "\n", "\t", SPACES])
        return self.many(1, 12, lambda: self.random.choice(run)) + self.pick(["", "x", "—", "9"])

    def controls(self):
        return self.many(1, 6, lambda: chr(self.random.randint(0, 0x1F)) + self.pick("a \x7f 7"))

    def specials(self):
        return self.pick(["", " ", "a", "\n", "<"]) + self.pick(
            [*SPECIALS, "<|im_start", "<s>", "</s>", "<unk>", "<0x41>", "<mask>", "wörd", "word"]
        ) + self.pick(["", " ", "b", "  ", ">"])

    def any_unicode(self):
        def point():
            top = self.random.choice([0x300, 0x3000, 0x10000, 0x20000, 0x110000])
            value = self.random.randrange(top)
            return "\ufffd" if 0xD800 <= value < 0xE000 else chr(value)

        return self.many(1, 10, point)

    def contractions(self):
        return self.pick(["I", "we", "don", "É", "", "9", " "]) + self.pick(
            "'s 'S 't 'T 're 'RE 'Ve 'm 'LL 'll 'd 'ſ ’s 'x ''s 's'"
        ) + self.pick(["", " ", "x"])

    def punctuation(self):
        return self.many(1, 9, lambda: self.random.choice("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~«»–—•€§"))

    def repeats(self):
        return self.random.choice("a= -x0。\u0301") * self.random.randint(2, 90)

    def byte_like(self):
        """The byte-level alphabet and the metaspace, which must not be confused with their meaning."""
        return self.many(1, 6, lambda: self.random.choice("ĠĊċ▁Ã¢Ł  ĀŃ"))

    def segment(self, low, high):
        return self.many(low, high, lambda: self.random.choice(self.kinds)())

    def segments(self, size):
        """Texts of about `size` bytes in all: mostly lines, some long ones."""
        out, total = [""], 0
        while total < size:
            parts = self.random.choice([1, 1, 2, 4, 8, 300])
            out.append(self.segment(1, parts))
            total += len(out[-1].encode())
        return out
