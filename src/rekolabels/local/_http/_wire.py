"""Wire format: AWS JSON 1.1, parsed, validated and serialized by botocore's service model.

Parsing validates everything that the model specifies: required and unknown members, types, lengths, ranges,
patterns and enumerations. Any violation is an ``InvalidParameterException``, the error that every operation
declares for malformed requests.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import struct
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from rekolabels.local._core._exceptions import ServiceException
from rekolabels.local._http._shapes import ServiceModel, Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
from rekolabels.manifest._json import is_list, is_object

__all__ = ["MAX_BODY", "Wire"]

MAX_BODY = 16 * 1024 * 1024
"""Maximum size of a request body in bytes: two 5 MB blobs fit in base64."""

_INTEGER_LIMITS = {"integer": 2**31, "long": 2**63}
_MAX_SHOWN = 80
"""Characters of a value that a message quotes."""
_JSON_TYPES: Mapping[str, str] = {
    "dict": "an object",
    "list": "a list",
    "str": "a string",
    "bool": "a boolean",
    "int": "an integer",
    "float": "a number with a fraction",
}


class Wire:
    """Parses requests and serializes responses of Amazon Rekognition.

    Attributes:
        model: The service model.
        prefix: What precedes the operation's name in the ``X-Amz-Target`` header.
    """

    def __init__(self) -> None:
        self.model = ServiceModel()
        self.prefix = f"{self.model.target_prefix}."
        self._names = self.model.operations

    def has_operation(self, operation: str) -> bool:
        """Return whether the service model has an operation with this name."""
        return operation in self._names

    def parse_request(self, operation: str, body: bytes) -> dict[str, Any]:
        """Return the validated parameters of a request; blobs are bytes.

        Raises:
            ServiceException: ``InvalidParameterException``; the body violates the model.
        """
        try:
            document: object = json.loads(body or b"{}", parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise ServiceException.invalid(f"The request body is not valid JSON: {_short(error)}.") from None
        return _parse_structure(self.model.input_of(operation), document, "")

    def serialize_response(self, operation: str, result: Mapping[str, Any]) -> bytes:
        """Return the body of a response; members that are None are omitted.

        Raises:
            KeyError: The result has a member that is not in the model, which is a defect of the operation.
        """
        return json.dumps(_serialize(self.model.output_of(operation), result), separators=(",", ":")).encode()


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _parse(shape: Shape, value: object, path: str) -> Any:
    return _PARSERS[shape.type](shape, value, path)


def _parse_structure(shape: Shape, value: object, path: str) -> dict[str, Any]:
    if not is_object(value):
        raise _wrong_type(path or "The request", "an object", value)
    known = shape.members
    result: dict[str, Any] = {}
    for name, inner in value.items():
        member = known.get(name)
        if member is None:
            raise ServiceException.invalid(f"Unknown parameter {_short(_join(path, name))!r}.")
        if inner is not None:  # null is the same as absent
            result[name] = _parse(member, inner, _join(path, name))
    for name in shape.required:
        if name not in result:
            raise ServiceException.invalid(f"Missing required parameter {_join(path, name)!r}.")
    if shape.union and len(result) != 1:
        raise ServiceException.invalid(f"{path!r} must have exactly one member.")
    return result


def _parse_list(shape: Shape, value: object, path: str) -> list[Any]:
    if not is_list(value) or shape.item is None:
        raise _wrong_type(path, "a list", value)
    _check_length(shape, len(value), path, "entries")
    return [_parse(shape.item, inner, f"{path}[{index}]") for index, inner in enumerate(value)]


def _parse_map(shape: Shape, value: object, path: str) -> dict[str, Any]:
    if not is_object(value) or shape.key is None or shape.item is None:
        raise _wrong_type(path, "an object", value)
    _check_length(shape, len(value), path, "entries")
    result: dict[str, Any] = {}
    for key, inner in value.items():
        _parse(shape.key, key, f"{path} (key)")
        result[key] = _parse(shape.item, inner, f"{path}.{key}")
    return result


def _parse_string(shape: Shape, value: object, path: str) -> str:
    if not isinstance(value, str):
        raise _wrong_type(path, "a string", value)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ServiceException.invalid(f"{_short(path)!r} is not valid Unicode text.") from None
    _check_length(shape, len(value), path, "characters")
    if shape.pattern is not None and not shape.pattern.fullmatch(value):
        shown = _short(repr(value))
        raise ServiceException.invalid(
            f"{_short(path)!r} is {shown}; it must match the pattern {shape.pattern_text!r}."
        )
    if shape.enum and value not in shape.enum:
        allowed = ", ".join(shape.enum)
        raise ServiceException.invalid(f"{path!r} is {_short(repr(value))}; it must be one of {allowed}.")
    return value


def _parse_integer(shape: Shape, value: object, path: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong_type(path, "an integer", value)
    limit = _INTEGER_LIMITS[shape.type]
    if not -limit <= value < limit:
        raise ServiceException.invalid(f"{path!r} is out of range for type {shape.type}.")
    _check_range(shape, value, path)
    return value


def _parse_float(shape: Shape, value: object, path: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _wrong_type(path, "a number", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ServiceException.invalid(f"{path!r} is out of range for type {shape.type}.")
    _check_range(shape, number, path)
    return number


def _parse_boolean(_shape: Shape, value: object, path: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong_type(path, "true or false", value)
    return value


def _parse_blob(shape: Shape, value: object, path: str) -> bytes:
    if not isinstance(value, str):
        raise _wrong_type(path, "base64 text", value)
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ServiceException.invalid(f"{path!r} is not valid base64.") from None
    _check_length(shape, len(data), path, "bytes")
    return data


_PARSERS: Mapping[str, Callable[[Shape, object, str], Any]] = {
    "structure": _parse_structure,
    "list": _parse_list,
    "map": _parse_map,
    "string": _parse_string,
    "integer": _parse_integer,
    "long": _parse_integer,
    "float": _parse_float,
    "double": _parse_float,
    "timestamp": _parse_float,
    "boolean": _parse_boolean,
    "blob": _parse_blob,
}


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _wrong_type(path: str, expected: str, value: object) -> ServiceException:
    kind = _JSON_TYPES.get(type(value).__name__, "null")
    return ServiceException.invalid(f"{_short(path)!r} must be {expected}, not {kind}.")


def _check_length(shape: Shape, length: int, path: str, unit: str) -> None:
    if shape.minimum is not None and length < shape.minimum:
        raise ServiceException.invalid(
            f"{_short(path)!r} has {length} {unit}; at least {shape.minimum} are required."
        )
    if shape.maximum is not None and length > shape.maximum:
        raise ServiceException.invalid(
            f"{_short(path)!r} has {length} {unit}; at most {shape.maximum} are allowed."
        )


def _check_range(shape: Shape, value: float, path: str) -> None:
    if shape.minimum is not None and value < shape.minimum:
        raise ServiceException.invalid(f"{path!r} is {value}; it must be at least {shape.minimum}.")
    if shape.maximum is not None and value > shape.maximum:
        raise ServiceException.invalid(f"{path!r} is {value}; it must be at most {shape.maximum}.")


def _serialize(shape: Shape, value: Any) -> Any:
    if shape.type == "structure":
        members = shape.members
        return {name: _serialize(members[name], inner) for name, inner in value.items() if inner is not None}
    if shape.item is not None:
        item = shape.item
        if shape.type == "list":
            return [_serialize(item, inner) for inner in value]
        return {key: _serialize(item, inner) for key, inner in value.items()}
    writer = _SERIALIZERS.get(shape.type)
    return value if writer is None else writer(value)


def _serialize_timestamp(value: datetime | float) -> float:
    return value.timestamp() if isinstance(value, datetime) else value


def _serialize_float(value: float) -> float:
    """Round to single precision, as the service sends confidences and scores."""
    single: float = struct.unpack("f", struct.pack("f", value))[0]
    return single


def _serialize_blob(value: bytes) -> str:
    return base64.b64encode(value).decode()


_SERIALIZERS: Mapping[str, Callable[[Any], Any]] = {
    "timestamp": _serialize_timestamp,
    "float": _serialize_float,
    "blob": _serialize_blob,
}
