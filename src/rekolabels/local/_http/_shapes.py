"""Shapes of Rekognition's service model, read from botocore."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any

import attrs
from botocore.loaders import Loader

__all__ = ["ServiceModel", "Shape"]

# The characters of \p{Z} in the model's patterns; Python's re does not support Unicode properties.
_SEPARATORS = " \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_UNICODE_CLASS = re.compile(r"\[\\p\{L\}\\p\{Z\}\\p\{N\}((?:[^\]\\]|\\.)*)\]")


@attrs.define(eq=False)
class Shape:
    """One shape. Members are set after it is created, because a shape may contain itself."""

    name: str
    """Its name in the model."""
    type: str
    """``structure``, ``list``, ``map``, ``string``, ``integer``, ``float`` and so on."""
    minimum: float | None = None
    """Minimum value or length."""
    maximum: float | None = None
    """Maximum value or length."""
    pattern: re.Pattern[str] | None = None
    """Pattern that a whole string must match."""
    pattern_text: str = ""
    """The pattern as written in the model."""
    enum: tuple[str, ...] = ()
    """Allowed values of a string; empty for any."""
    members: Mapping[str, Shape] = attrs.field(factory=dict[str, "Shape"])
    """Members of a structure."""
    required: tuple[str, ...] = ()
    """Names of the required members of a structure."""
    key: Shape | None = None
    """Shape of a map's keys."""
    item: Shape | None = None
    """Shape of a list's items, or of a map's values."""


class ServiceModel:
    """The service model of Amazon Rekognition."""

    def __init__(self) -> None:
        description: Any = Loader().load_service_model("rekognition", "service-2")
        self._operations: Mapping[str, Any] = description["operations"]
        self._descriptions: Mapping[str, Any] = description["shapes"]
        # Shapes with everything in them. Those in `_shapes` may lack members that a thread is still reading.
        self._complete: dict[str, Shape] = {}
        self._shapes: dict[str, Shape] = {}
        self._lock = threading.Lock()
        self.target_prefix: str = description["metadata"]["targetPrefix"]

    @property
    def operations(self) -> frozenset[str]:
        """The names of all operations."""
        return frozenset(self._operations)

    def input_of(self, operation: str) -> Shape:
        """Return the shape of an operation's requests."""
        return self._shape_of(operation, "input")

    def output_of(self, operation: str) -> Shape:
        """Return the shape of an operation's responses."""
        return self._shape_of(operation, "output")

    def errors_of(self, operation: str) -> frozenset[str]:
        """Return the names of the errors that an operation declares."""
        return frozenset(error["shape"] for error in self._operations[operation].get("errors", ()))

    def _shape_of(self, operation: str, direction: str) -> Shape:
        reference = self._operations[operation].get(direction)
        if reference is None:
            return Shape("", "structure")
        name: str = reference["shape"]
        shape = self._complete.get(name)
        if shape is None:
            with self._lock:
                shape = self._complete[name] = self._shape(name)
        return shape

    def _shape(self, name: str) -> Shape:
        found = self._shapes.get(name)
        if found is not None:
            return found
        description = self._descriptions[name]
        pattern = description.get("pattern")
        shape = self._shapes[name] = Shape(
            name=name,
            type=description["type"],
            minimum=description.get("min"),
            maximum=description.get("max"),
            pattern=None if pattern is None else _compile(pattern),
            pattern_text=pattern or "",
            enum=tuple(description.get("enum", ())),
            required=tuple(description.get("required", ())),
        )
        shape.members = {
            member: self._shape(reference["shape"])
            for member, reference in description.get("members", {}).items()
        }
        item = description.get("member") or description.get("value")
        if item is not None:
            shape.item = self._shape(item["shape"])
        if "key" in description:
            shape.key = self._shape(description["key"]["shape"])
        return shape


def _compile(pattern: str) -> re.Pattern[str]:
    # \p{L} and \p{N} are the word characters of Python without the underscore.
    return re.compile(_UNICODE_CLASS.sub(rf"(?:[^\\W_]|[{_SEPARATORS}\1])", pattern))
