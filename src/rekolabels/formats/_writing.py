"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rekolabels.errors import InvalidInput
from rekolabels.formats._problems import shown

if TYPE_CHECKING:
    import os
    from collections.abc import Generator

__all__ = ["written"]


@contextlib.contextmanager
def written(target: str | os.PathLike[str]) -> Generator[TextIO]:
    """Open a text file for writing; it gets its name when all went well.

    Raises:
        InvalidInput: The file cannot be written.
    """
    path = Path(target)
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            yield file
        part.replace(path)
    except (OSError, UnicodeEncodeError) as error:
        raise InvalidInput(f"{shown(path)}: cannot be written: {error}") from error
    finally:
        part.unlink(missing_ok=True)
