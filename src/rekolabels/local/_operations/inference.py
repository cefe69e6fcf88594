"""DetectCustomLabels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from rekolabels.local._core._exceptions import ServiceException
from rekolabels.local._core._s3_objects import get_object_args
from rekolabels.local._engine import UnusableImage
from rekolabels.local._operations.adapters import refuse_adapter

if TYPE_CHECKING:
    from rekolabels.local._core._context import Call
    from rekolabels.local._core._models import LoadedModel
    from rekolabels.local._engine import Prediction

__all__ = ["detect_custom_labels", "fetch_image", "refuse_image"]

_MOST_BYTES = 4 << 20
_MOST_BYTES_IN_S3 = 15 << 20
_CODES = {
    "format": "InvalidImageFormatException",
    "unreadable": "InvalidImageFormatException",
    "too large": "ImageTooLargeException",
}


def detect_custom_labels(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """What a running model sees in an image, the most confident first."""
    context = call.context
    _check_image_given(parameters["Image"])
    with context.store.read() as db:
        version = call.version(db, parameters["ProjectVersionArn"])
    if version["status"] != "RUNNING":
        refuse_adapter(version)
        raise ServiceException.not_ready(
            f"The model {version['arn']} is {version['status']}; it must be RUNNING."
        )
    context.throttle.take_inference(version["arn"], version["max_units"] or version["min_units"])
    data = fetch_image(call, parameters["Image"])
    loaded = context.models.load(version["number"])
    found = _predict(loaded, data)
    least = parameters.get("MinConfidence")
    kept = [one for one in found if _reaches(one, least, loaded)]
    most = parameters.get("MaxResults")
    return {"CustomLabels": [_describe(one) for one in kept[:most]]}


def fetch_image(call: Call, image: dict[str, Any]) -> bytes:
    """The image of a request, from within it or from S3.

    Raises:
        ServiceException: It is given twice or not at all, too large, or cannot be read.
    """
    source = _check_image_given(image)
    return bytes(image["Bytes"]) if source is None else _fetch(call, source)


def _check_image_given(image: dict[str, Any]) -> dict[str, Any] | None:
    """The place in S3, or None when the image is in the request."""
    data, place = image.get("Bytes"), image.get("S3Object")
    if (data is None) == (place is None):
        raise ServiceException.invalid("Image needs exactly one of Bytes and S3Object.")
    if place is None:
        if len(image["Bytes"]) > _MOST_BYTES:
            raise ServiceException(
                "ImageTooLargeException",
                f"The image has {len(image['Bytes'])} bytes; at most {_MOST_BYTES} (4 MB) can be sent. Put "
                "larger images into S3.",
            )
        return None
    if not place.get("Bucket") or not place.get("Name"):
        raise ServiceException.invalid("Image.S3Object needs both Bucket and Name.")
    found: dict[str, Any] = place
    return found


def _fetch(call: Call, place: dict[str, Any]) -> bytes:
    try:
        answer = call.context.s3().get_object(**get_object_args(place))
        with answer["Body"] as body:
            size = answer["ContentLength"]
            if size > _MOST_BYTES_IN_S3:
                raise ServiceException(
                    "ImageTooLargeException",
                    f"The image has {size} bytes; at most {_MOST_BYTES_IN_S3} (15 MB) are allowed in S3.",
                )
            data: bytes = body.read()
            return data
    except (ClientError, BotoCoreError) as error:
        raise ServiceException(
            "InvalidS3ObjectException",
            f"The image s3://{place['Bucket']}/{place['Name']} cannot be read: {error}",
        ) from None


def _predict(loaded: LoadedModel, data: bytes) -> list[Prediction]:
    try:
        return loaded.model.predict(data)
    except UnusableImage as error:
        raise refuse_image(error) from None


def refuse_image(error: UnusableImage) -> ServiceException:
    """The error that an image which cannot be used is answered with."""
    return ServiceException(_CODES.get(error.reason, "InvalidParameterException"), str(error))


def _reaches(one: Prediction, least: float | None, loaded: LoadedModel) -> bool:
    if least is None:
        return one.confidence >= loaded.thresholds.get(one.label, 0.0)
    return one.confidence * 100 >= least


def _describe(one: Prediction) -> dict[str, Any]:
    found: dict[str, Any] = {"Name": one.label, "Confidence": min(one.confidence * 100, 100.0)}
    if one.box is not None:
        left, top, width, height = one.box
        found["Geometry"] = {"BoundingBox": {"Width": width, "Height": height, "Left": left, "Top": top}}
    return found
