#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Short English stories from a grammar, for training and testing the tiny model in models/tiny.

Every story keeps its facts straight: names keep their pronouns, verbs agree with their subjects,
counts add up, and what was said at the start decides what may be said at the end. So a model that
has learned the grammar predicts most words well, and damage to its weights shows.

    scripts/grammar.py --seed 7 --kilobytes 200 > text.txt

The same seed gives the same text on every machine and Python version.
"""
import argparse
import random
import sys

GIRLS = ["Anna", "Mia", "Lucy", "Nora", "Emma", "Rose", "Clara", "Ivy"]
BOYS = ["Tom", "Ben", "Max", "Leo", "Jack", "Paul", "Hugo", "Finn"]
PLACES = ["the park", "the market", "the river", "the old mill", "the library", "the school",
          "the garden", "the harbor", "the forest", "the station", "the bakery", "the hill"]
THINGS = ["apple", "pear", "stone", "book", "coin", "shell", "button", "flower", "letter", "key",
          "ribbon", "egg", "candle", "lamp", "map", "nail"]
COLORS = ["red", "blue", "green", "yellow", "white", "brown", "black", "silver"]
SIZES = ["small", "big", "round", "heavy", "pretty", "old", "new", "shiny"]
ANIMALS = ["dog", "cat", "fox", "bird", "horse", "rabbit", "goat", "duck"]
SOUNDS = {"dog": "barked", "cat": "purred", "fox": "yelped", "bird": "sang", "horse": "neighed",
          "rabbit": "squeaked", "goat": "bleated", "duck": "quacked"}
HOMES = {"dog": "kennel", "cat": "basket", "fox": "den", "bird": "nest", "horse": "stable",
         "rabbit": "burrow", "goat": "shed", "duck": "pond"}
WEATHER = {"sunny": ("the sun was warm", "hat"), "rainy": ("the rain was cold", "umbrella"),
           "windy": ("the wind was strong", "scarf"), "snowy": ("the snow was deep", "coat")}
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
           "eleven", "twelve"]
FEELINGS = {"happy": "smiled", "sad": "cried", "tired": "yawned", "angry": "frowned"}
OTHER_THINGS = {"hungry": ("bread", "ate"), "thirsty": ("water", "drank")}


class Grammar:
    """Draws stories; holds nothing but the stream of random numbers."""

    def __init__(self, seed):
        # random() is the one method whose values Python promises to keep.
        self._random = random.Random(seed).random

    def below(self, n):
        return int(self._random() * n)

    def pick(self, items):
        return items[self.below(len(items))]

    def person(self, but=None):
        while True:
            girl = self.below(2) == 0
            name = self.pick(GIRLS if girl else BOYS)
            if name != but:
                return name, ("she", "her", "her") if girl else ("he", "him", "his")

    @staticmethod
    def some(count, thing):
        return f"{NUMBERS[count]} {thing}" + ("" if count == 1 else "s")

    @staticmethod
    def a(phrase):
        return ("an " if phrase[0] in "aeiou" else "a ") + phrase

    # --- kinds of stories -------------------------------------------------------------------------

    def counting(self):
        name, (he, him, his) = self.person()
        friend, (he2, _, _) = self.person(but=name)
        thing, color, place = self.pick(THINGS), self.pick(COLORS), self.pick(PLACES)
        had, found = 1 + self.below(6), 1 + self.below(6)
        total = had + found
        gave = 1 + self.below(total)
        left = total - gave
        one = f"{color} {thing}"
        text = (f"{name} had {self.some(had, one)}. At {place} {he} found "
                f"{NUMBERS[found]} more. Now {he} had {self.some(total, one)}. ")
        text += (f"\"Look, {friend}!\" said {name}. \"I have {NUMBERS[total]}!\" {friend} had none, so {name} gave "
                 f"{self.some(gave, one)} to {friend}. ")
        if left == 0:
            text += f"Then {name} had no {thing}s left, but {he} was happy."
        else:
            text += f"Then {name} had {self.some(left, one)} left, and {friend} had {NUMBERS[gave]}."
        return text

    def animal(self):
        name, (he, him, his) = self.person()
        animal, color, size = self.pick(ANIMALS), self.pick(COLORS), self.pick(SIZES)
        place = self.pick(PLACES)
        need = self.pick(sorted(OTHER_THINGS))
        food, did = OTHER_THINGS[need]
        return (f"One {self.pick(DAYS)} {name} went to {place}. There {he} saw {self.a(size)} "
                f"{color} {animal}. The {animal} was {need}. {name} gave the {animal} some {food}. "
                f"The {animal} {did} all the {food} and {SOUNDS[animal]}. Then the {color} {animal} "
                f"went home to its {HOMES[animal]}, and {name} went home to {his} mother.")

    def weather(self):
        name, (he, him, his) = self.person()
        kind = self.pick(sorted(WEATHER))
        clause, wear = WEATHER[kind]
        first = self.below(7)
        place = self.pick(PLACES)
        return (f"On {DAYS[first]} it was {kind}. Because {clause}, {name} took {his} {wear} and "
                f"walked to {place}. At {place} {he} lost {his} {wear}. On {DAYS[(first + 1) % 7]} "
                f"{he} walked to {place} again and found the {wear}. \"Here is my {wear}!\" {he} "
                f"said.")

    def feeling(self):
        name, (he, him, his) = self.person()
        friend, (he2, him2, _) = self.person(but=name)
        before = self.pick(["sad", "tired", "angry"])
        thing, size = self.pick(THINGS), self.pick(SIZES)
        return (f"{name} was {before}. {he.capitalize()} {FEELINGS[before]}. \"Why are you "
                f"{before}, {name}?\" asked {friend}. \"I am {before} because I cannot find my "
                f"{size} {thing},\" said {name}. {friend} looked for the {thing} and found it near "
                f"{self.pick(PLACES)}. {friend} gave the {size} {thing} to {name}. Now {name} was "
                f"happy. {he.capitalize()} {FEELINGS['happy']}.")

    def agreement(self):
        thing = self.pick(THINGS)
        count = 1 + self.below(12)
        color, other = self.pick(COLORS), self.pick(COLORS)
        place = self.pick(PLACES)
        is_, it, its = ("is", "it", "It") if count == 1 else ("are", "them", "They")
        name, (he, him, his) = self.person()
        text = (f"There {is_} {self.some(count, thing)} near {place}. {its} {is_} {color}. {name} "
                f"{'likes' if count != 1 else 'wants'} {it}. ")
        if other == color:
            text += f"{he.capitalize()} thinks that {color} is the best color."
        else:
            text += f"{he.capitalize()} paints {it} {other}. Now {its.lower()} {is_} not {color} but {other}."
        return text

    def sums(self):
        parts = []
        for _ in range(2 + self.below(3)):
            a, b = self.below(50), self.below(50)
            if self.below(2):
                parts.append(f"{a} + {b} = {a + b}")
            else:
                parts.append(f"{max(a, b)} - {min(a, b)} = {max(a, b) - min(a, b)}")
        name, (he, _, his) = self.person()
        return f"{name} does {his} sums: {', '.join(parts)}. {he.capitalize()} is done."

    def days(self):
        name, (he, him, his) = self.person()
        first, steps = self.below(7), 3 + self.below(3)
        places = [self.pick(PLACES) for _ in range(steps)]
        text = " ".join(f"On {DAYS[(first + i) % 7]} {name if i == 0 else he} went to {place}."
                        for i, place in enumerate(places))
        ask = self.below(steps)
        return (f"{text} Where was {name} on {DAYS[(first + ask) % 7]}? {he.capitalize()} was at "
                f"{places[ask]}.")

    def story(self):
        kinds = [self.counting, self.counting, self.animal, self.animal, self.weather, self.feeling,
                 self.agreement, self.sums, self.days]
        return self.pick(kinds)()

    def text(self, size):
        """Stories, a blank line after each, at most `size` bytes of them."""
        parts, total = [], 0
        while True:
            story = self.story() + "\n\n"
            if total + len(story) > size:
                return "".join(parts)
            parts.append(story)
            total += len(story)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kilobytes", type=int, default=200)
    arguments = parser.parse_args()
    sys.stdout.write(Grammar(arguments.seed).text(arguments.kilobytes * 1024))


if __name__ == "__main__":
    main()
