"""JSON schemas of models, for people: what docstrings say of a field stands with the field."""

from collections.abc import Iterator
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

_HEADING = "\n\nAttributes\n----------\n"


class JsonSchema(GenerateJsonSchema):
    """Leaves out titles that repeat names, and knows the sections of numpydoc."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  pydantic's signature
        """Tell whether a field gets its name as a title, which says nothing."""
        return False

    def model_schema(self, schema: Any) -> JsonSchemaValue:
        """Return the schema of a model."""
        described = super().model_schema(schema)
        about, _, fields = described.get("description", "").partition(_HEADING)
        if fields:
            described["description"] = about
            for name, text in _sections(fields):
                alias = schema["cls"].model_fields[name].alias or name
                described["properties"][alias].setdefault("description", text)
        return described


def _sections(text: str) -> Iterator[tuple[str, str]]:
    """Yield what a section of numpydoc says of each name."""
    names: list[str] = []
    words: list[str] = []
    for line in text.splitlines():
        if line.startswith(" "):
            words.append(line.strip())
            continue
        yield from ((name, " ".join(words)) for name in names)
        names, words = line.partition(" : ")[0].split(", "), []
    yield from ((name, " ".join(words)) for name in names)
