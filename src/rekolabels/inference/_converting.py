"""Detections in pixels, in pictures, and as tomorrow's labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rekolabels.errors import MissingExtra
from rekolabels.images import BoundingBox, ImageSize, LabelledImage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rekolabels.descriptions import Detection

__all__ = ["draw", "in_pixels", "to_labelled_image"]

_COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#808000")


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


def to_labelled_image(source: str, detections: Iterable[Detection], size: ImageSize) -> LabelledImage:
    """Make a labelled image of what a model found, to be looked at, corrected, and trained with.

    Boxes are cut at the frame, as manifests ask for; ``write_manifest`` and ``formats.write_coco`` take the
    result.

    Args:
        source: The image, ``s3://`` URI or path.
        detections: What was found in it.
        size: Its size in pixels.
    """
    found = list(detections)
    boxes = [box for box in (in_pixels(detection, size) for detection in found) if box is not None]
    labels = dict.fromkeys(detection.label for detection in found if detection.box is None)
    return LabelledImage(source, labels=labels, boxes=[_cut(box, size) for box in boxes], size=size)


def draw(image: Any, detections: Iterable[Detection]) -> Any:
    """Draw detections into a copy of a Pillow image, and return it.

    Boxes are drawn with their labels; image-level labels are listed in the upper left corner.

    Raises:
        MissingExtra: Pillow is not installed.
    """
    try:
        from PIL import ImageDraw
    except ImportError as error:
        raise MissingExtra("images", "Drawing") from error
    drawn = image.convert("RGB")
    pen = ImageDraw.Draw(drawn)
    size = ImageSize(drawn.width, drawn.height)
    colours: dict[str, str] = {}
    line = 2
    for found in detections:
        colour = colours.setdefault(found.label, _COLOURS[len(colours) % len(_COLOURS)])
        text = f"{found.label} {found.confidence:.0f} %"
        box = in_pixels(found, size)
        place = (4, line) if box is None else (box.left + 2, max(0.0, box.top - 12))
        if box is None:
            line += 14
        else:
            corners = (box.left, box.top, box.left + box.width, box.top + box.height)
            pen.rectangle(corners, outline=colour, width=max(2, min(drawn.size) // 200))
        pen.rectangle(pen.textbbox(place, text), fill=colour)
        pen.text(place, text, fill="white")
    return drawn


def _cut(box: BoundingBox, size: ImageSize) -> BoundingBox:
    left, top = max(0.0, box.left), max(0.0, box.top)
    right = min(float(size.width), box.left + box.width)
    bottom = min(float(size.height), box.top + box.height)
    return BoundingBox(box.label, left, top, right - left, bottom - top)
