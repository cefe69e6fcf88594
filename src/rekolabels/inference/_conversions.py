"""Detections in pixels, in pictures, in the hands of other libraries, and as tomorrow's labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rekolabels._display import drawn
from rekolabels.errors import InvalidInput, MissingExtra
from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.inference._image import open_picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rekolabels.descriptions import Detection
    from rekolabels.inference._image import ImageSource

__all__ = ["draw", "in_pixels", "to_labelled_image", "to_supervision"]


def in_pixels(found: Detection, size: ImageSize) -> BoundingBox | None:
    """Return the box of a detection in pixels; None for an image-level label.

    >>> from rekolabels import Box, Detection
    >>> in_pixels(Detection("puppy", 90.0, Box(0.25, 0.5, 0.5, 0.25)), ImageSize(640, 480))
    BoundingBox(label='puppy', left=160.0, top=240.0, width=320.0, height=120.0)
    """
    box = found.box
    if box is None:
        return None
    return BoundingBox(
        found.label,
        left=box.left * size.width,
        top=box.top * size.height,
        width=box.width * size.width,
        height=box.height * size.height,
    )


def to_labelled_image(
    source: str, detections: Iterable[Detection], size: ImageSize | None = None
) -> LabelledImage:
    """Make a labelled image of what a model found, to be looked at, corrected, and trained with.

    Boxes are cut at the frame, as manifests ask for; ``write_manifest`` and ``formats.write_coco`` take the
    result.

    Args:
        source: The image, ``s3://`` URI or path.
        detections: What was found in it.
        size: Its size in pixels, upright; boxes need it.

    Raises:
        InvalidInput: There are boxes, and no size.
    """
    found = list(detections)
    if size is None:
        if any(detection.box for detection in found):
            raise InvalidInput(f"size is missing: the boxes of {source} are shares of its width and height.")
        return LabelledImage(source, labels=dict.fromkeys(detection.label for detection in found))
    boxes = [box for box in (in_pixels(detection, size) for detection in found) if box is not None]
    labels = dict.fromkeys(detection.label for detection in found if detection.box is None)
    return LabelledImage(source, labels=labels, boxes=[_cut(box, size) for box in boxes], size=size)


def draw(image: ImageSource, detections: Iterable[Detection]) -> Any:
    """Draw detections into a copy of an image, and return it as a Pillow image.

    Boxes are drawn with their labels; image-level labels are listed in the upper left corner. The copy is
    upright, turned by the EXIF orientation of the image, because that is what the boxes refer to.

    Args:
        image: Whatever ``detect`` takes, except what lies in S3.
        detections: What was found in it.

    Raises:
        InvalidImage: The image cannot be read or decoded.
        InvalidInput: It lies in S3.
        MissingExtra: Pillow is not installed.
    """
    return drawn(open_picture(image), detections)


def to_supervision(
    detections: Iterable[Detection], size: ImageSize, *, labels: Sequence[str] | None = None
) -> Any:
    """Make ``supervision.Detections`` of boxes, for its trackers, zones, metrics and annotators.

    Args:
        detections: What was found in an image.
        size: Its size in pixels, upright.
        labels: The labels of the model; the place of a label is its ``class_id``. By default those that
            were found, sorted: the same label can then have another id in another image.

    Returns:
        Corners in pixels, confidences from 0 to 1, class ids, and the labels as ``data["class_name"]``.

    Raises:
        InvalidInput: A detection is an image-level label, which has no box; or its label is not listed.
        MissingExtra: supervision is not installed.
    """
    try:
        import numpy as np
        import supervision
    except ImportError as error:
        raise MissingExtra("supervision", "Converting to supervision") from error
    found = list(detections)
    boxes = [box for box in (in_pixels(detection, size) for detection in found) if box is not None]
    if len(boxes) < len(found):
        raise InvalidInput("Image-level labels have no boxes; supervision.Detections holds boxes only.")
    names = [box.label for box in boxes]
    order = sorted(set(names)) if labels is None else list(labels)
    unknown = sorted(set(names) - set(order))
    if unknown:
        raise InvalidInput(f"labels lacks {', '.join(map(repr, unknown))}: give all labels of the model.")
    corners = [(box.left, box.top, box.left + box.width, box.top + box.height) for box in boxes]
    return supervision.Detections(
        xyxy=np.array(corners, dtype=float).reshape(-1, 4),
        confidence=np.array([detection.confidence / 100 for detection in found], dtype=float),
        class_id=np.array([order.index(name) for name in names], dtype=int),
        data={"class_name": np.array(names, dtype=str)},
    )


def _cut(box: BoundingBox, size: ImageSize) -> BoundingBox:
    left, top = max(0.0, box.left), max(0.0, box.top)
    right = min(float(size.width), box.left + box.width)
    bottom = min(float(size.height), box.top + box.height)
    return BoundingBox(box.label, left, top, right - left, bottom - top)
