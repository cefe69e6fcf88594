"""Every constraint that the model puts on a request of our operations, and a request that breaks it."""

from __future__ import annotations

import base64
import copy
import functools
import json
from typing import TYPE_CHECKING, Any, Literal

import attrs
from botocore.loaders import Loader

from rekolabels.local._operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Constraint", "constraints", "errors_of", "full_request", "least_request", "model"]

Kind = Literal["required", "type", "unknown member", "at least", "at most", "pattern", "one of"]
Path = tuple[str | int, ...]

_ARN = "arn:aws:rekognition:us-east-1:000000000000:project/birds"
VALID: Mapping[str, str] = {
    "ProjectArn": f"{_ARN}/1",
    "ProjectVersionArn": f"{_ARN}/version/v1/1",
    "ProjectVersionId": f"{_ARN}/version/v1/1",
    "DatasetArn": f"{_ARN}/dataset/train/1",
    "ResourceArn": f"{_ARN}/1",
    "ProjectPolicyRevisionId": "a0",
}
"""Values of shapes that a row of the letter a is not good enough for."""
BROKEN: Mapping[str, str] = {
    "ProjectArn": "arn:aws:rekognition:us-east-1:1:project/birds/1",
    "ProjectVersionArn": f"{_ARN}/1",
    "ProjectVersionId": f"{_ARN}/1",
    "DatasetArn": f"{_ARN}/dataset/other/1",
    "VersionName": "a b",
    "ProjectName": "a:b",
    "ProjectPolicyName": "a b",
    "ProjectPolicyRevisionId": "g",
    "ProjectPolicyDocument": "\u2028",
    "S3Bucket": "a b c",
    "MediaAnalysisS3KeyPrefix": "a b",
    "TagKey": "aws:a",
    "TagValue": "a\tb",
    "KmsKeyId": "-a",
    "VersionDescription": "a#b",
    "HumanLoopName": "A_B",
    "MediaAnalysisJobId": "a b",
    "MediaAnalysisJobName": "a b",
    "ClientRequestToken": "a b",
    "DatasetLabel": "\n",
    "QueryString": "  ",
}
"""For each pattern of the model a value of good length that does not match it."""


@attrs.frozen
class Constraint:
    """One rule of the model for one place of a request."""

    operation: str
    where: str
    """The place, such as ``Image.S3Object.Bucket``."""
    kind: Kind
    rule: str
    """The limit, in words."""
    broken: Any = attrs.field(eq=False, repr=False)
    """A request that breaks this rule and no other one before it."""
    kept: Any = attrs.field(eq=False, repr=False, default=None)
    """A request that just keeps it; None where there is no such edge."""

    @property
    def name(self) -> str:
        """The test's id."""
        return f"{self.operation}-{self.where or 'request'}-{self.kind}".replace(" ", "_")


@functools.cache
def model() -> Any:
    """Botocore's description of the service."""
    return Loader().load_service_model("rekognition", "service-2")


def errors_of(operation: str) -> list[str]:
    """The errors that the model declares for an operation."""
    return [error["shape"] for error in model()["operations"][operation].get("errors", [])]


def full_request(operation: str) -> dict[str, Any]:
    """A request with every member that there is, each in its form."""
    request: dict[str, Any] = _valid(model()["operations"][operation]["input"]["shape"])
    return request


def least_request(operation: str) -> dict[str, Any]:
    """A request with the members that must be given and no others."""
    request: dict[str, Any] = _valid(model()["operations"][operation]["input"]["shape"], everything=False)
    return request


def constraints() -> Iterator[Constraint]:
    """All of them, operation by operation."""
    for operation in sorted(OPERATIONS):
        shape = model()["operations"][operation]["input"]["shape"]
        for where, kind, rule, broken, kept in _walk(shape, ()):
            request = full_request(operation)
            yield Constraint(
                operation,
                _name(where),
                kind,
                rule,
                _with(request, where, broken),
                None if kept is None else _with(request, where, kept),
            )


_MISSING = object()


def _walk(shape_name: str, where: Path) -> Iterator[tuple[Path, Kind, str, Any, Any]]:
    shape = model()["shapes"][shape_name]
    kind = shape["type"]
    wrong: Any = 7 if kind in ("string", "blob", "structure", "list", "map") else "seven"
    yield where, "type", kind, wrong, None
    if "pattern" in shape:
        yield where, "pattern", shape["pattern"], BROKEN[shape_name], None
    if "enum" in shape:
        yield where, "one of", ", ".join(shape["enum"]), "NONE_OF_THEM", None
    if shape.get("min", 0) > 0 or (kind in ("integer", "float") and "min" in shape):
        least = shape["min"]
        yield where, "at least", f"{least}", _sized(shape_name, least - 1), _sized(shape_name, least)
    if "max" in shape:
        most = shape["max"]
        yield where, "at most", f"{most}", _sized(shape_name, most + 1), _sized(shape_name, most)
    if kind == "structure":
        yield (*where, "NoSuchMember"), "unknown member", "none", 1, None
        for name, member in shape["members"].items():
            if name in shape.get("required", ()):
                yield (*where, name), "required", "given", _MISSING, None
            yield from _walk(member["shape"], (*where, name))
    elif kind == "list":
        yield from _walk(shape["member"]["shape"], (*where, 0))
    elif kind == "map":
        yield from _walk_map(shape, where)


def _walk_map(shape: Any, where: Path) -> Iterator[tuple[Path, Kind, str, Any, Any]]:
    key = shape["key"]["shape"]
    for place, kind, rule, broken, kept in _walk(key, (*where, "(key)")):
        if kind != "type":  # the keys of JSON are strings
            yield place, kind, rule, broken, kept
    yield from _walk(shape["value"]["shape"], (*where, "a"))


def _valid(shape_name: str, *, everything: bool = True) -> Any:
    shape = model()["shapes"][shape_name]
    kind = shape["type"]
    if kind == "structure":
        names = shape["members"] if everything else shape.get("required", ())
        members = {name: shape["members"][name]["shape"] for name in names}
        return {name: _valid(member, everything=everything) for name, member in members.items()}
    if kind == "list":
        return [
            _valid(shape["member"]["shape"], everything=everything)
            for _ in range(max(1, shape.get("min", 1)))
        ]
    if kind == "map":
        return {"a": _valid(shape["value"]["shape"])}
    if "enum" in shape:
        return shape["enum"][0]
    if kind == "boolean":
        return True
    return _sized(shape_name, max(1, shape.get("min", 1)))


def _sized(shape_name: str, size: int) -> Any:
    """A value of this length, or of this amount."""
    shape = model()["shapes"][shape_name]
    kind = shape["type"]
    if kind in ("integer", "float", "double", "long"):
        return size
    if kind == "blob":
        return base64.b64encode(b"x" * size).decode()
    if kind == "list":
        return [_valid(shape["member"]["shape"]) for _ in range(size)]
    if kind == "map":
        return {f"a{number}": _valid(shape["value"]["shape"]) for number in range(size)}
    text = VALID.get(shape_name, "a")
    if size < len(text):
        return text if shape.get("min", 0) == size else text[:size]
    return text + (text[-1] if text[-1].isalnum() else "a") * (size - len(text))


def _with(request: Any, where: Path, value: Any) -> Any:
    """The request with another value at a place."""
    if not where:
        return value
    changed = copy.deepcopy(request)
    place = changed
    for step in where[:-1]:
        place = place[step]
    last = where[-1]
    if last == "(key)":
        place.clear()
        place[value] = "a"
    elif value is _MISSING:
        del place[last]
    else:
        place[last] = value
    return changed


def _name(where: Path) -> str:
    parts = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in where]
    return "".join(parts).removeprefix(".")


def body_of(request: Any) -> bytes:
    """A request as it goes over the wire."""
    return json.dumps(request).encode()
