"""Detection operations: DetectCustomLabels and DetectModerationLabels."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from rekolabels.local._core._exceptions import ServiceException
from rekolabels.local._core._s3_objects import get_object_args
from rekolabels.local._engine import UnusableImage
from rekolabels.local._jobs._moderation import BASE_MODEL, DEFAULT_MIN_CONFIDENCE, detect_labels
from rekolabels.local._jobs._regional_s3 import RegionalS3
from rekolabels.local._operations._parameters import check_s3_object, unreadable_s3_object
from rekolabels.local._operations.projects import CONTENT_MODERATION

if TYPE_CHECKING:
    from sqlite3 import Connection, Row

    from rekolabels.local._core._context import Call
    from rekolabels.local._core._models import LoadedModel
    from rekolabels.local._engine import Prediction

__all__ = ["detect_custom_labels", "detect_moderation_labels", "find_adapter", "refuse_adapter"]

_MAX_BYTES = 4 << 20
_MAX_BYTES_IN_S3 = 15 << 20
_ERROR_CODES = {
    "format": "InvalidImageFormatException",
    "unreadable": "InvalidImageFormatException",
    "too large": "ImageTooLargeException",
}
"""The engine's reasons for which AWS has an error of its own."""


def detect_custom_labels(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Detect custom labels in an image with a running model, the most confident first."""
    context = call.context
    s3_object = _check_image(parameters["Image"])
    with context.store.read() as db:
        version = call.version(db, parameters["ProjectVersionArn"])
    if version["status"] != "RUNNING":
        refuse_adapter(version)
        raise ServiceException.not_ready(
            f"Model {version['arn']} is {version['status']}; it must be RUNNING. "
            "Start it with StartProjectVersion."
        )
    context.throttle.take_inference(version["arn"], version["max_units"] or version["min_units"])
    data = _image_bytes(call, parameters["Image"], s3_object)
    loaded = context.models.load(version["number"])
    try:
        found = loaded.model.predict(data)
    except UnusableImage as error:
        raise _image_error(error) from None
    min_confidence = parameters.get("MinConfidence")
    kept = [one for one in found if _is_confident(one, min_confidence, loaded)]
    return {"CustomLabels": [_describe(one) for one in kept[: parameters.get("MaxResults")]]}


def detect_moderation_labels(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Detect moderation labels in an image with an adapter; the base model finds none."""
    if "HumanLoopConfig" in parameters:
        raise ServiceException.invalid(
            "HumanLoopConfig is not supported: the embedded service has no human reviewers."
        )
    arn = parameters.get("ProjectVersion")
    number: int | None = None
    if arn is not None:
        with call.context.store.read() as db:
            number = find_adapter(call, db, arn)["number"]
    data = _image_bytes(call, parameters["Image"], _check_image(parameters["Image"]))
    min_confidence = parameters.get("MinConfidence", DEFAULT_MIN_CONFIDENCE)
    try:
        labels = detect_labels(call.context.models, number, data, min_confidence)
    except UnusableImage as error:
        raise _image_error(error) from None
    return {
        "ModerationLabels": labels,
        "ModerationModelVersion": BASE_MODEL,
        "ProjectVersion": arn,
        "ContentTypes": [],
    }


def find_adapter(call: Call, db: Connection, arn: str) -> Row:
    """Return a trained adapter.

    Raises:
        ServiceException: It does not exist, is a Custom Labels model, or is not trained.
    """
    version = call.version(db, arn)
    if not _is_adapter(version):
        raise ServiceException.invalid(f"{arn} is a Custom Labels model, not a content moderation adapter.")
    if version["status"] != "TRAINING_COMPLETED":
        raise ServiceException.not_ready(
            f"Adapter {arn} is {version['status']}; it must be TRAINING_COMPLETED."
        )
    return version


def refuse_adapter(version: Row) -> None:
    """Raise for an adapter, where only Custom Labels models can be used.

    Raises:
        ServiceException: ``InvalidParameterException``: the version is an adapter.
    """
    if _is_adapter(version):
        raise ServiceException.invalid(
            f"{version['arn']} is a content moderation adapter, which cannot be started, stopped or copied. "
            "Use it with DetectModerationLabels as soon as it is trained."
        )


def _is_adapter(version: Row) -> bool:
    return bool(json.loads(version["request"]).get("Feature") == CONTENT_MODERATION)


def _check_image(image: dict[str, Any]) -> dict[str, Any] | None:
    """Check an ``Image``, and return its ``S3Object``; None if the request contains the image."""
    data, s3_object = image.get("Bytes"), image.get("S3Object")
    if (data is None) == (s3_object is None):
        raise ServiceException.invalid("Image needs either Bytes or S3Object.")
    if s3_object is None:
        if len(image["Bytes"]) > _MAX_BYTES:
            raise ServiceException(
                "ImageTooLargeException",
                f"The image has {len(image['Bytes'])} bytes; a request can contain at most {_MAX_BYTES} "
                "(4 MB). Store larger images in S3.",
            )
        return None
    check_s3_object(s3_object, "Image.S3Object")
    checked: dict[str, Any] = s3_object
    return checked


def _image_bytes(call: Call, image: dict[str, Any], s3_object: dict[str, Any] | None) -> bytes:
    """Return the encoded image, from the request or from S3."""
    if s3_object is None:
        return bytes(image["Bytes"])
    try:
        answer = RegionalS3(call.context.s3, call.region).get_object(**get_object_args(s3_object))
        with answer["Body"] as body:
            size = answer["ContentLength"]
            if size > _MAX_BYTES_IN_S3:
                raise ServiceException(
                    "ImageTooLargeException",
                    f"The image in S3 has {size} bytes; at most {_MAX_BYTES_IN_S3} (15 MB) are allowed.",
                )
            data: bytes = body.read()
            return data
    except (ClientError, BotoCoreError) as error:
        raise unreadable_s3_object("image", s3_object, error) from None


def _image_error(error: UnusableImage) -> ServiceException:
    return ServiceException(_ERROR_CODES.get(error.reason, "InvalidParameterException"), str(error))


def _is_confident(one: Prediction, min_confidence: float | None, loaded: LoadedModel) -> bool:
    """Return whether a prediction reaches MinConfidence, or else the assumed threshold of its label."""
    if min_confidence is None:
        return one.confidence >= loaded.thresholds.get(one.label, 0.0)
    return one.confidence * 100 >= min_confidence


def _describe(one: Prediction) -> dict[str, Any]:
    label: dict[str, Any] = {"Name": one.label, "Confidence": min(one.confidence * 100, 100.0)}
    if one.box is not None:
        left, top, width, height = one.box
        label["Geometry"] = {"BoundingBox": {"Width": width, "Height": height, "Left": left, "Top": top}}
    return label
