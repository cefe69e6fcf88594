"""DetectCustomLabels: thresholds, limits and errors."""

from __future__ import annotations

import struct

import attrs
import pytest
from service_backends import (
    LABELS,
    Trained,
    picture,
    png,
    refused,
    trained_fixture,  # noqa: F401 - fixtures
)


@pytest.fixture(scope="module")
def running(trained: Trained) -> Trained:
    """The trained model, running."""
    trained.backend.rekognition.start_project_version(ProjectVersionArn=trained.version, MinInferenceUnits=1)
    trained.backend.settle()
    return trained


@attrs.frozen
class Seen:
    """A detection."""

    label: str
    confidence: float


def detect(running: Trained, data: bytes, **options: object) -> list[Seen]:
    """Ask the model about an image."""
    answer = running.backend.rekognition.detect_custom_labels(
        ProjectVersionArn=running.version, Image={"Bytes": data}, **options
    )
    return [Seen(found["Name"], found["Confidence"]) for found in answer["CustomLabels"]]


@pytest.mark.parametrize("label", LABELS)
def test_it_sees_what_it_was_taught(running: Trained, label: str) -> None:
    """Without MinConfidence each label's assumed threshold decides; image-level labels have no geometry."""
    answer = running.backend.rekognition.detect_custom_labels(
        ProjectVersionArn=running.version, Image={"Bytes": picture(label, 500)}
    )
    assert [label] == [found["Name"] for found in answer["CustomLabels"]]
    assert "Geometry" not in answer["CustomLabels"][0]


def test_min_confidence_and_max_results(running: Trained) -> None:
    """0 gives every label, sorted; x gives those of x or more; MaxResults keeps the most confident."""
    image = picture("dark", 501)
    everything = detect(running, image, MinConfidence=0)
    assert set(LABELS) == {seen.label for seen in everything}
    assert everything == sorted(everything, key=lambda seen: -seen.confidence)
    assert all(0 <= seen.confidence <= 100 for seen in everything)
    second = everything[1]
    assert everything[:2] == detect(running, image, MinConfidence=second.confidence)
    assert detect(running, image, MinConfidence=100) == []
    assert everything[:1] == detect(running, image, MinConfidence=0, MaxResults=1)
    assert detect(running, image, MinConfidence=0, MaxResults=0) == []


def test_confidences_are_single_precision(running: Trained) -> None:
    """As the service sends them: numbers that a 32-bit float holds."""
    for seen in detect(running, picture("dark", 502), MinConfidence=0):
        assert struct.unpack("f", struct.pack("f", seen.confidence))[0] == seen.confidence


def test_an_image_in_s3_is_the_same_image(running: Trained) -> None:
    """By reference or as bytes, the answer is the same; what S3 does not give is refused."""
    backend = running.backend
    backend.s3.put_object(Bucket="puppies", Key="new/dog 1.png", Body=picture("stripes", 503))
    place = {"S3Object": {"Bucket": "puppies", "Name": "new/dog 1.png"}}
    call = backend.rekognition.detect_custom_labels
    answer = call(ProjectVersionArn=running.version, Image=place, MinConfidence=0)
    by_bytes = detect(running, picture("stripes", 503), MinConfidence=0)
    assert by_bytes == [Seen(found["Name"], found["Confidence"]) for found in answer["CustomLabels"]]
    for missing in ({"Bucket": "puppies", "Name": "none"}, {"Bucket": "no-bucket", "Name": "none"}):
        with refused("InvalidS3ObjectException", "none"):
            call(ProjectVersionArn=running.version, Image={"S3Object": missing})


def test_images_that_are_refused(running: Trained) -> None:
    """Each limit of an image has its error."""
    with refused("InvalidImageFormatException"):
        detect(running, b"GIF89a" + bytes(100))
    with refused("InvalidImageFormatException"):
        detect(running, picture("dark", 1)[:-100])
    with refused("InvalidParameterException"):
        detect(running, picture("dark", 1, width=63))
    with refused("InvalidParameterException"):
        detect(running, png(b"\0" + bytes(3 * 2000), 2000, 64))
    with refused("ImageTooLargeException"):
        detect(running, png(b"", 50_000, 50_000))
    with refused("ImageTooLargeException", "4 MB"):
        detect(running, bytes((4 << 20) + 1))
    with refused("InvalidParameterException"):
        detect(running, bytes((5 << 20) + 1))
    running.backend.s3.put_object(Bucket="puppies", Key="huge", Body=bytes((15 << 20) + 1))
    place = {"S3Object": {"Bucket": "puppies", "Name": "huge"}}
    with refused("ImageTooLargeException", "15 MB"):
        running.backend.rekognition.detect_custom_labels(ProjectVersionArn=running.version, Image=place)


def test_requests_that_are_refused(running: Trained) -> None:
    """No image, two images, half a place, a version that does not exist."""
    call = running.backend.rekognition.detect_custom_labels
    data = picture("dark", 1)
    place = {"Bucket": "puppies", "Name": "a"}
    for image in ({}, {"Bytes": data, "S3Object": place}, {"S3Object": {"Bucket": "puppies"}}):
        with refused("InvalidParameterException"):
            call(ProjectVersionArn=running.version, Image=image)
    with refused("InvalidParameterException", "MinConfidence"):
        call(ProjectVersionArn=running.version, Image={"Bytes": data}, MinConfidence=101)
    with refused("ResourceNotFoundException"):
        call(ProjectVersionArn=f"{running.version}9", Image={"Bytes": data})
