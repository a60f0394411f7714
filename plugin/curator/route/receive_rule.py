"""Rules at reception, as they are written: what is accepted, rejected or changed on its way in.

::

    {"Name": "screenshots", "If": {"Tag": "Modality", "In": ["SC", "OT"]},
     "Then": {"Reject": {"Dimse": "0x0124", "Reason": "no screenshots"}}}
    {"Name": "site", "If": {"Source": {"Origin": "DicomProtocol"}},
     "Then": [{"Set": {"InstitutionName": "North"}}, {"Remove": ["PatientComments"]}]}

What the SDK lets us know, and when, is behind every restriction here: see :mod:`.reception`.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from curator.conditions import parse_element
from curator.dicom.charset import UTF_8_TERM, charset_of
from curator.dicom.edits import Drop, Edits
from curator.dicom.element import NUMBER_CODES, STRING_VRS
from curator.dicom.encode import Encoding, encode_values
from curator.dicom.errors import TagError
from curator.dicom.tags import (
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    Path,
    PrivateTag,
    Tag,
    dictionary_vr,
)
from curator.models import InvalidModel, Model, nearest, validate
from curator.route.condition import RuleCondition
from curator.route.problem import Location, Problem, refuse
from curator.route.rule import MAX_RULES, RuleName, RulePriority
from curator.template import Template, parse_template

Table = Mapping[str, str]
"""New values by old ones."""

Scalar = StrictStr | StrictInt | StrictFloat

Values = Scalar | Annotated[tuple[Scalar, ...], Field(strict=False)]

#: C-STORE statuses by which a sender sees that the instance was not stored (PS3.4 B.2.3, PS3.7 C).
REFUSALS = frozenset(
    {0x0110, 0x0111, 0x0112, 0x0117, 0x0122, 0x0124, 0x0210, 0x0211, 0x0212}
    | set(range(0xA700, 0xA800))
    | set(range(0xA900, 0xAA00))
    | set(range(0xC000, 0xD000))
)

#: C-STORE statuses that a sender takes for a success.
SUCCESSES = frozenset({0x0000, 0xB000, 0xB006, 0xB007})

#: Refused: not authorized (PS3.7 C.5.22); senders do not try again.
NOT_AUTHORIZED = 0x0124

_STUDY_INSTANCE_UID = Tag(0x0020000D)
_SERIES_INSTANCE_UID = Tag(0x0020000E)

#: Which series an instance is in, and which instance it is.
IDENTITY = frozenset({_STUDY_INSTANCE_UID, _SERIES_INSTANCE_UID, SOP_INSTANCE_UID})

_UNICODE = Encoding(explicit=True, charset=charset_of(UTF_8_TERM.encode("ascii")))

_STATUS = re.compile(r"(?:0[xX])?([0-9A-Fa-f]{4})")


class NotInTable(StrEnum):
    """What becomes of an instance with a value that a table does not have."""

    KEEP = "Keep"
    REJECT = "Reject"


def _status(value: object) -> object:
    """Read a status as people write it, in hexadecimal."""
    if isinstance(value, str):
        match = _STATUS.fullmatch(value)
        if match is None:
            raise ValueError('a status is a number, or four hexadecimal digits as in "0xA700"')
        value = int(match[1], 16)
    if isinstance(value, int) and value not in REFUSALS | SUCCESSES:
        raise ValueError(
            "is no status of C-STORE: 0x0110, 0x0122, 0x0124, 0xA7xx, 0xA9xx, 0xCxxx refuse,"
            " 0x0000, 0xB000, 0xB006, 0xB007 tell the sender that it is stored"
        )
    return value


def _checked_element(text: str) -> Path:
    """Parse an element that may be changed.

    Raises
    ------
    ValueError
        In the words for the one who wrote it.
    """
    path = parse_element(text)
    try:
        Edits({path: Drop()})
    except TagError as error:
        raise ValueError(str(error)) from None
    if path.tag == SOP_CLASS_UID and not path.steps:
        raise ValueError("SOPClassUID says what an instance is, it cannot be changed")
    return path


def _check_value(text: str, value: Any) -> None:
    """See that an element can have a value, as far as its VR in the dictionary tells.

    Raises
    ------
    ValueError
        If it cannot.
    """
    path = _checked_element(text)
    vr = dictionary_vr(path.tag)
    if vr not in STRING_VRS and vr not in NUMBER_CODES:
        known = "not known" if vr == "UN" else vr
        raise ValueError(f"takes no text and no number: its value representation is {known}")
    members = _members(value)
    templates = [parse_template(one) for one in members if isinstance(one, str)]
    if templates and vr in NUMBER_CODES:
        raise ValueError(f"has the value representation {vr} and takes numbers")
    if not any(template.paths for template in templates):
        tag = path.tag.in_block(0x10) if isinstance(path.tag, PrivateTag) else path.tag
        encode_values(tag, vr, tuple(map(_constant, members)), _UNICODE)


def _constant(value: Any) -> Any:
    """Return what is set, with the doubled braces of a template as they come out."""
    return parse_template(value).fill(lambda _: ()) if isinstance(value, str) else value


def _check_removal(text: str, _value: Any = None) -> None:
    path = _checked_element(text)
    if path.tag in IDENTITY and not path.steps:
        raise ValueError("has to be there, it can only be set")


def _check_map(text: str, _value: Any = None) -> None:
    if dictionary_vr(_checked_element(text).tag) not in STRING_VRS:
        raise ValueError("is no text, and only texts have their values in tables")


def _problems(
    check: Callable[[str, Any], None], places: Iterable[tuple[Location, str, Any]]
) -> Iterator[Problem]:
    for location, text, value in places:
        try:
            check(text, value)
        except ValueError as error:
            yield Problem(location, str(error))


def _members(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _listed(value: object) -> object:
    """Take one action for a list of it."""
    return [value] if isinstance(value, dict) else value


#: A status as people write it.
StatusText = Annotated[str, Field(pattern=f"^{_STATUS.pattern}$")]


class Rejection(Model):
    """How an instance is turned away.

    Attributes
    ----------
    dimse : int
        Status that a sender by C-STORE gets.
    http : int
        Status that a client of the REST API gets: the core has no others here. With 200 it reads
        ``"Status": "FilteredOut"``.
    reason : str
        For the log.
    """

    dimse: Annotated[int, BeforeValidator(_status, json_schema_input_type=StatusText | int)] = (
        NOT_AUTHORIZED
    )
    http: Literal[200, 400, 500] = 400
    reason: Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f]*$")] = ""


class ValueMap(Model):
    """A new value for each value of an element.

    Attributes
    ----------
    table : str or dict
        Name of a table of ``LookupTables``, or the table itself.
    else_ : NotInTable
        What becomes of an instance with another value, or none.
    """

    tag: str
    table: str | Annotated[dict[str, str], Field(min_length=1)]
    else_: Annotated[NotInTable, Field(alias="Else")] = NotInTable.KEEP

    @cached_property
    def path(self) -> Path:
        """The element."""
        return parse_element(self.tag)


class Action(Model):
    """What is done with an instance; exactly one field is set.

    Attributes
    ----------
    accept : bool or None
        Store it; rules after this one are not looked at.
    set_ : dict or None
        Values by element; texts are templates (``"{StudyID}-{Modality}"``).
    remove : tuple of str or None
        Elements that go.
    """

    accept: Literal[True] | None = None
    reject: Rejection | None = None
    set_: Annotated[dict[str, Values] | None, Field(alias="Set", min_length=1)] = None
    remove: Annotated[tuple[str, ...] | None, Field(min_length=1, strict=False)] = None
    map_: Annotated[ValueMap | None, Field(alias="Map")] = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        fields = (self.accept, self.reject, self.set_, self.remove, self.map_)
        if sum(field is not None for field in fields) != 1:
            raise ValueError('needs exactly one of "Accept", "Reject", "Set", "Remove", "Map"')
        refuse(self._problems())
        return self

    def _problems(self) -> Iterator[Problem]:
        values = [(("Set", text), text, value) for text, value in (self.set_ or {}).items()]
        yield from _problems(_check_value, values)
        removed = [(("Remove", index), text, None) for index, text in enumerate(self.remove or ())]
        yield from _problems(_check_removal, removed)
        if self.map_ is not None:
            yield from _problems(_check_map, [(("Map", "Tag"), self.map_.tag, None)])

    @property
    def ends(self) -> bool:
        """Whether rules after it are not looked at."""
        return self.accept is not None or self.reject is not None

    @cached_property
    def values(self) -> dict[Path, tuple[Template | int | float, ...]]:
        """What is set."""
        return {
            parse_element(text): tuple(
                parse_template(one) if isinstance(one, str) else one for one in _members(value)
            )
            for text, value in (self.set_ or {}).items()
        }

    @cached_property
    def removed(self) -> tuple[Path, ...]:
        """What goes."""
        return tuple(map(parse_element, self.remove or ()))

    @property
    def changes(self) -> tuple[Path, ...]:
        """The elements that it changes."""
        mapped = () if self.map_ is None else (self.map_.path,)
        return (*self.values, *self.removed, *mapped)


class ReceiveRule(Model):
    """A rule for instances on their way in.

    Attributes
    ----------
    priority : int
        Higher ones are looked at first.
    then : tuple of Action
        One, or some; ``Accept`` and ``Reject`` come last.
    force : bool
        Whether it may say which study, series or instance it is.
    """

    name: RuleName
    description: str = ""
    enabled: StrictBool = True
    priority: RulePriority = 0
    if_: Annotated[RuleCondition | None, Field(alias="If")] = None
    then: Annotated[
        tuple[Action, ...],
        Field(min_length=1, strict=False),
        BeforeValidator(_listed, json_schema_input_type=Action | list[Action]),
    ]
    force: StrictBool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        refuse([*_unanswerable(self.if_), *self._problems()])
        return self

    @cached_property
    def asks_who_sends(self) -> bool:
        """Whether its condition is on the AE title of the sender."""
        return any(
            one.source is not None and one.source.remote_aet is not None
            for _, one in _conditions(self.if_)
        )

    @property
    def edits(self) -> bool:
        """Whether it changes instances."""
        return any(action.changes for action in self.then)

    @property
    def rejection(self) -> Rejection | None:
        """How it turns instances away."""
        return self.then[-1].reject

    def _problems(self) -> Iterator[Problem]:
        for index, action in enumerate(self.then[:-1]):
            if action.ends:
                yield Problem(("Then", index), 'nothing comes after "Accept" and "Reject"')
        if self.edits and self.rejection is not None:
            yield Problem(("Then",), "changes what it rejects")
        if self.edits and self.asks_who_sends:
            yield Problem(
                ("If",),
                "RemoteAet is not known yet when instances can be changed: only"
                ' "Accept" and "Reject" can ask for it',
            )
        known: set[Path] = set()
        for index, action in enumerate(self.then):
            for path in action.changes:
                if path in known:
                    yield Problem(("Then", index), f"{path} is changed twice")
                if path.tag in IDENTITY and not path.steps and not self.force:
                    yield Problem(
                        ("Then", index),
                        f"{path} says which study, series or instance it is: changing it needs"
                        ' "Force": true',
                    )
                known.add(path)


def _conditions(condition: RuleCondition | None) -> Iterable[tuple[Location, RuleCondition]]:
    return () if condition is None else condition.walk(("If",))


def _unanswerable(condition: RuleCondition | None) -> Iterator[Problem]:
    """Yield what nobody knows of an instance that is not stored yet."""
    for place, one in _conditions(condition):
        for name in ("label", "metadata", "count"):
            if getattr(one, name) is not None:
                yield Problem(
                    (*place, name.capitalize()), "is of stored resources, not of what comes in"
                )
        for name, field in (("CalledAet", "called_aet"), ("RemoteIp", "remote_ip")):
            if one.source is not None and getattr(one.source, field) is not None:
                yield Problem(
                    (*place, "Source", name), "is not told to plugins of an instance that comes in"
                )


class _ReceiveSet(Model):
    receive: Annotated[tuple[ReceiveRule, ...], Field(max_length=MAX_RULES)] = ()


def read_rules(values: Sequence[object], tables: Mapping[str, Table]) -> tuple[ReceiveRule, ...]:
    """Validate rules at reception.

    Parameters
    ----------
    values : sequence
        As they are written.
    tables : mapping
        The tables of ``LookupTables``, by name.

    Raises
    ------
    InvalidModel
        With every problem; paths begin with ``$.Receive``.
    """
    rules = validate(_ReceiveSet, {"Receive": list(values)}).receive
    problems = [*_named_twice(rules), *_without_table(rules, tables), *_too_late(rules)]
    if problems:
        raise InvalidModel(problems)
    return rules


def problems_of(values: Sequence[object], tables: Mapping[str, Table]) -> list[str]:
    """Return every problem of rules at reception; paths begin with ``$.Receive``."""
    try:
        read_rules(values, tables)
    except InvalidModel as error:
        return error.problems
    return []


def in_order(rules: Sequence[ReceiveRule]) -> list[ReceiveRule]:
    """Return the rules that are in use, in the order in which they are looked at."""
    return sorted((rule for rule in rules if rule.enabled), key=lambda rule: -rule.priority)


def _named_twice(rules: Sequence[ReceiveRule]) -> Iterator[str]:
    names = [rule.name for rule in rules]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield f'$.Receive[{index}].Name: there are two rules "{name}" at reception'


def _without_table(rules: Sequence[ReceiveRule], tables: Mapping[str, Table]) -> Iterator[str]:
    for index, rule in enumerate(rules):
        for number, action in enumerate(rule.then):
            name = action.map_.table if action.map_ is not None else None
            if isinstance(name, str) and name not in tables:
                yield (
                    f"$.Receive[{index}].Then[{number}].Map.Table: there is no table"
                    f' "{name}" in Curator.LookupTables{nearest(name, list(tables))}'
                )


def _too_late(rules: Sequence[ReceiveRule]) -> Iterator[str]:
    """Yield what cannot wait until the AE title of the sender is known."""
    places = {rule.name: f"$.Receive[{index}]" for index, rule in enumerate(rules)}
    asking = accepting = None
    for rule in in_order(rules):
        if rule.edits and accepting is not None:
            yield (
                f'{places[rule.name]}: changes instances after "{accepting}" may have accepted them'
                " by RemoteAet, which is not known yet when they can be changed: give it a higher"
                " priority"
            )
        if rule.asks_who_sends:
            asking = rule.name
            if rule.rejection is None:
                accepting = rule.name
        if asking is not None and rule.rejection is not None and rule.rejection.dimse == 0:
            yield (
                f"{places[rule.name]}: cannot tell the sender that all is well (0x0000) once"
                f' RemoteAet has been asked for, here by "{asking}": use 0xB000, which is a warning'
            )
