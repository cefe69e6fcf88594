"""Detections as pixel boxes, as drawings, as labelled images, and as supervision's objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rekolabels._arguments import check_instance, check_items, check_text
from rekolabels._display import draw_detections
from rekolabels.descriptions import Detection
from rekolabels.errors import InvalidInput, MissingExtra
from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.inference._image import open_image

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rekolabels.inference._image import ImageSource

__all__ = ["draw", "in_pixels", "to_labelled_image", "to_supervision"]


def in_pixels(detection: Detection, size: ImageSize) -> BoundingBox | None:
    """Return the box of a detection in pixels; None for an image-level label.

    Args:
        detection: The detection.
        size: Size of the upright image in pixels.

    >>> from rekolabels import Box, Detection
    >>> in_pixels(Detection("puppy", 90.0, Box(0.25, 0.5, 0.5, 0.25)), ImageSize(640, 480))
    BoundingBox(label='puppy', left=160.0, top=240.0, width=320.0, height=120.0)
    """
    check_instance("detection", detection, Detection, "a Detection")
    _check_size(size)
    box = detection.box
    if box is None:
        return None
    return BoundingBox(
        detection.label,
        left=box.left * size.width,
        top=box.top * size.height,
        width=box.width * size.width,
        height=box.height * size.height,
    )


def to_labelled_image(
    source: str, detections: Iterable[Detection], size: ImageSize | None = None
) -> LabelledImage:
    """Return detections as a labelled image, to review, correct and train with.

    Boxes are clipped to the image, as manifests require. Write the result with ``write_manifest`` or
    ``formats.write_coco``.

    Args:
        source: The image, an ``s3://`` URI or a path.
        detections: The detections in it.
        size: Size of the upright image in pixels; required if there are boxes.

    Raises:
        InvalidInput: There are boxes, and no size.
    """
    check_text("source", source, "the s3:// URI or the path of an image")
    found = _check_detections(detections)
    if size is None:
        if any(detection.box for detection in found):
            raise InvalidInput(
                f"size is missing: the boxes of {source} are shares of its width and height. Give "
                "size=ImageSize(width, height)."
            )
        return LabelledImage(source, labels=tuple(dict.fromkeys(detection.label for detection in found)))
    _check_size(size)
    boxes = [box for box in (in_pixels(detection, size) for detection in found) if box is not None]
    labels = dict.fromkeys(detection.label for detection in found if detection.box is None)
    return LabelledImage(source, labels=tuple(labels), boxes=[_clip(box, size) for box in boxes], size=size)


def draw(image: ImageSource, detections: Iterable[Detection]) -> Any:
    """Return a copy of an image, as a Pillow image, with detections drawn into it.

    Boxes are drawn with their labels; image-level labels are listed in the upper left corner. The copy is
    turned upright by its EXIF orientation, because boxes are relative to the upright image.

    Args:
        image: An image as for ``detect``, but not in S3.
        detections: The detections in it.

    Raises:
        InvalidImage: The image cannot be read or decoded.
        InvalidInput: The image is in S3.
        MissingExtra: Pillow is not installed.
    """
    return draw_detections(open_image(image), _check_detections(detections))


def to_supervision(
    detections: Iterable[Detection], size: ImageSize, *, labels: Sequence[str] | None = None
) -> Any:
    """Return boxes as ``supervision.Detections``, for its trackers, zones, metrics and annotators.

    Args:
        detections: The detections in an image.
        size: Size of the upright image in pixels.
        labels: All labels of the model; the index of a label is its ``class_id``. By default the labels of
            these detections, sorted, so that the same label can have different ids in different images.

    Returns:
        Corners in pixels, confidences from 0 to 1, class ids, and the labels as ``data["class_name"]``.

    Raises:
        InvalidInput: A detection is an image-level label, which has no box; or its label is not in
            ``labels``.
        MissingExtra: supervision is not installed.
    """
    try:
        import numpy as np
        import supervision
    except ImportError as error:
        raise MissingExtra("supervision", "Converting to supervision") from error
    found = _check_detections(detections)
    _check_size(size)
    boxes = [box for box in (in_pixels(detection, size) for detection in found) if box is not None]
    if len(boxes) < len(found):
        raise InvalidInput("Image-level labels cannot be converted: supervision.Detections has boxes only.")
    names = [box.label for box in boxes]
    order = sorted(set(names)) if labels is None else check_items("labels", labels, str, "a list of labels")
    unknown = sorted(set(names) - set(order))
    if unknown:
        raise InvalidInput(
            f"labels does not contain {', '.join(map(repr, unknown))}; expected all labels of the model."
        )
    corners = [(box.left, box.top, box.left + box.width, box.top + box.height) for box in boxes]
    return supervision.Detections(
        xyxy=np.array(corners, dtype=float).reshape(-1, 4),
        confidence=np.array([detection.confidence / 100 for detection in found], dtype=float),
        class_id=np.array([order.index(name) for name in names], dtype=int),
        data={"class_name": np.array(names, dtype=str)},
    )


def _check_detections(detections: Iterable[Detection]) -> list[Detection]:
    fix = "Use outcome.detections." if hasattr(detections, "detections") else ""
    return check_items("detections", detections, Detection, "a list of detections", fix)


def _check_size(size: object) -> None:
    given = size
    fix = f"Use ImageSize{given!r}." if isinstance(size, tuple) else ""
    check_instance("size", given, ImageSize, "an ImageSize, in pixels", fix)


def _clip(box: BoundingBox, size: ImageSize) -> BoundingBox:
    left, top = max(0.0, box.left), max(0.0, box.top)
    right = min(float(size.width), box.left + box.width)
    bottom = min(float(size.height), box.top + box.height)
    return BoundingBox(box.label, left, top, right - left, bottom - top)
