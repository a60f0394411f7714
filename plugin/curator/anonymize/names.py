"""Find the names of persons in folded text, in every order and however they are separated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from curator.anonymize.folding import folded, forms
from curator.anonymize.vocabulary import PARTICLES, TITLES, VOCABULARY

_GROUPS = "="
_NAMED_COMPONENTS = 3
"""Family, given and middle name; prefix and suffix follow (PS3.5 6.2.1.1)."""

_LETTERS = re.compile(r"[^\W\d_]+")
_PARTS = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-Z])|[\W\d_]+")
_APOSTROPHES = re.compile("['’ʼ`´\\-‐‑]")  # noqa: RUF001
_NEAR = re.compile(r"[\W_]{0,4}")
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)
"""Scripts that are written without spaces between words, Hangul decomposed."""

_ENDINGS = re.compile("[аеиоуыэюяьмхв]{1,3}$")
_CYRILLIC_STEM = 4

_LATIN_ENDINGS = re.compile("(?:owi|ovi|ego|emu|em|ej|ie|om|ou|[aeiouy])$")
_LATIN_STEM = 5
"""Names are declined in Slavic languages; shorter stems are those of other words as well."""

_LONG_VOWELS = re.compile("ou|oo|uu|oh(?![aeiou])", re.IGNORECASE)
"""What is one letter in another romanization of Japanese: ``Tarou`` and ``Taro``."""

_SHORTEST_WORD = 3
"""A shorter component is a name only beside another one of the same person."""

_LONGEST_BY_CHANCE = 4

_ABBREVIATED = (
    "ap pa ct mr us nm pt cr dx dr mg xa rf io es ml cc iv im iq ir se ge te tr ti fa fl fe ph ac "
    "lt rt ll rl ra la lv rv ed es st td sd ms mm cm ml kg mg mv kv ma hz hu kt pd re in at to is "
    "on we he me so or if as by my up go"
)
_ABBREVIATIONS = frozenset(_ABBREVIATED.split())
"""Words of two letters that a text of radiology has without meaning anybody."""


@dataclass(frozen=True, slots=True)
class Token:
    """A run of letters of a folded text."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Person:
    """A name, taken apart and folded.

    Parameters
    ----------
    parts : frozenset of str
        Every word of family, given and middle name.
    attached : frozenset of str
        What belongs to a name where it stands beside one: its words, initials, titles.
    """

    parts: frozenset[str]
    attached: frozenset[str]


@dataclass(frozen=True, slots=True)
class Names:
    """What to look for.

    Parameters
    ----------
    words : frozenset of str
        Folded words each of which names somebody.
    stems : frozenset of str
        Their stems, in Cyrillic script.
    latin_stems : frozenset of str
        Those in Latin script.
    runs : tuple of str
        Folded names in scripts without spaces, longest first.
    spelled : frozenset of str
        The words as they stand, for who looks for them in other encodings.
    persons : tuple of Person
        Whose parts belong together.
    """

    words: frozenset[str] = frozenset()
    stems: frozenset[str] = frozenset()
    latin_stems: frozenset[str] = frozenset()
    runs: tuple[str, ...] = ()
    spelled: frozenset[str] = frozenset()
    persons: tuple[Person, ...] = field(default=())

    def found(self, text: str) -> Iterator[tuple[int, int, bool]]:
        """Yield where names are in a folded text.

        Yields
        ------
        start, end : int
            Where.
        certain : bool
            Whether it is more than a single word that may be there by chance.
        """
        for run in self.runs:
            yield from ((at, at + len(run), True) for at in _occurrences(run, text))
        tokens = [Token(match[0], *match.span()) for match in _LETTERS.finditer(text)]
        named = self._named(tokens, text)
        for first, last in _stretches(sorted(named)):
            parts = {tokens[index].text for index in range(first, last + 1)}
            certain = any(index in named and named[index] for index in range(first, last + 1))
            certain = certain or any(len(person.parts & parts) > 1 for person in self.persons)
            yield tokens[first].start, _end(tokens[last], text), certain

    def _named(self, tokens: list[Token], text: str) -> dict[int, bool]:
        """Return the indices of tokens that are of a name, and whether each is certain alone."""
        named = {
            index: token.text not in VOCABULARY and _is_word_apart(token, text)
            for index, token in enumerate(tokens)
            if self._is_word(token.text)
        }
        for index, token in enumerate(tokens):
            if index not in named and self._is_inflected(token.text):
                named[index] = False
        for index, (one, other) in enumerate(pairwise(tokens)):
            if not _near(one, other, text):
                continue
            if one.text + other.text in self.words:
                named |= {index: True, index + 1: True}
            elif any(_together(person, one.text, other.text) for person in self.persons):
                named |= {index: named.get(index, False), index + 1: named.get(index + 1, False)}
        return self._with_attached(named, tokens, text)

    def _with_attached(
        self, named: dict[int, bool], tokens: list[Token], text: str
    ) -> dict[int, bool]:
        attached = frozenset().union(*(person.attached for person in self.persons))
        for step, order in ((1, sorted(named)), (-1, sorted(named, reverse=True))):
            for index in order:
                one, other = index, index + step
                while 0 <= other < len(tokens) and other not in named:
                    before, after = sorted((one, other))
                    near = _near(tokens[before], tokens[after], text)
                    if not (near and _fits(tokens[other], attached, text)):
                        break
                    named[other] = False
                    one, other = other, other + step
        return named

    def _is_word(self, text: str) -> bool:
        if text in self.words:
            return True
        if len(text) > _SHORTEST_WORD + 1 and text[-1] == "s" and text[:-1] in self.words:
            return True  # a genitive
        return bool(self.stems) and _stem(text) in self.stems

    def _is_inflected(self, text: str) -> bool:
        return (
            bool(self.latin_stems)
            and _latin_stem(text) in self.latin_stems
            and text not in VOCABULARY
        )


def names_of(names: Iterable[str]) -> Names:
    """Return what to look for to find any of some names (PN)."""
    words: set[str] = set()
    spelled: set[str] = set()
    runs: set[str] = set()
    persons: dict[Person, None] = {}
    for name in names:
        groups = name.split(_GROUPS)
        if len(groups) > 1:
            groups.append(_LONG_VOWELS.sub(lambda match: match[0][0], groups[0]))
        for group in groups:
            components = group.split("^")
            named = [_split(text) for text in components[:_NAMED_COMPONENTS]]
            named = [[w for w in part if forms(w).isdisjoint(TITLES)] for part in named]
            runs |= _runs(named)
            spaced = [[word for word in part if not _UNSPACED.search(word)] for part in named]
            words |= _words(spaced, components[:_NAMED_COMPONENTS])
            spelled |= {word for part in spaced for word in part}
            if any(spaced):
                persons[_person(spaced, components[_NAMED_COMPONENTS:])] = None
    stems = frozenset(stem for word in words if (stem := _stem(word)))
    ordered = tuple(sorted(runs, key=len, reverse=True))
    latin = frozenset(stem for word in spelled if (stem := _latin_stem(folded(word).text)))
    return Names(frozenset(words), stems, latin, ordered, frozenset(spelled), tuple(persons))


def _split(component: str) -> list[str]:
    return [word for word in _PARTS.split(component) if word]


def _words(parts: list[list[str]], components: list[str]) -> set[str]:
    """Return what names somebody alone: words, and what is written together as well as apart."""
    whole = [_APOSTROPHES.sub("", text) for text in components]
    alone = [word for text in whole for word in re.findall(r"[^\W\d_]+", text)]
    alone += [word for part in parts for word in part]
    firsts = [part[0] for part in parts if part]
    alone += ["".join(firsts[:2]), "".join(firsts[1::-1])] if len(firsts) > 1 else []
    alone += ["".join(part) for part in parts]
    found = {form for word in alone if not _UNSPACED.search(word) for form in forms(word)}
    long = {word for word in found if len(word) >= _SHORTEST_WORD}
    family = {form for word in parts[0] for form in forms(word)} if parts else set()
    short = {word for word in family if len(word) == _SHORTEST_WORD - 1} - _ABBREVIATIONS
    return (long | short) - PARTICLES - TITLES


def _person(parts: list[list[str]], affixes: list[str]) -> Person:
    words = {form for part in parts for word in part for form in forms(word)}
    initials = {word[0] for word in words}
    around = {form for text in affixes for word in _split(text) for form in forms(word)}
    return Person(frozenset(words), frozenset(words | initials | around))


def _runs(parts: list[list[str]]) -> set[str]:
    """Return names in scripts without spaces: components of two and more, and all of them."""
    joined = ["".join(word for word in part if _UNSPACED.search(word)) for part in parts]
    given = [text for text in joined if text]
    candidates = [text for text in given if len(text) > 1]
    for separator in ("", " ", "^", "・", ", "):
        candidates += [separator.join(given), separator.join(reversed(given))]
    found = {form for text in candidates for form in forms(text)}
    return {run for run in found if len(_LETTERS.sub("", run)) < len(run) and len(run) > 1}


def _occurrences(run: str, text: str) -> Iterator[int]:
    at = text.find(run)
    while at >= 0:
        yield at
        at = text.find(run, at + len(run))


def _end(token: Token, text: str) -> int:
    """Return where a name ends that this is the last word of; an initial takes its period along."""
    return token.end + (len(token.text) == 1 and text[token.end : token.end + 1] == ".")


def _near(one: Token, other: Token, text: str) -> bool:
    return _NEAR.fullmatch(text, one.end, other.start) is not None


def _is_word_apart(token: Token, text: str) -> bool:
    """Tell whether a name is no chance: letters between digits may be those of a pseudonym."""
    if len(token.text) > _LONGEST_BY_CHANCE:
        return True
    around = text[max(0, token.start - 1) : token.start] + text[token.end : token.end + 1]
    return len(token.text) >= _SHORTEST_WORD and not any(c.isdigit() for c in around)


def _fits(token: Token, attached: frozenset[str], text: str) -> bool:
    """Tell whether a neighbor of a name belongs to it; the T of T2 and the C of C-arm do not."""
    if token.text not in attached:
        return False
    around = text[max(0, token.start - 1) : token.start] + text[token.end : token.end + 1]
    return len(token.text) >= _SHORTEST_WORD or not any(c.isdigit() or c in "-/" for c in around)


def _together(person: Person, one: str, other: str) -> bool:
    """Tell whether two neighbors are parts of one name, or one part and an initial."""
    if one == other or one in PARTICLES or other in PARTICLES:
        return False
    initials = {part[0] for part in person.parts}
    both = {one, other}
    known = both & person.parts
    rest = both - known
    return len(known) > 1 or (
        len(known) == 1
        and all(word in initials for word in rest)
        and any(len(word) > 1 for word in known)
        and known.isdisjoint(_ABBREVIATIONS)
    )


def _stretches(indices: list[int]) -> Iterator[tuple[int, int]]:
    """Yield first and last of each run of consecutive numbers."""
    start = previous = None
    for index in indices:
        if start is None or previous is None or index > previous + 1:
            if start is not None and previous is not None:
                yield start, previous
            start = index
        previous = index
    if start is not None and previous is not None:
        yield start, previous


def _stem(word: str) -> str:
    """Return the stem of a word in Cyrillic script, whose names are declined; else nothing."""
    if not "а" <= word[-1:] <= "я":  # noqa: RUF001
        return ""
    stem = _ENDINGS.sub("", word)
    return stem if len(stem) >= _CYRILLIC_STEM else ""


def _latin_stem(word: str) -> str:
    """Return a word in Latin script without what declines it; nothing where too little is left."""
    stem = _LATIN_ENDINGS.sub("", word) if word.isascii() else ""
    return stem if len(stem) >= _LATIN_STEM else ""
