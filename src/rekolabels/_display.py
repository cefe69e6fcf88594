"""Detections drawn into pictures, with Pillow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rekolabels.errors import MissingExtra

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rekolabels.descriptions import Detection

__all__ = ["drawn"]

_COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#808000")
_LEAST_LETTERS = 11


def drawn(picture: Any, detections: Iterable[Detection]) -> Any:
    """Return a copy of a Pillow image, upright, with boxes and labels; image-level labels at the top.

    Raises:
        MissingExtra: Pillow is not installed.
    """
    try:
        from PIL import ImageDraw, ImageFont, ImageOps
    except ImportError as error:
        raise MissingExtra("images", "Drawing") from error
    copy = ImageOps.exif_transpose(picture).convert("RGB")
    pen = ImageDraw.Draw(copy)
    font = ImageFont.load_default(max(_LEAST_LETTERS, min(copy.size) // 32))
    colours: dict[str, str] = {}
    line = 2.0
    for found in detections:
        colour = colours.setdefault(found.label, _COLOURS[len(colours) % len(_COLOURS)])
        text = f"{found.label} {found.confidence:.0f} %"
        height = pen.textbbox((0, 0), text, font)[3] + 2
        if found.box is None:
            place = (4.0, line)
            line += height
        else:
            left, top = found.box.left * copy.width, found.box.top * copy.height
            right, bottom = left + found.box.width * copy.width, top + found.box.height * copy.height
            pen.rectangle((left, top, right, bottom), outline=colour, width=max(2, min(copy.size) // 200))
            place = (max(0.0, left) + 2, max(0.0, top - height))
        pen.rectangle(pen.textbbox(place, text, font), fill=colour)
        pen.text(place, text, fill="white", font=font)
    return copy
