"""Everything that is wrong with one rule of a profile, as far as the rule alone tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from curator.anonymize.decision import Action
from curator.anonymize.fitting import LONGEST
from curator.anonymize.fitting import suits as suits_vr
from curator.anonymize.protected import RULED_BY_OPTION, forbidden, suited, suits
from curator.anonymize.selector import (
    ByPrivateTag,
    ByTag,
    ByVr,
    Selector,
    creator_selector,
    keyword_selector,
    tag_selector,
    vr_selector,
)
from curator.conditions import compile_pattern, number
from curator.dicom.charset import ASCII
from curator.dicom.element import STRING_VRS
from curator.dicom.encode import Encoding, encode_values
from curator.dicom.errors import UnsupportedValue
from curator.dicom.tags import Tag, dictionary_vr
from curator.template import parse_template

if TYPE_CHECKING:
    from curator.anonymize.profile import Rule

Problem = tuple[str, str]
"""The field in JSON that is wrong, empty for the rule as a whole; and why."""

_SELECTORS: dict[str, tuple[str, Callable[[str], Selector]]] = {
    "tag": ("Tag", tag_selector),
    "vr": ("VR", vr_selector),
    "private_creator": ("PrivateCreator", creator_selector),
    "keyword": ("Keyword", keyword_selector),
}

_PARAMETERS = {
    "value": "Value",
    "scheme": "Scheme",
    "prefix": "Prefix",
    "length": "Length",
    "bins": "Bins",
    "above": "Above",
    "to": "To",
    "digits": "Digits",
    "pattern": "Pattern",
    "with_": "With",
    "table": "Table",
    "otherwise": "Otherwise",
}

_TAKES: dict[Action, tuple[str, ...]] = {
    Action.REPLACE: ("value",),
    Action.PSEUDONYM: ("scheme", "prefix", "length", "table", "otherwise"),
    Action.GENERALIZE: ("bins", "above", "to", "digits"),
    Action.HASH: ("length",),
    Action.REGEX: ("pattern", "with_", "otherwise"),
    Action.LOOKUP: ("table", "otherwise"),
}

_NEEDS: dict[Action, tuple[str, ...]] = {
    Action.REPLACE: ("value",),
    Action.REGEX: ("pattern", "with_"),
    Action.LOOKUP: ("table",),
}

#: Value representations of what each kind of generalization is for.
_GENERALIZED = {
    "bins": frozenset({"AS", "DS", "IS", "FL", "FD", "SL", "SS", "SV", "UL", "US", "UV"}),
    "to": frozenset({"DA", "DT"}),
    "digits": frozenset({"SH", "LO", "ST", "LT", "UC", "UT"}),
}

#: Longest pseudonym by value representation (PS3.5 6.2); in PN it is a component.
_ROOM = {**LONGEST, "PN": 64}

_DEFAULT_LENGTHS = {"Text": 16, "Number": 10}

_EXPLICIT = Encoding(explicit=True, charset=ASCII)


def problems_of(rule: Rule) -> list[Problem]:
    """Return every problem of a rule; none where it is right.

    Parameters
    ----------
    rule : Rule
        Its fields are of the right types already.
    """
    if rule.pixels is not None:
        return list(_beside_pixels(rule))
    problems = [*_selection(rule), *_action(rule)]
    if not problems:
        problems += _together(rule)
    return problems


def _given(rule: Rule, names: dict[str, str]) -> list[str]:
    return [name for name in names if getattr(rule, name) is not None]


def _beside_pixels(rule: Rule) -> Iterator[Problem]:
    selectors = {name: alias for name, (alias, _) in _SELECTORS.items()}
    others = {**selectors, "action": "Action", **_PARAMETERS}
    for name in _given(rule, others):
        yield others[name], 'does not go with "Pixels"; write two rules'


def _selection(rule: Rule) -> Iterator[Problem]:
    given = [name for name in _SELECTORS if getattr(rule, name) is not None]
    if len(given) != 1:
        yield "", 'needs exactly one of "Tag", "VR", "PrivateCreator", "Keyword", or "Pixels"'
    for name in given:
        alias, parse = _SELECTORS[name]
        try:
            parse(getattr(rule, name))
        except ValueError as error:
            yield alias, str(error)


def _action(rule: Rule) -> Iterator[Problem]:
    action = rule.action
    if action is None:
        yield "Action", "this field is required"
        return
    if action in RULED_BY_OPTION:
        yield "Action", f"{action} is what an option does; a rule cannot ask for it"
        return
    takes = _TAKES.get(action, ())
    for name in _given(rule, _PARAMETERS):
        if name not in takes:
            yield _PARAMETERS[name], f"is no parameter of {action}"
    for name in _NEEDS.get(action, ()):
        if getattr(rule, name) is None:
            yield _PARAMETERS[name], f"{action} needs it"
    yield from _PARAMETER_CHECKS.get(action, _nothing)(rule)


def _nothing(_rule: Rule) -> Iterator[Problem]:
    yield from ()


def _replace(rule: Rule) -> Iterator[Problem]:
    values = rule.value if isinstance(rule.value, tuple) else (rule.value,)
    texts = [value for value in values if isinstance(value, str)]
    if rule.value == () or not all(text.strip() for text in texts):
        yield "Value", "an empty value is written by Empty"
    for text in texts:
        yield from _tried("Value", parse_template, text)


def _pseudonym(rule: Rule) -> Iterator[Problem]:
    looked_up = rule.scheme is not None and rule.scheme.value == "Lookup"
    if looked_up and rule.table is None:
        yield "Table", "the scheme Lookup needs it"
    if looked_up and rule.length is not None:
        yield "Length", "the scheme Lookup takes what the table has"
    if not looked_up:
        for name in _given(rule, {"table": "", "otherwise": ""}):
            yield _PARAMETERS[name], "is for the scheme Lookup"
    if rule.prefix is not None and not (rule.prefix.isprintable() and "\\" not in rule.prefix):
        yield "Prefix", "takes printable characters without backslash"


def _generalize(rule: Rule) -> Iterator[Problem]:
    kinds = [rule.bins is not None or rule.above is not None, rule.to is not None]
    kinds.append(rule.digits is not None)
    if sum(kinds) != 1:
        yield "", 'Generalize needs exactly one of "Bins" (and "Above"), "To", "Digits"'


def _regex(rule: Rule) -> Iterator[Problem]:
    if rule.pattern is None:
        return
    try:
        pattern = compile_pattern(rule.pattern)
    except ValueError as error:
        yield "Pattern", str(error)
        return
    if rule.with_ is not None:
        yield from _tried("With", lambda text: _substituted(pattern, text), rule.with_)


def _substituted(pattern: Any, text: str) -> None:
    """Raise where a text refers to groups that the pattern has not, or ends in a backslash."""
    position = 0
    while (position := text.find("\\", position)) >= 0:
        after = text[position + 1 : position + 2]
        if after != "\\" and not ("0" <= after <= "9" and int(after) <= pattern.groups):
            raise ValueError(rf"a backslash is written \\, a group \1 to \{pattern.groups}")
        position += 2


_PARAMETER_CHECKS: dict[Action, Callable[[Rule], Iterator[Problem]]] = {
    Action.REPLACE: _replace,
    Action.PSEUDONYM: _pseudonym,
    Action.GENERALIZE: _generalize,
    Action.REGEX: _regex,
}


def _together(rule: Rule) -> Iterator[Problem]:
    """Yield what is wrong with a right selector and a right action together."""
    selector, action = _selector(rule), rule.action
    if action is None:
        return
    if isinstance(selector, ByTag) and (why := forbidden(selector.tag, action)):
        yield "Tag", why
        return
    vr = _known_vr(selector)
    if vr is None:
        return
    if not suits(action, vr):
        yield "Action", f"{action} is for {suited(action)}, not for {vr}"
        return
    yield from _parameters_for(rule, selector, vr)


def _selector(rule: Rule) -> Selector:
    for name, (_, parse) in _SELECTORS.items():
        if (text := getattr(rule, name)) is not None:
            return parse(text)
    raise ValueError("a rule of elements needs a selector")


def _known_vr(selector: Selector) -> str | None:
    """Return the value representation of all elements of a selector, if there is one."""
    if isinstance(selector, ByVr):
        return selector.vr
    if isinstance(selector, ByTag | ByPrivateTag):
        vr = dictionary_vr(selector.tag)
        return None if vr == "UN" else vr
    return None


def _parameters_for(rule: Rule, selector: Selector, vr: str) -> Iterator[Problem]:
    if rule.action is Action.GENERALIZE:
        for kind, vrs in _GENERALIZED.items():
            given = rule.above if kind == "bins" and rule.bins is None else getattr(rule, kind)
            if given is not None and vr not in vrs:
                yield _PARAMETERS[kind], f"is for {', '.join(sorted(vrs))}, not for {vr}"
    if rule.action is Action.PSEUDONYM:
        yield from _length(rule, vr)
    if rule.action is Action.REPLACE and isinstance(selector, ByTag):
        yield from _constants(rule, selector.tag, vr)


def _length(rule: Rule, vr: str) -> Iterator[Problem]:
    room, prefix = _ROOM.get(vr), rule.prefix or ""
    scheme = "Text" if rule.scheme is None else rule.scheme.value
    length = len(prefix) + (rule.length or _DEFAULT_LENGTHS.get(scheme, 1))
    if room is not None and length > room:
        where = "Prefix" if rule.length is None else "Length"
        yield where, f"prefix and pseudonym are {length} characters, {vr} has {room}"


def _constants(rule: Rule, tag: Tag, vr: str) -> Iterator[Problem]:
    """Yield what no value of an element may be; what comes from templates is seen later."""
    values = rule.value if isinstance(rule.value, tuple) else (rule.value,)
    templates = [parse_template(str(value)) for value in values]
    texts = ["".join(map(str, one.parts)).strip() for one in templates if not one.paths]
    if vr in STRING_VRS:
        wrong = not all(suits_vr(vr, text) for text in texts)
    else:
        wrong = not all(_is_number(tag, vr, text) for text in texts)
    if wrong:
        yield "Value", f"is too long for {vr}, or not of its form (PS3.5 6.2)"


def _is_number(tag: Tag, vr: str, text: str) -> bool:
    found = number(text)
    if found is None or not (found.is_integer() or vr in ("FL", "FD")):
        return False
    try:
        encode_values(tag, vr, found if vr in ("FL", "FD") else int(found), _EXPLICIT)
    except UnsupportedValue:
        return False
    return True


def _tried(place: str, check: Callable[[str], object], text: str) -> Iterator[Problem]:
    try:
        check(text)
    except ValueError as error:
        yield place, str(error)
