"""How messages show what came from outside: short, on one line, and harmless to a terminal."""

from __future__ import annotations

__all__ = ["pointer", "shown"]


def shown(value: object, *, limit: int = 120) -> str:
    """A value as Python writes it, cut to a length; control characters come out escaped."""
    if isinstance(value, str):
        return repr(value) if len(value) <= limit else f"{value[:limit]!r}... ({len(value):,} characters)"
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "a very large number"
    return repr(value)


def pointer(path: tuple[str | int, ...]) -> str:
    """A JSON pointer (RFC 6901); empty for the line as a whole.

    >>> pointer(("a/b", "annotations", 0))
    '/a~1b/annotations/0'
    """
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)
