"""The entries of lists in a large JSON object, one at a time, with the standard library's own parser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rekolabels.errors import InvalidInput
from rekolabels.formats._files import reading
from rekolabels.formats._problems import shown

if TYPE_CHECKING:
    import os
    from collections.abc import Container, Iterator

__all__ = ["stream_lists"]

_CHUNK = 1 << 14  # small windows stay in the processor's cache: measured faster than larger ones
_MOST_VALUE = 1 << 28  # no entry of a real file is larger; a bomb must not fill the memory
_SPACE = re.compile(r"[ \t\r\n]*")
_NEXT = re.compile(r"[ \t\r\n]*,[ \t\r\n]*")


def stream_lists(path: str | os.PathLike[str], keys: Container[str]) -> Iterator[tuple[str, list[Any]]]:
    """Read a file with one JSON object and give out the entries of some of its lists.

    Few entries are in memory at a time. Other members of the object are passed over.

    Args:
        path: The file, in UTF-8.
        keys: The names of the lists.

    Yields:
        The name of the list and some entries of it, in order.

    Raises:
        InvalidInput: The file cannot be read, is not JSON, holds no object, or a named member is no list.
    """
    with reading(path) as name, Path(path).open(encoding="utf-8-sig", newline="") as file:
        yield from _Stream(file, name).lists(keys)


class _Stream:
    """A window on the text that moves on as its values are read."""

    def __init__(self, file: TextIO, name: str) -> None:
        self.file = file
        self.name = name
        self.text = ""
        self.at = 0
        self.before = 0  # characters that have left the window
        self.whole = False  # whether the window reaches to the end of the file
        self.decoder = json.JSONDecoder()

    def lists(self, keys: Container[str]) -> Iterator[tuple[str, list[Any]]]:
        self.expect("{", "an object with lists")
        if self.peek() == "}":
            self.at += 1
        else:
            while True:
                key = self.value()
                if not isinstance(key, str):
                    raise self.wrong("expected a name in quotes")
                self.expect(":", "a colon")
                if key in keys:
                    if self.peek() != "[":
                        raise InvalidInput(f"{self.name}: {key!r} is not a list")
                    for batch in self.batches():
                        yield key, batch
                else:
                    self.value()
                if self.peek() != ",":
                    break
                self.at += 1
            self.expect("}", "a comma or the end of the object")
        if self.peek():
            raise self.wrong("expected the end of the file")

    def batches(self) -> Iterator[list[Any]]:
        """The entries of a list, as many at a time as the window has."""
        self.expect("[", "a list")
        if self.peek() != "]":
            decode, match = self.decoder.raw_decode, _NEXT.match
            more = True
            while more:
                batch: list[Any] = []
                text, at = self.text, self.at
                # The quick way: entries that are in the window with the comma behind them.
                try:
                    while True:
                        entry, end = decode(text, at)
                        comma = match(text, end)
                        if comma is None:
                            break
                        batch.append(entry)
                        at = comma.end()
                except json.JSONDecodeError:
                    pass  # cut off by the end of the window, or wrong: told apart below
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
                if self.whole:
                    self.at = error.pos
                    raise self.wrong(error.msg) from error
            else:
                if end < len(self.text) or self.whole:
                    self.at = end
                    return found
            # Twice as much each time, so that a long value is not parsed again and again.
            if len(self.text) - self.at > _MOST_VALUE:
                raise InvalidInput(f"{self.name}: a value of more than {_MOST_VALUE:,} characters")
            self.read(max(_CHUNK, len(self.text) - self.at))

    def peek(self) -> str:
        """The next character that is not blank; empty at the end of the file."""
        while True:
            found = _SPACE.match(self.text, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.text) or self.whole:
                return self.text[self.at : self.at + 1]
            self.read(_CHUNK)

    def expect(self, character: str, what: str) -> None:
        if self.peek() != character:
            raise self.wrong(f"expected {what}")
        self.at += 1

    def read(self, size: int) -> None:
        more = self.file.read(size)
        self.whole = not more
        self.before += self.at
        self.text = self.text[self.at :] + more
        self.at = 0

    def wrong(self, message: str) -> InvalidInput:
        found = self.text[self.at : self.at + 20]
        place = f"at character {self.before + self.at + 1:,}"
        return InvalidInput(
            f"{self.name}: not JSON {place}: {message}, found {shown(repr(found)) if found else 'the end'}"
        )
