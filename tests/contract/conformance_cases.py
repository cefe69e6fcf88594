"""Constraints of the service model on requests, each with a request that violates it."""

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

__all__ = ["Constraint", "constraints", "errors_of", "full_request", "minimal_request", "model"]

Kind = Literal["required", "type", "unknown member", "at least", "at most", "pattern", "one of"]
MemberPath = tuple[str | int, ...]

_ARN = "arn:aws:rekognition:us-east-1:000000000000:project/birds"
VALID: Mapping[str, str] = {
    "ProjectArn": f"{_ARN}/1",
    "ProjectVersionArn": f"{_ARN}/version/v1/1",
    "ProjectVersionId": f"{_ARN}/version/v1/1",
    "DatasetArn": f"{_ARN}/dataset/train/1",
    "ResourceArn": f"{_ARN}/1",
    "ProjectPolicyRevisionId": "a0",
}
"""Valid values of the shapes for which a string of the letter a is not valid."""
INVALID: Mapping[str, str] = {
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
"""For each pattern of the model, a value of valid length that does not match it."""


@attrs.frozen
class Constraint:
    """One rule of the model on one member of a request."""

    operation: str
    path: str
    """Path of the member, such as ``Image.S3Object.Bucket``."""
    location: str
    """The path by which AWS's message names it, such as ``image.s3Object.bucket``."""
    kind: Kind
    rule: str
    """The limit, as text."""
    invalid: Any = attrs.field(eq=False, repr=False)
    """A request that violates only this constraint."""
    valid: Any = attrs.field(eq=False, repr=False, default=None)
    """A request at the limit; None for constraints without one."""

    @property
    def code(self) -> str | None:
        """The error of the invalid request; None for one that is accepted all the same."""
        if self.kind == "unknown member":
            return None
        return "SerializationException" if self.kind == "type" else "ValidationException"

    @property
    def name(self) -> str:
        """ID of the test."""
        return f"{self.operation}-{self.path or 'request'}-{self.kind}".replace(" ", "_")


@functools.cache
def model() -> Any:
    """Return botocore's model of the service."""
    return Loader().load_service_model("rekognition", "service-2")


def errors_of(operation: str) -> list[str]:
    """Return the errors that the model declares for an operation."""
    return [error["shape"] for error in model()["operations"][operation].get("errors", [])]


def full_request(operation: str) -> dict[str, Any]:
    """Return a valid request with all members."""
    request: dict[str, Any] = _valid(model()["operations"][operation]["input"]["shape"])
    return request


def minimal_request(operation: str) -> dict[str, Any]:
    """Return a valid request with the required members only."""
    request: dict[str, Any] = _valid(model()["operations"][operation]["input"]["shape"], everything=False)
    return request


def constraints() -> Iterator[Constraint]:
    """Yield all constraints, by operation."""
    for operation in sorted(OPERATIONS):
        shape = model()["operations"][operation]["input"]["shape"]
        for path, kind, rule, invalid, valid in _walk(shape, ()):
            request = full_request(operation)
            yield Constraint(
                operation,
                _name(path),
                _location(path),
                kind,
                rule,
                _with(request, path, invalid),
                None if valid is None else _with(request, path, valid),
            )


_MISSING = object()


def _walk(shape_name: str, path: MemberPath) -> Iterator[tuple[MemberPath, Kind, str, Any, Any]]:
    shape = model()["shapes"][shape_name]
    kind = shape["type"]
    wrong: Any = 7 if kind in ("string", "blob", "structure", "list", "map") else "seven"
    yield path, "type", kind, wrong, None
    if "pattern" in shape:
        yield path, "pattern", shape["pattern"], INVALID[shape_name], None
    if "enum" in shape:
        yield path, "one of", ", ".join(shape["enum"]), "UNKNOWN", None
    if shape.get("min", 0) > 0 or (kind in ("integer", "float") and "min" in shape):
        minimum = shape["min"]
        yield path, "at least", f"{minimum}", _sized(shape_name, minimum - 1), _sized(shape_name, minimum)
    if "max" in shape:
        maximum = shape["max"]
        yield path, "at most", f"{maximum}", _sized(shape_name, maximum + 1), _sized(shape_name, maximum)
    if kind == "structure":
        yield (*path, "NoSuchMember"), "unknown member", "none", 1, None
        for name, member in shape["members"].items():
            if name in shape.get("required", ()):
                yield (*path, name), "required", "given", _MISSING, None
            yield from _walk(member["shape"], (*path, name))
    elif kind == "list":
        yield from _walk(shape["member"]["shape"], (*path, 0))
    elif kind == "map":
        yield from _walk_map(shape, path)


def _walk_map(shape: Any, path: MemberPath) -> Iterator[tuple[MemberPath, Kind, str, Any, Any]]:
    key = shape["key"]["shape"]
    for inner, kind, rule, invalid, valid in _walk(key, (*path, "(key)")):
        if kind != "type":  # keys are always strings in JSON
            yield inner, kind, rule, invalid, valid
    yield from _walk(shape["value"]["shape"], (*path, "a"))


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
    """Return a value of this length, or a number of this value."""
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


def _with(request: Any, path: MemberPath, value: Any) -> Any:
    """Return the request with another value at a path."""
    if not path:
        return value
    changed = copy.deepcopy(request)
    inner = changed
    for step in path[:-1]:
        inner = inner[step]
    last = path[-1]
    if last == "(key)":
        inner.clear()
        inner[value] = "a"
    elif value is _MISSING:
        del inner[last]
    else:
        inner[last] = value
    return changed


def _name(path: MemberPath) -> str:
    parts = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in path]
    return "".join(parts).removeprefix(".")


def _location(path: MemberPath) -> str:
    """Values in lists, and the keys and values of maps, are named by their list or map."""
    steps = list(path)
    while steps and (isinstance(steps[-1], int) or steps[-1] in ("(key)", "a")):
        steps.pop()
    named = (
        f".{step + 1}.member" if isinstance(step, int) else f".{step[0].lower()}{step[1:]}" for step in steps
    )
    return "".join(named).removeprefix(".")


def body_of(request: Any) -> bytes:
    """Return the body of a request."""
    return json.dumps(request).encode()
