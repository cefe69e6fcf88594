"""A single thing that is wrong in a line."""

from __future__ import annotations

import attrs

from rekolabels.manifest.codes import CODES

__all__ = ["Finding"]


@attrs.frozen
class Finding:
    """Something that is wrong in a line."""

    code: str
    """One of ``CODES``."""
    place: tuple[str | int, ...] = ()
    """The object in which the service lists it: the line (empty), an attribute, an annotation, metadata."""
    path: tuple[str | int, ...] = ()
    """Where exactly, as the steps of a JSON pointer."""
    detail: str = ""
    """What is wrong here, in words; empty when the message says it all."""
    column: int | None = None
    """The character of the line, from 1, where it is no JSON."""

    @property
    def message(self) -> str:
        """The service's message, its placeholder filled."""
        return CODES[self.code].message.format(self.place[0] if self.place else "")
