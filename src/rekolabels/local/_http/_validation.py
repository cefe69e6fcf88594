r"""Validation of requests against the constraints of the service model, in the words of AWS.

AWS's services share a framework that checks requests before the service sees them: first the JSON types (see
``_wire``), then all constraints of the model. It answers with one ``ValidationException``, whose form is
known from logs of Rekognition and of other services::

    1 validation error detected: Value 'a b' at 'projectName' failed to satisfy constraint: Member must
    satisfy regular expression pattern: [a-zA-Z0-9_.\-]+

What those logs show, and this module follows:

* Paths are in lower camel case; a structure in a list is at ``datasets.1.member``.
* Bytes are shown as Java's ``java.nio.HeapByteBuffer[pos=0 lim=5 cap=5]``.
* Values in a list, and the keys and values of a map, are reported at the list or map, with all constraints
  that they have.
* At most ten breaches are listed.

Unlike AWS, a long value is cut, and the pattern of a string that is too long is not checked, so that no
request costs more than its size.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from rekolabels.local._core._exceptions import ServiceException

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rekolabels.local._http._shapes import Shape

__all__ = ["check_request"]

_MAX_BREACHES = 10
"""As in the framework."""
_MAX_SHOWN = 1024
"""Characters of a value that a message shows."""
_NUMBERS = frozenset({"integer", "long", "float", "double"})
_CONTAINERS = frozenset({"structure", "list", "map"})


def check_request(shape: Shape, request: Mapping[str, Any]) -> None:
    """Check a deserialized request.

    Args:
        shape: The shape of the operation's input.
        request: The request; every value has the type of its shape, except None in lists and maps.

    Raises:
        ServiceException: ``ValidationException``, which lists the breaches.
    """
    breaches = list(islice(_check_structure(shape, request, ""), _MAX_BREACHES))
    if breaches:
        errors = "error" if len(breaches) == 1 else "errors"
        raise ServiceException(
            "ValidationException", f"{len(breaches)} validation {errors} detected: {'; '.join(breaches)}"
        )


def _check_structure(shape: Shape, value: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, member in shape.members.items():
        at = f"{path}.{_lower_camel(name)}".removeprefix(".")
        if name in value:
            yield from _check(member, value[name], at)
        elif name in shape.required:
            yield _null(at)


def _check(shape: Shape, value: Any, at: str) -> Iterator[str]:
    """Yield the breaches of a value's own constraints, then those of what it contains."""
    for constraint in _broken(shape, value):
        yield _breach(_text(shape, value), at, constraint)
    if shape.type == "structure":
        yield from _check_structure(shape, value, at)
    elif shape.type == "list" and shape.item is not None:
        members = ((f"{at}.{number}.member", item) for number, item in enumerate(value, 1))
        yield from _check_members(shape, value, at, members, "Member")
    elif shape.type == "map" and shape.key is not None:
        if any(_is_broken(shape.key, key) for key in value):
            yield _breach(_text(shape, value), at, _all_of("Map keys", shape.key))
        members = ((f"{at}.{key[:_MAX_SHOWN]}.member", item) for key, item in value.items())
        yield from _check_members(shape, value, at, members, "Map value")


def _check_members(
    shape: Shape, value: Any, at: str, members: Iterable[tuple[str, Any]], what: str
) -> Iterator[str]:
    item = shape.item
    assert item is not None  # noqa: S101 - lists and maps have one
    broken = False
    for path, member in members:
        if member is None:
            yield _null(path)
        elif item.type in _CONTAINERS:
            yield from _check(item, member, path)
        else:
            broken = broken or _is_broken(item, member)
    if broken:
        yield _breach(_text(shape, value), at, _all_of(what, item))


def _is_broken(shape: Shape, value: Any) -> bool:
    return any(True for _ in _broken(shape, value))


def _broken(shape: Shape, value: Any) -> Iterator[str]:
    """Yield the constraints that a value breaks."""
    is_too_long = False
    if shape.minimum is not None or shape.maximum is not None:
        size = value if shape.type in _NUMBERS else len(value)
        is_too_long = shape.maximum is not None and size > shape.maximum
        if is_too_long:
            yield _at_most(shape)
        elif shape.minimum is not None and size < shape.minimum:
            yield _at_least(shape)
    if shape.pattern is not None and not is_too_long and not shape.pattern.fullmatch(value):
        yield _matches(shape)
    if shape.enum and value not in shape.enum:
        yield _one_of(shape)


def _all_of(what: str, shape: Shape) -> str:
    """Return the text for a value in a list or map: all constraints of its shape, broken or not."""
    texts = [
        *([] if shape.maximum is None else [_at_most(shape)]),
        *([] if shape.minimum is None else [_at_least(shape)]),
        *([] if shape.pattern is None else [_matches(shape)]),
        *([_one_of(shape)] if shape.enum else []),
    ]
    return f"{what} must satisfy constraint: [{', '.join(texts)}]"


def _at_most(shape: Shape) -> str:
    return f"Member must have {_dimension(shape)} less than or equal to {shape.maximum}"


def _at_least(shape: Shape) -> str:
    return f"Member must have {_dimension(shape)} greater than or equal to {shape.minimum}"


def _dimension(shape: Shape) -> str:
    return "value" if shape.type in _NUMBERS else "length"


def _matches(shape: Shape) -> str:
    return f"Member must satisfy regular expression pattern: {shape.pattern_text}"


def _one_of(shape: Shape) -> str:
    return f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"


def _null(at: str) -> str:
    return f"Value null at '{at}' failed to satisfy constraint: Member must not be null"


def _breach(value: str, at: str, constraint: str) -> str:
    shown = value if len(value) <= _MAX_SHOWN else f"{value[:_MAX_SHOWN]}..."
    return f"Value '{shown}' at '{at}' failed to satisfy constraint: {constraint}"


def _text(shape: Shape | None, value: Any) -> str:
    """Return a value as Java prints it; of lists and maps no more than a message shows."""
    if isinstance(value, bytes):
        return f"java.nio.HeapByteBuffer[pos=0 lim={len(value)} cap={len(value)}]"
    if shape is None or value is None or shape.type not in _CONTAINERS:
        return "null" if value is None else str(value)
    if shape.type == "list":
        return f"[{', '.join(_text(shape.item, item) for item in islice(value, _MAX_SHOWN))}]"
    members = islice(value.items(), _MAX_SHOWN)
    if shape.type == "map":
        return f"{{{', '.join(f'{key}={_text(shape.item, item)}' for key, item in members)}}}"
    texts = (f"{_lower_camel(name)}={_text(shape.members[name], item)}" for name, item in members)
    return f"{shape.name}({', '.join(texts)})"


def _lower_camel(name: str) -> str:
    return name[:1].lower() + name[1:]
