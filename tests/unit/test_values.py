"""Frozen values: labelled images, S3 locations, detections."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rekolabels import errors
from rekolabels.descriptions import Detection, S3Location, UnitsInService
from rekolabels.images import BoundingBox, LabelledImage


def test_a_labelled_image_takes_any_iterable() -> None:
    """Labels and boxes become tuples, the source becomes a string."""
    box = BoundingBox("puppy", 1, 2, 30, 40)
    image = LabelledImage("rex.jpg", labels=iter(["puppy", "garden"]), boxes=[box])
    assert (image.source, image.labels, image.boxes) == ("rex.jpg", ("puppy", "garden"), (box,))


def test_a_single_string_is_refused_as_labels() -> None:
    """``labels="puppy"`` would give five labels of one letter."""
    with pytest.raises(errors.InvalidInput) as caught:
        LabelledImage("rex.jpg", labels="puppy")
    assert str(caught.value) == "labels is 'puppy'; expected a list of labels, as text. Use labels=['puppy']."


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://puppies/train/rex.jpg", S3Location("puppies", "train/rex.jpg")),
        ("S3://puppies/rex.jpg", S3Location("puppies", "rex.jpg")),
        ("s3://puppies/a://b/", S3Location("puppies", "a://b/")),
        ("s3://puppies/", S3Location("puppies", "")),
        ("s3://puppies", S3Location("puppies", "")),
    ],
)
def test_s3_locations_are_parsed(uri: str, expected: S3Location) -> None:
    """The key may be empty and may contain any character."""
    assert S3Location.parse(uri) == expected


@pytest.mark.parametrize(
    "uri", ["", "s3", "s3://", "s3:///rex.jpg", "https://puppies/rex.jpg", "s3:/puppies/rex"]
)
def test_other_locations_are_refused(uri: str) -> None:
    """The message shows the input and what was expected."""
    with pytest.raises(errors.InvalidInput) as caught:
        S3Location.parse(uri)
    assert str(caught.value) == f"Invalid S3 location {uri!r}: expected s3://bucket/key."


def test_an_s3_location_prints_as_its_uri() -> None:
    """The printed URI can be parsed again."""
    location = S3Location("puppies", "train/rex.jpg")
    assert (location.uri, str(location)) == ("s3://puppies/train/rex.jpg", "s3://puppies/train/rex.jpg")


def test_a_detection_is_drawn_into_a_copy() -> None:
    """The image itself does not change."""
    image = pytest.importorskip("PIL.Image").new("RGB", (200, 200), "white")
    drawn = Detection("puppy", 90.0).draw(image)
    assert drawn.size == image.size
    assert drawn.getextrema() != image.getextrema() == ((255, 255),) * 3


def test_units_count_by_the_second() -> None:
    """An average of half a unit for an hour is 1,800 unit seconds."""
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    assert UnitsInService(begin, begin + timedelta(hours=1), 0.5).unit_seconds == 1800.0
