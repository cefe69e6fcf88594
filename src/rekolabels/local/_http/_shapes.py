"""The shapes of the service model as the wire needs them, made from botocore's own description."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs
from botocore.loaders import Loader

__all__ = ["Model", "Shape"]

# What the model's patterns call \p{Z}; Python's re knows no Unicode properties.
_SEPARATORS = " \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_UNICODE_CLASS = re.compile(r"\[\\p\{L\}\\p\{Z\}\\p\{N\}((?:[^\]\\]|\\.)*)\]")


@attrs.define(eq=False)
class Shape:
    """One shape. Members are filled in after it is made: shapes may hold themselves."""

    type: str
    """``structure``, ``list``, ``map``, ``string``, ``integer``, ``float`` and so on."""
    least: float | None = None
    """Smallest value, or shortest length."""
    most: float | None = None
    """Greatest value, or longest length."""
    pattern: re.Pattern[str] | None = None
    """What a string must match as a whole."""
    pattern_text: str = ""
    """The pattern as the model has it."""
    options: tuple[str, ...] = ()
    """What a string must be one of; empty when it is free."""
    members: Mapping[str, Shape] = attrs.field(factory=dict[str, "Shape"])
    """Of a structure."""
    required: tuple[str, ...] = ()
    """Of a structure."""
    union: bool = False
    """Whether exactly one member of a structure must be given."""
    key: Shape | None = None
    """Of a map."""
    item: Shape | None = None
    """Of a list; of a map, the value."""


class Model:
    """The service model of Amazon Rekognition."""

    def __init__(self) -> None:
        description: Any = Loader().load_service_model("rekognition", "service-2")
        self._operations: Mapping[str, Any] = description["operations"]
        self._descriptions: Mapping[str, Any] = description["shapes"]
        self._shapes: dict[str, Shape] = {}
        self.target_prefix: str = description["metadata"]["targetPrefix"]

    @property
    def operations(self) -> frozenset[str]:
        """The names of all operations."""
        return frozenset(self._operations)

    def input_of(self, operation: str) -> Shape:
        """What a request of the operation holds."""
        return self._shape_of(operation, "input")

    def output_of(self, operation: str) -> Shape:
        """What an answer of the operation holds."""
        return self._shape_of(operation, "output")

    def errors_of(self, operation: str) -> frozenset[str]:
        """The errors that the operation declares."""
        return frozenset(error["shape"] for error in self._operations[operation].get("errors", ()))

    def _shape_of(self, operation: str, direction: str) -> Shape:
        reference = self._operations[operation].get(direction)
        return Shape("structure") if reference is None else self._shape(reference["shape"])

    def _shape(self, name: str) -> Shape:
        found = self._shapes.get(name)
        if found is not None:
            return found
        description = self._descriptions[name]
        pattern = description.get("pattern")
        shape = self._shapes[name] = Shape(
            type=description["type"],
            least=description.get("min"),
            most=description.get("max"),
            pattern=None if pattern is None else _compile(pattern),
            pattern_text=pattern or "",
            options=tuple(description.get("enum", ())),
            required=tuple(description.get("required", ())),
            union=description.get("union", False),
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
    # Word characters but the underscore are what the model calls \p{L} and \p{N}.
    return re.compile(_UNICODE_CLASS.sub(rf"(?:[^\\W_]|[{_SEPARATORS}\1])", pattern))
