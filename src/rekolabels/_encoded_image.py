"""Encoded images for Pillow, with bounded work."""

from __future__ import annotations

import io

from rekolabels._image_header import image_format

__all__ = ["EncodedImage"]

_MAX_SCANS = 1000
"""Scans of a JPEG. libjpeg goes through all pixels for each, even for one of a dozen bytes; real progressive
files have about 10. Thumbnails and colour profiles may contain the marker, too."""
_START_OF_SCAN = b"\xff\xda"
_BYTES_PER_READ = 128
"""Pillow reads headers in Python, some byte by byte: 60 MB of fill bytes took 23 s. It reads pixels in blocks
of 64 kB, and the chunks of a PNG, usually of 8 kB, in three reads."""
_FREE_READS = 20_000
_FREE_READS_OTHER = 200_000
"""For formats of which Pillow decodes the pixels in Python, such as compressed BMP."""


class EncodedImage(io.BytesIO):
    """The content of an image file, to be opened with Pillow.

    Raises:
        OSError: Decoding it would take far more work than decoding an image. Raised by the constructor, or by
            the methods that read.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        found = image_format(data[:8])
        if found == "JPEG" and data.count(_START_OF_SCAN) > _MAX_SCANS:
            raise OSError(f"it has more than {_MAX_SCANS:,} scans")
        self._reads = (_FREE_READS_OTHER if found is None else _FREE_READS) + len(data) // _BYTES_PER_READ

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to ``size`` bytes; all that are left by default."""
        self._count()
        return super().read(size)

    def readline(self, size: int | None = -1, /) -> bytes:
        """Read up to the end of the line."""
        self._count()
        return super().readline(size)

    def _count(self) -> None:
        self._reads -= 1
        if self._reads < 0:
            raise OSError("it consists of far more parts than an image")
