"""Files that cannot be read, in words of ours."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rekolabels.errors import InvalidInput
from rekolabels.formats._problems import shown

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["reading"]


@contextmanager
def reading(path: str | os.PathLike[str], what: str = "") -> Generator[str]:
    """Say which file it was when reading one fails; gives the name that messages call it by.

    Args:
        path: The file.
        what: What was expected; may be left out where the reader's name says it.

    Raises:
        InvalidInput: It is not there, not readable, or not UTF-8; or its name cannot be that of a file.
    """
    name = shown(os.fspath(path))
    expected = f"; expected {what}" if what else ""
    try:
        yield name
    except InvalidInput:
        raise
    except OSError as error:
        raise InvalidInput(f"{name}: cannot be read: {error.strerror or error}{expected}") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{name}: not UTF-8 text: {error.reason}{expected}") from error
    except RecursionError as error:
        raise InvalidInput(f"{name}: nested too deeply to be data of images{expected}") from error
    except ValueError as error:  # a NUL character in the name, or a number of more digits than Python reads
        raise InvalidInput(f"{name}: cannot be read: {error}{expected}") from error
