"""Wire format: AWS JSON 1.1, deserialized, validated and serialized by botocore's service model.

A request is first deserialized: malformed JSON and values of another JSON type are a
``SerializationException``, and members that the model does not have are ignored, as in every AWS service with
this protocol. AWS's texts are those that emulators of other services recorded. Then ``_validation`` checks
the constraints of the model.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import struct
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from rekolabels.local._core._exceptions import ServiceException
from rekolabels.local._http._shapes import ServiceModel, Shape
from rekolabels.local._http._validation import check_request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
from rekolabels.manifest._json import is_list, is_object

__all__ = ["MAX_BODY", "Wire"]

MAX_BODY = 16 * 1024 * 1024
"""Maximum size of a request body in bytes: two 5 MB blobs fit in base64."""

_INTEGER_LIMITS = {"integer": 2**31, "long": 2**63}
_MAX_SHOWN = 80
"""Characters of a value or path that a message quotes."""
_LIST_START = "Start of list found where not expected"
_OBJECT_START = "Start of structure or map found where not expected"
_BASE64_CHARACTERS = re.compile(r"[A-Za-z0-9+/]*={0,2}")


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
            ServiceException: ``SerializationException``: the body is not valid JSON, or a value has another
                JSON type than its member. ``ValidationException``: a value breaks a constraint of the model.
        """
        try:
            document: object = json.loads(body, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise _not_serializable("", f"The request body is not valid JSON: {_short(error)}.") from None
        shape = self.model.input_of(operation)
        request = _parse_structure(shape, document, "")
        check_request(shape, request)
        return request

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
        # AWS has no text for a request that is a single value.
        text = _LIST_START if is_list(value) else "Expected null" if path else ""
        raise _not_serializable(text, _must_be(path, "an object"))
    members = shape.members
    # Members that the model does not have are ignored; null is the same as absent.
    return {
        name: _parse(members[name], inner, _join(path, name))
        for name, inner in value.items()
        if inner is not None and name in members
    }


def _parse_list(shape: Shape, value: object, path: str) -> list[Any]:
    item = shape.item
    if not is_list(value) or item is None:
        text = _OBJECT_START if is_object(value) else "Expected list or null"
        raise _not_serializable(text, _must_be(path, "a list"))
    return [
        None if inner is None else _parse(item, inner, f"{path}[{index}]")
        for index, inner in enumerate(value)
    ]


def _parse_map(shape: Shape, value: object, path: str) -> dict[str, Any]:
    item = shape.item
    if not is_object(value) or item is None:
        text = _LIST_START if is_list(value) else "Expected map or null"
        raise _not_serializable(text, _must_be(path, "an object"))
    return {
        _unicode(key, path): None if inner is None else _parse(item, inner, _join(path, key))
        for key, inner in value.items()
    }


def _parse_string(_shape: Shape, value: object, path: str) -> str:
    if not isinstance(value, str):
        raise _wrong_type(value, path, "a String", "a string")
    return _unicode(value, path)


def _unicode(value: str, path: str) -> str:
    """Return a string as it is; half of a surrogate pair could neither be stored nor answered."""
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _not_serializable("", f"{_short(path)!r} must be valid Unicode text.") from None
    return value


def _parse_integer(shape: Shape, value: object, path: str) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong_type(value, path, "an Integer", "an integer")
    # The service model's limits are smaller, so a larger number breaks them.
    limit = _INTEGER_LIMITS[shape.type]
    return max(-limit, min(value, limit - 1))


def _parse_float(shape: Shape, value: object, path: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _wrong_type(value, path, f"a {shape.type.capitalize()}", "a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _wrong_type(value, path, f"a {shape.type.capitalize()}", "a number that a double can hold")
    return number


def _parse_boolean(_shape: Shape, value: object, path: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong_type(value, path, "a Boolean", "true or false")
    return value


def _parse_blob(_shape: Shape, value: object, path: str) -> bytes:
    if not isinstance(value, str):
        raise _wrong_type(value, path, "a Blob", "base64 text")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        reason = f"Base64 encoded length is expected a multiple of 4 bytes but found: {len(value)}"
        valid = _BASE64_CHARACTERS.match(value)
        if valid is not None and valid.end() < len(value):
            reason = f"Invalid Base64 character: {value[valid.end()]!r}"
        text = f"'{_short(value)}' can not be converted to a Blob: {reason}"
        raise _not_serializable(text, _must_be(path, "base64 text")) from None


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


def _wrong_type(value: object, path: str, java: str, expected: str) -> ServiceException:
    """Return the error for a value where a string, number, boolean or blob is expected.

    Args:
        value: The value.
        path: The member.
        java: What AWS's text calls the type, with its article.
        expected: The type in our words.
    """
    if is_object(value):
        text = _OBJECT_START
    elif is_list(value):
        text = _LIST_START
    else:
        token = "STRING" if isinstance(value, str) else "NUMBER"
        if isinstance(value, bool):
            token = str(value).upper()
        text = f"{token}_VALUE can not be converted to {java}"
    return _not_serializable(text, _must_be(path, expected))


def _must_be(path: str, expected: str) -> str:
    return f"{_short(path)!r} must be {expected}." if path else f"The request must be {expected}."


def _not_serializable(text: str, detail: str) -> ServiceException:
    """Return a ``SerializationException``: AWS's text, if it has one, and what is wrong in our words."""
    return ServiceException("SerializationException", f"{text}. {detail}" if text else detail)


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
