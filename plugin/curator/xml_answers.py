"""JSON answers as XML, for clients that ask for it: by the rules and in the layout of the core."""

import json
import re
import struct
from collections.abc import Iterator
from typing import Any

XML = "application/xml; charset=utf-8"

_DECLARATION = '<?xml version="1.0" encoding="utf-8"?>\n'
_INDENT = "  "

#: What pugixml calls an element without a name.
_NAMELESS = ":anonymous"

#: Everything else is written as it is, by pugixml, which is what the core uses.
_SPECIAL = re.compile(r"[&<>\x00-\x08\x0b-\x1f]")
_NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def wants_xml(accept: str) -> bool:
    """Tell whether a header ``Accept`` asks for XML; as in the core, ``;`` is what separates."""
    kinds = [kind for kind in accept.split(";") if kind in ("application/xml", "application/json")]
    return kinds[-1:] == ["application/xml"]


def to_xml(content: bytes) -> bytes:
    """Write a JSON document as XML: ``root``, an element for each key, ``item`` in arrays."""
    lines = _lines("root", json.loads(content), "")
    return (_DECLARATION + "".join(f"{line}\n" for line in lines)).encode()


def _lines(name: str, value: Any, indent: str) -> Iterator[str]:
    if children := _children(value):
        yield f"{indent}<{name}>"
        for key, child in children:
            yield from _lines(key, child, indent + _INDENT)
        yield f"{indent}</{name}>"
    elif text := _text(value):
        yield f"{indent}<{name}>{text}</{name}>"
    else:
        yield f"{indent}<{name} />"


def _children(value: Any) -> list[tuple[str, Any]]:
    match value:
        case dict():
            return [(key or _NAMELESS, one) for key, one in sorted(value.items())]
        case list():
            return [("item", one) for one in value]
        case _:
            return []


def _text(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case float():
            return _single(value)
        case dict() | list():
            return ""
        case _:
            return _SPECIAL.sub(_escaped, str(value))


def _single(value: float) -> str:
    """Write a number as the core does, which rounds it to single precision."""
    try:
        (rounded,) = struct.unpack("f", struct.pack("f", value))
    except OverflowError:
        return "inf" if value > 0 else "-inf"
    return f"{rounded:.9g}"


def _escaped(found: re.Match[str]) -> str:
    return _NAMED.get(found[0]) or f"&#{ord(found[0]):02};"
