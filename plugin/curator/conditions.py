"""The condition language: what rules, profiles and splits ask.

::

    {"All": [{"Tag": "Modality", "In": ["CT", "PT"]},
             {"Not": {"Tag": "ImageType", "Like": "*LOCALIZER*"}}]}

Conditions are data; no code is evaluated. A condition on an element holds if one of its values
fits. An element that is absent or empty has no value and fits nothing but ``"Exists": false``.
"""

import math
import re
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Annotated, Any, ClassVar, Self

import re2
from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr, model_validator
from pydantic.alias_generators import to_pascal

from curator.dicom.errors import TagError
from curator.dicom.tags import Path, parse_path
from curator.models import Model

Scalar = StrictStr | StrictInt | StrictFloat

#: Gives the values of an element as text, without padding; none when absent.
Lookup = Callable[[Path], tuple[str, ...]]

#: A condition nested more deeply than this is refused.
MAX_DEPTH = 32

#: Bytes that a regular expression of a user may take; it takes the longer to compile the more.
PATTERN_BYTES = 512 * 1024

#: Bytes of one that is made of what files hold.
LARGE_PATTERN_BYTES = 8 * 1024 * 1024

#: Numbers as DS and IS have them (PS3.5 6.2); ``nan`` and ``1_000`` are text.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)

_OPERATORS = ("equals", "in_", "like", "matches", "between", "exists")


class BaseCondition(Model):
    """What every condition has: ``All``, ``Any``, ``Not``, and operators on values.

    A condition asks one thing: a field of `asking` with one operator, or one other field.
    """

    asking: ClassVar[tuple[str, ...]] = ("tag",)
    needs: ClassVar[str] = 'either "Tag" with an operator, or one of "All", "Any", "Not"'

    all_: Annotated[tuple[Self, ...] | None, Field(alias="All", min_length=1)] = None
    any_: Annotated[tuple[Self, ...] | None, Field(alias="Any", min_length=1)] = None
    not_: Annotated[Self | None, Field(alias="Not")] = None
    tag: str | None = None
    equals: Scalar | None = None
    in_: Annotated[tuple[Scalar, ...] | None, Field(alias="In", min_length=1)] = None
    like: str | None = None
    matches: str | None = None
    between: tuple[Scalar, Scalar] | None = None
    exists: StrictBool | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        named = [name for name in type(self).model_fields if getattr(self, name) is not None]
        operators = [name for name in named if name in _OPERATORS]
        asked = [name for name in named if name in self.asking]
        others = len(named) - len(operators) - len(asked)
        if not asked:
            if others != 1 or operators:
                raise ValueError(f"needs {self.needs}")
        elif others or len(asked) != 1 or len(operators) != 1:
            raise ValueError(
                f'"{to_pascal(asked[0])}" needs exactly one of "Equals", "In", "Like", "Matches",'
                ' "Between", "Exists"'
            )
        if self._depth > MAX_DEPTH:
            raise ValueError(f"is nested more than {MAX_DEPTH} levels deep")
        if self.between is not None and isinstance(self.between[0], str) != isinstance(
            self.between[1], str
        ):
            raise ValueError('"Between" needs two numbers or two texts')
        _ = self.path, self._test
        return self

    @cached_property
    def path(self) -> Path | None:
        """The element asked for."""
        return None if self.tag is None else parse_element(self.tag)

    def paths(self) -> Iterator[Path]:
        """Yield every element that has to be read to decide the condition."""
        if self.path is not None:
            yield self.path
        for child in self.children:
            yield from child.paths()

    @property
    def children(self) -> tuple[Self, ...]:
        """The conditions that it combines."""
        alone = () if self.not_ is None else (self.not_,)
        return (*(self.all_ or ()), *(self.any_ or ()), *alone)

    def fits(self, values: tuple[str, ...]) -> bool:
        """Tell whether one of the values fits the operator; empty ones are none."""
        if self.exists is not None:
            return any(values) == self.exists
        return any(map(self._test, filter(None, values)))

    @cached_property
    def _test(self) -> Callable[[str], bool]:
        """What the operator asks of a value."""
        if self.equals is not None:
            return partial(_equal, wanted=self.equals)
        if self.in_ is not None:
            return partial(_in, wanted=self.in_)
        if self.between is not None:
            return partial(_between, low=self.between[0], high=self.between[1])
        return partial(occurs, self._pattern)

    @cached_property
    def _depth(self) -> int:
        return 1 + max((child._depth for child in self.children), default=0)

    @cached_property
    def _pattern(self) -> Any:
        if self.like is not None:
            return compile_wildcards(self.like)
        return compile_pattern(self.matches or "")


class Condition(BaseCondition):
    """One condition on an instance: ``All``, ``Any``, ``Not``, or ``Tag`` with one operator."""

    def holds(self, values: Lookup) -> bool:
        """Decide the condition."""
        if self.all_ is not None:
            return all(child.holds(values) for child in self.all_)
        if self.any_ is not None:
            return any(child.holds(values) for child in self.any_)
        if self.not_ is not None:
            return not self.not_.holds(values)
        if self.path is None:  # excluded by _check
            raise ValueError('"Tag" is missing')
        return self.fits(values(self.path))


def parse_element(text: str) -> Path:
    """Parse the path of an element for a model.

    Raises
    ------
    ValueError
        In the words for the one who wrote it.
    """
    try:
        return parse_path(text)
    except TagError as error:
        raise ValueError(str(error)) from None


def compile_pattern(pattern: str, most_bytes: int = PATTERN_BYTES) -> Any:
    """Compile a regular expression of RE2, whose time is linear whatever the pattern.

    Parameters
    ----------
    most_bytes : int
        Memory that it may take.

    Raises
    ------
    ValueError
        If it is none, or takes more.
    """
    options = re2.Options()
    options.log_errors = False
    options.max_mem = most_bytes
    try:
        return re2.compile(pattern, options)
    except re2.error:
        raise ValueError("is not a regular expression of RE2, or too large a one") from None


def occurs(pattern: Any, text: str) -> bool:
    """Tell whether a text has what a compiled pattern describes, without telling where.

    The wrapper of RE2 spends most of its time on turning places in bytes into places in text.
    """
    return pattern.search(text.encode(errors="replace")) is not None


def compile_wildcards(pattern: str) -> Any:
    """Compile a text with ``*`` and ``?`` (PS3.4 C.2.2.2.4), without regard to case."""
    translated = {"*": ".*", "?": "."}
    return compile_pattern(
        f"(?is)^{''.join(translated.get(char, re2.escape(char)) for char in pattern)}$"
    )


def number(text: str) -> float | None:
    """Return the number that a value says, or None."""
    found = float(text) if _NUMBER.fullmatch(text.strip(" ")) else math.inf
    return found if math.isfinite(found) else None


def _equal(value: str, wanted: str | float) -> bool:
    return value == wanted if isinstance(wanted, str) else number(value) == wanted


def _in(value: str, wanted: tuple[str | float, ...]) -> bool:
    return any(_equal(value, one) for one in wanted)


def _between(value: str, low: str | float, high: str | float) -> bool:
    if isinstance(low, str) or isinstance(high, str):
        return str(low) <= value <= str(high)
    found = number(value)
    return found is not None and low <= found <= high
