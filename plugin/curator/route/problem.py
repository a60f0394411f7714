"""Problems of rules, each at the place where it stands."""

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

#: Members and indexes that lead to a value.
Location = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """What is wrong, and where.

    Attributes
    ----------
    location : tuple
        From the value that is checked.
    text : str
        What is wrong, and what would be right.
    """

    location: Location
    text: str


def refuse(problems: Iterable[Problem]) -> None:
    """Refuse a value in the validator of its model, if there is anything wrong with it.

    Raises
    ------
    ValidationError
        With all problems, which pydantic then locates in what is validated.
    """
    details = [
        InitErrorDetails(
            type=PydanticCustomError("rule", "{problem}", {"problem": problem.text}),
            loc=problem.location,
            input=None,
        )
        for problem in problems
    ]
    if details:
        raise ValidationError.from_exception_data("rule", details)
