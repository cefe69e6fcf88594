"""Python imports this module before a sample of AWS's guide: stand-ins for what the samples need beside AWS.

* Pauses last 0.2 seconds at most: botocore's waiters poll every 30 or 120 seconds.
* Pillow: ``textsize``, which Pillow 10 removed, the font Tahoma, and no window for ``show``.
"""

from __future__ import annotations

import time
from typing import Any

PAUSE = 0.2

_sleep = time.sleep


def _short_sleep(seconds: float) -> None:
    _sleep(min(seconds, PAUSE))


time.sleep = _short_sleep  # type: ignore[assignment]

try:
    from PIL import Image, ImageDraw, ImageFont
except ImportError:  # a sample that needs Pillow says so itself
    pass
else:
    _truetype = ImageFont.truetype

    def _font(font: Any, size: float = 10, **options: Any) -> Any:
        return ImageFont.load_default(size) if font == "Tahoma.ttf" else _truetype(font, size, **options)

    def _text_size(draw: Any, text: str, font: Any = None) -> tuple[int, int]:
        left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
        return round(right - left), round(bottom - top)

    def _show(_image: Any, _title: str | None = None) -> None:
        """Show nothing."""

    ImageFont.truetype = _font  # type: ignore[assignment]
    ImageDraw.ImageDraw.textsize = _text_size  # type: ignore[attr-defined]
    Image.Image.show = _show  # type: ignore[assignment,method-assign]
