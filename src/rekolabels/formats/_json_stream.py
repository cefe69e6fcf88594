"""Lists in a large JSON object, read a few entries at a time with the parser of the standard library."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any, TextIO

from rekolabels.errors import InvalidInput
from rekolabels.formats._files import open_text
from rekolabels.formats._problems import printable, shown

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

__all__ = ["stream_lists"]

_CHUNK = 1 << 14
"""Characters. Small windows stay in the processor's cache: measured faster than larger ones."""
_MAX_VALUE = 1 << 22
"""Characters. No entry of a real file is larger; a hostile file must not exhaust the memory: parsed, it takes
up to twenty times as much."""
_SPACE = re.compile(r"[ \t\r\n]*")
_NEXT = re.compile(r"[ \t\r\n]*,[ \t\r\n]*")


def stream_lists(path: str | os.PathLike[str], keys: Container[str]) -> Iterator[tuple[str, list[Any]]]:
    """Read some lists of a file that holds one JSON object.

    Few entries are in memory at a time. Other members of the object are skipped.

    Args:
        path: The file, in UTF-8.
        keys: Names of the lists.

    Yields:
        The name of the list and its next entries.

    Raises:
        InvalidInput: The file cannot be read, is not JSON, holds no object, or a named member is not a list.
    """
    with open_text(path, "JSON text") as file:
        yield from _Stream(file, printable(os.fspath(path))).lists(keys)


class _Stream:
    """A window on the text of a file; it moves on as values are read."""

    def __init__(self, file: TextIO, name: str) -> None:
        self.file = file
        self.name = name
        self.text = ""
        self.at = 0
        self.dropped = 0  # characters before the window
        self.at_end = False  # whether the window reaches the end of the file
        self.decoder = json.JSONDecoder()

    def lists(self, keys: Container[str]) -> Iterator[tuple[str, list[Any]]]:
        self.expect("{", "an object with lists")
        if self.peek() == "}":
            self.at += 1
        else:
            while True:
                key = self.value()
                if not isinstance(key, str):
                    raise self.syntax_error("expected a name in quotes")
                self.expect(":", "a colon")
                if key in keys:
                    if self.peek() != "[":
                        raise InvalidInput(f"{self.name}: {key!r} is not a list.")
                    for batch in self.batches():
                        yield key, batch
                else:
                    self.skip()
                if self.peek() != ",":
                    break
                self.at += 1
            self.expect("}", "a comma or the end of the object")
        if self.peek():
            raise self.syntax_error("expected the end of the file")

    def skip(self) -> None:
        """Read a value that is not wanted; of a list, a few entries at a time."""
        if self.peek() == "[":
            for _ in self.batches():
                pass
        else:
            self.value()

    def batches(self) -> Iterator[list[Any]]:
        """Yield the entries of a list, as many at a time as the window holds."""
        self.expect("[", "a list")
        if self.peek() != "]":
            decode, match = self.decoder.raw_decode, _NEXT.match
            more = True
            while more:
                batch: list[Any] = []
                text, at = self.text, self.at
                # Fast path: entries that are in the window together with the comma after them.
                try:
                    while True:
                        entry, end = decode(text, at)
                        comma = match(text, end)
                        if comma is None:
                            break
                        batch.append(entry)
                        at = comma.end()
                except json.JSONDecodeError:
                    pass  # cut by the end of the window, or wrong: value() finds out which
                self.at = at
                batch.append(self.value())
                more = self.peek() == ","
                if more:
                    self.at += 1
                    self.peek()
                yield batch
        self.expect("]", "a comma or the end of the list")

    def value(self) -> Any:
        """Read one whole value."""
        self.peek()
        while True:
            try:
                found, end = self.decoder.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                if self.at_end:
                    self.at = error.pos
                    raise self.syntax_error(error.msg) from error
            else:
                if end < len(self.text) or self.at_end:
                    self.at = end
                    return found
            if len(self.text) - self.at > _MAX_VALUE:
                raise InvalidInput(f"{self.name}: Contains a value of more than {_MAX_VALUE:,} characters.")
            # Double the window each time, so that parsing a long value again stays linear.
            self.read(max(_CHUNK, len(self.text) - self.at))

    def peek(self) -> str:
        """Return the next character that is not blank; empty at the end of the file."""
        while True:
            found = _SPACE.match(self.text, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.text) or self.at_end:
                return self.text[self.at : self.at + 1]
            self.read(_CHUNK)

    def expect(self, character: str, expected: str) -> None:
        if self.peek() != character:
            raise self.syntax_error(f"expected {expected}")
        self.at += 1

    def read(self, size: int) -> None:
        more = self.file.read(size)
        self.at_end = not more
        self.dropped += self.at
        self.text = self.text[self.at :] + more
        self.at = 0

    def syntax_error(self, message: str) -> InvalidInput:
        found = self.text[self.at : self.at + 20]
        location = f"at character {self.dropped + self.at + 1:,}"
        instead = shown(found) if found else "the end of the file"
        return InvalidInput(f"{self.name}: Not JSON {location}: {message}, found {instead}.")
