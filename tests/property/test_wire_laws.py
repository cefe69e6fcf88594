"""Laws of the wire: whatever comes in is either read or refused, and what was written reads back."""

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
def test_any_bytes_are_read_or_refused(operation: str, body: bytes) -> None:
    """Bytes that are no request never raise anything but a refusal."""
    with contextlib.suppress(ServiceException):
        WIRE.parse_request(operation, body)


@settings(max_examples=300)
@given(st.sampled_from(OPERATIONS), st.data())
def test_any_document_is_read_or_refused(operation: str, data: st.DataObject) -> None:
    """A document with the right names and any values never raises anything but a refusal."""
    names = sorted(WIRE.model.input_of(operation).members)
    document = {name: data.draw(JSON) for name in names}
    with contextlib.suppress(ServiceException):
        WIRE.parse_request(operation, json.dumps(document).encode())


@given(st.binary(min_size=1, max_size=200))
def test_blobs_come_through(blob: bytes) -> None:
    """A blob is read as the bytes that were sent."""
    arn = "arn:aws:rekognition:us-east-1:000000000000:project/a/dataset/train/1"
    body = {"DatasetArn": arn, "Changes": {"GroundTruth": base64.b64encode(blob).decode()}}
    assert WIRE.parse_request("UpdateDatasetEntries", json.dumps(body).encode())["Changes"] == {
        "GroundTruth": blob
    }


@given(st.floats(0, 100))
def test_confidences_are_written_in_single_precision(confidence: float) -> None:
    """A written confidence is the nearest 32-bit number, so writing it again changes nothing."""
    answer: dict[str, Any] = {"CustomLabels": [{"Name": "a", "Confidence": confidence}]}
    once = json.loads(WIRE.serialize_response("DetectCustomLabels", answer))
    assert once["CustomLabels"][0]["Confidence"] == pytest.approx(confidence, rel=1e-6, abs=1e-40)
    assert json.loads(WIRE.serialize_response("DetectCustomLabels", once)) == once


@given(st.text(max_size=50))
def test_a_token_that_we_did_not_make_is_refused(token: str) -> None:
    """Text of any kind is no token, except none at all."""
    if token:
        with pytest.raises(ServiceException) as caught:
            read_token("DescribeProjects", {"NextToken": token})
        assert caught.value.code == "InvalidPaginationTokenException"
    else:
        assert read_token("DescribeProjects", {"NextToken": token}) is None


@given(st.integers(min_value=0) | st.text(), st.lists(st.text(), max_size=3))
def test_a_token_brings_back_its_position(position: int | str, names: list[str]) -> None:
    """A token of the same question gives its position, whatever the size of the page."""
    question: dict[str, Any] = {"ProjectNames": names, "MaxResults": 2}
    token = make_token("DescribeProjects", question, position)
    assert read_token("DescribeProjects", {**question, "MaxResults": 9, "NextToken": token}) == position
