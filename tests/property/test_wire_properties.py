"""Properties of the wire format: any request is parsed or rejected, responses survive a round trip."""

from __future__ import annotations

import base64
import contextlib
import json
import math
import re
from typing import TYPE_CHECKING, Any

import pytest
from botocore.loaders import Loader
from hypothesis import given, settings
from hypothesis import strategies as st

from rekolabels.local._core._exceptions import ServiceException
from rekolabels.local._http._wire import Wire
from rekolabels.local._operations import OPERATIONS as IMPLEMENTED
from rekolabels.local._operations._parameters import make_token, read_token

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WIRE = Wire()
OPERATIONS = sorted(WIRE.model.operations)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.sampled_from(OPERATIONS), st.binary())
def test_any_bytes_are_parsed_or_rejected(operation: str, body: bytes) -> None:
    """Arbitrary bytes raise nothing but ServiceException."""
    with contextlib.suppress(ServiceException):
        WIRE.parse_request(operation, body)


@settings(max_examples=300)
@given(st.sampled_from(OPERATIONS), st.data())
def test_any_document_is_parsed_or_rejected(operation: str, data: st.DataObject) -> None:
    """A document with valid names and arbitrary values raises nothing but ServiceException."""
    names = sorted(WIRE.model.input_of(operation).members)
    document = {name: data.draw(JSON) for name in names}
    with contextlib.suppress(ServiceException):
        WIRE.parse_request(operation, json.dumps(document).encode())


SHAPES: Mapping[str, Any] = Loader().load_service_model("rekognition", "service-2")["shapes"]
NUMBERS = ("integer", "float")


def values(name: str) -> st.SearchStrategy[Any]:
    """Values of the JSON type of a shape, whether they keep its constraints or not."""
    shape = SHAPES[name]
    match shape["type"]:
        case "structure":
            members = {member: values(inner["shape"]) for member, inner in shape["members"].items()}
            return st.fixed_dictionaries({}, optional=members)
        case "list":
            return st.lists(values(shape["member"]["shape"]), max_size=3)
        case "map":
            return st.dictionaries(values(shape["key"]["shape"]), values(shape["value"]["shape"]), max_size=2)
        case "blob":
            return st.binary(max_size=3).map(lambda blob: base64.b64encode(blob).decode())
        case "integer":
            return st.integers(-(2**40), 2**40) | st.integers(0, 120)
        case "float":
            return st.floats(-10, 120)
        case "boolean":
            return st.booleans()
    text = st.text("ab1. \né", max_size=6) | st.text("a", min_size=250, max_size=260)
    return text | st.sampled_from(shape["enum"]) if "enum" in shape else text


def is_broken(shape: Any, value: Any) -> bool:
    """Whether a value breaks a constraint of its own shape."""
    kind = shape["type"]
    size: Any = None
    if kind in NUMBERS:
        size = value
    elif kind == "blob":
        size = len(base64.b64decode(value))
    elif kind in ("string", "list", "map"):
        size = len(value)
    if size is not None and not shape.get("min", -math.inf) <= size <= shape.get("max", math.inf):
        return True
    pattern = shape.get("pattern", "(?s:.*)").replace(r"\p{L}\p{Z}\p{N}", r" a-zA-Z0-9é")
    return kind == "string" and (not re.fullmatch(pattern, value) or value not in shape.get("enum", [value]))


def breaches(name: str, value: Any, at: str) -> Iterator[str]:
    """Where a value breaks a constraint of the model, as AWS names the place."""
    shape = SHAPES[name]
    if is_broken(shape, value):
        yield at
    match shape["type"]:
        case "structure":
            for member, inner in shape["members"].items():
                place = f"{at}.{member[0].lower()}{member[1:]}".removeprefix(".")
                if member in value:
                    yield from breaches(inner["shape"], value[member], place)
                elif member in shape.get("required", ()):
                    yield place
        case "list":
            inner = shape["member"]["shape"]
            has_members = SHAPES[inner]["type"] == "structure"
            for number, item in enumerate(value, 1):
                yield from breaches(inner, item, f"{at}.{number}.member" if has_members else at)
        case "map":
            for key, item in value.items():
                yield from breaches(shape["key"]["shape"], key, at)
                yield from breaches(shape["value"]["shape"], item, at)
        case _:
            pass


def error_of(operation: str, request: Any) -> tuple[str, str]:
    """Return code and message of the error of a request; empty texts for a valid one."""
    try:
        WIRE.parse_request(operation, json.dumps(request).encode())
    except ServiceException as error:
        return error.code, error.message
    return "", ""


@settings(max_examples=300)
@given(st.sampled_from(sorted(IMPLEMENTED)), st.data())
def test_any_breach_of_the_model_is_a_validation_exception(operation: str, data: st.DataObject) -> None:
    """A request is accepted exactly if it keeps every constraint; otherwise each broken member is named."""
    name = WIRE.model.input_of(operation).name
    request = data.draw(values(name))
    places = set(breaches(name, request, ""))
    code, message = error_of(operation, request)
    assert code == ("ValidationException" if places else "")
    listed = re.findall(r" at '([^' ]+)' failed to satisfy constraint: ", message)
    assert message.startswith(f"{len(listed)} validation error") or not places
    assert set(listed) <= places
    assert set(listed) == places or len(listed) == 10


@given(st.binary(min_size=1, max_size=200))
def test_blobs_are_decoded(blob: bytes) -> None:
    """A blob is parsed as the bytes that were sent."""
    arn = "arn:aws:rekognition:us-east-1:000000000000:project/a/dataset/train/1"
    body = {"DatasetArn": arn, "Changes": {"GroundTruth": base64.b64encode(blob).decode()}}
    assert WIRE.parse_request("UpdateDatasetEntries", json.dumps(body).encode())["Changes"] == {
        "GroundTruth": blob
    }


@given(st.floats(0, 100))
def test_confidences_have_single_precision(confidence: float) -> None:
    """A confidence is rounded to the nearest 32-bit float, so serializing it again changes nothing."""
    result: dict[str, Any] = {"CustomLabels": [{"Name": "a", "Confidence": confidence}]}
    once = json.loads(WIRE.serialize_response("DetectCustomLabels", result))
    assert once["CustomLabels"][0]["Confidence"] == pytest.approx(confidence, rel=1e-6, abs=1e-40)
    assert json.loads(WIRE.serialize_response("DetectCustomLabels", once)) == once


@given(st.text(max_size=50))
def test_a_foreign_token_is_invalid(token: str) -> None:
    """Any text but the empty one is an InvalidPaginationTokenException."""
    if token:
        with pytest.raises(ServiceException) as caught:
            read_token("DescribeProjects", {"NextToken": token})
        assert caught.value.code == "InvalidPaginationTokenException"
    else:
        assert read_token("DescribeProjects", {"NextToken": token}) is None


@given(st.integers(min_value=0) | st.text(), st.lists(st.text(), max_size=3))
def test_a_token_returns_its_position(position: int | str, names: list[str]) -> None:
    """A token of the same request gives its position, whatever the page size."""
    request: dict[str, Any] = {"ProjectNames": names, "MaxResults": 2}
    token = make_token("DescribeProjects", request, position)
    assert read_token("DescribeProjects", {**request, "MaxResults": 9, "NextToken": token}) == position
