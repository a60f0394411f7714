"""The files of pydicom's test collection that come with it; nothing is fetched."""

from pathlib import Path

import pydicom

ROOT = Path(pydicom.__file__).parent / "data"

#: Names of the files, relative to the collection.
FILES = sorted(
    str(path.relative_to(ROOT))
    for folder in ("test_files", "charset_files", "palettes")
    for path in (ROOT / folder).rglob("*")
    if path.is_file() and path.suffix in ("", ".dcm") and path.name != "README"
)


def load(name: str) -> bytes:
    """Read a file of the collection."""
    return (ROOT / name).read_bytes()
