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
    """Start the trained model."""
    trained.backend.rekognition.start_project_version(ProjectVersionArn=trained.version, MinInferenceUnits=1)
    trained.backend.settle()
    return trained


@attrs.frozen
class Detected:
    """A detected label."""

    label: str
    confidence: float


def detect(running: Trained, data: bytes, **options: object) -> list[Detected]:
    """Return what the model detects in an image."""
    answer = running.backend.rekognition.detect_custom_labels(
        ProjectVersionArn=running.version, Image={"Bytes": data}, **options
    )
    return [Detected(found["Name"], found["Confidence"]) for found in answer["CustomLabels"]]


@pytest.mark.parametrize("label", LABELS)
def test_trained_labels_are_detected(running: Trained, label: str) -> None:
    """Without MinConfidence the assumed threshold of each label applies; image-level labels have no boxes."""
    answer = running.backend.rekognition.detect_custom_labels(
        ProjectVersionArn=running.version, Image={"Bytes": picture(label, 500)}
    )
    assert [label] == [found["Name"] for found in answer["CustomLabels"]]
    assert "Geometry" not in answer["CustomLabels"][0]


def test_min_confidence_and_max_results(running: Trained) -> None:
    """Labels are sorted and filtered by MinConfidence; MaxResults keeps the most confident."""
    image = picture("dark", 501)
    everything = detect(running, image, MinConfidence=0)
    assert set(LABELS) == {detected.label for detected in everything}
    assert everything == sorted(everything, key=lambda detected: -detected.confidence)
    assert all(0 <= detected.confidence <= 100 for detected in everything)
    second = everything[1]
    assert everything[:2] == detect(running, image, MinConfidence=second.confidence)
    assert detect(running, image, MinConfidence=100) == []
    assert everything[:1] == detect(running, image, MinConfidence=0, MaxResults=1)
    assert detect(running, image, MinConfidence=0, MaxResults=0) == []


def test_confidences_are_single_precision(running: Trained) -> None:
    """As in AWS's answers, a 32-bit float represents each confidence exactly."""
    for detected in detect(running, picture("dark", 502), MinConfidence=0):
        assert struct.unpack("f", struct.pack("f", detected.confidence))[0] == detected.confidence


def test_an_image_in_s3(running: Trained) -> None:
    """The answer is the same as for bytes; a missing image or bucket is refused."""
    backend = running.backend
    backend.s3.put_object(Bucket="puppies", Key="new/dog 1.png", Body=picture("stripes", 503))
    s3_image = {"S3Object": {"Bucket": "puppies", "Name": "new/dog 1.png"}}
    call = backend.rekognition.detect_custom_labels
    answer = call(ProjectVersionArn=running.version, Image=s3_image, MinConfidence=0)
    by_bytes = detect(running, picture("stripes", 503), MinConfidence=0)
    assert by_bytes == [Detected(found["Name"], found["Confidence"]) for found in answer["CustomLabels"]]
    for missing in ({"Bucket": "puppies", "Name": "none"}, {"Bucket": "no-bucket", "Name": "none"}):
        with refused("InvalidS3ObjectException", "none"):
            call(ProjectVersionArn=running.version, Image={"S3Object": missing})


def test_images_that_are_refused(running: Trained) -> None:
    """Each limit of images has its own error."""
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
    with refused("ValidationException", "HeapByteBuffer[pos=0 lim=5242881 cap=5242881]' at 'image.bytes'"):
        detect(running, bytes((5 << 20) + 1))
    running.backend.s3.put_object(Bucket="puppies", Key="huge", Body=bytes((15 << 20) + 1))
    s3_image = {"S3Object": {"Bucket": "puppies", "Name": "huge"}}
    with refused("ImageTooLargeException", "15 MB"):
        running.backend.rekognition.detect_custom_labels(ProjectVersionArn=running.version, Image=s3_image)


def test_requests_that_are_refused(running: Trained) -> None:
    """No image, two images, an S3Object without a name, a missing version."""
    call = running.backend.rekognition.detect_custom_labels
    data = picture("dark", 1)
    s3_object = {"Bucket": "puppies", "Name": "a"}
    for image in ({}, {"Bytes": data, "S3Object": s3_object}, {"S3Object": {"Bucket": "puppies"}}):
        with refused("InvalidParameterException"):
            call(ProjectVersionArn=running.version, Image=image)
    with refused("ValidationException", "minConfidence"):
        call(ProjectVersionArn=running.version, Image={"Bytes": data}, MinConfidence=101)
    with refused("ResourceNotFoundException"):
        call(ProjectVersionArn=f"{running.version}9", Image={"Bytes": data})
