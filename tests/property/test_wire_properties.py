"""Properties of the wire format: any request is parsed or rejected, responses survive a round trip."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekolabels.local._core._exceptions import ServiceException
from rekolabels.local._http._wire import Wire
from rekolabels.local._operations._parameters import make_token, read_token

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
