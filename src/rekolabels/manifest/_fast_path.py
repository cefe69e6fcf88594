"""The fast way through blocks of lines that are all in order.

Most manifests were written by a program: every line has the same form, and few texts make up all labels. So a
pattern takes a whole block apart, each distinct piece of text is read and checked once, by the very rules of
``check_line``, and lines are put together from pieces that are known to be good. Whatever does not fit, or is
not good, makes the whole block take the plain way: the shortcut never finds a mistake, it only ever finds
none. It gives itself up where it does not pay.

Why it is right: a line is taken only when it is the same text as one that was checked in full, but for parts
that the rules do not look at, or that are looked at here as well. These are the key of the image, dates,
confidences from 0 to 1, the choice and order of image-level labels, the size of the image, the class map, and
the numbers of boxes. Each of these parts begins with a quoted key, and a quote cannot stand unescaped within
a text of JSON: so a part cannot be taken for something that it is not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from rekolabels.manifest._fast_path_boxes import Boxes
from rekolabels.manifest._fast_path_labels import Labels

if TYPE_CHECKING:
    from rekolabels.manifest._fast_path_parts import Clean
    from rekolabels.manifest._sources import Block

__all__ = ["Shortcut"]

_BUCKET: Final = re.compile(r'\{"source-ref":"s3://([0-9A-Za-z._-]{3,255})/')
_PATIENCE: Final = 6
"""After so many blocks in a row in which it did not pay, the shortcut is no longer tried."""


class Shortcut:
    """Reads blocks; it remembers the texts that it has seen, up to a number."""

    def __init__(self) -> None:
        self._readers: dict[Labels | Boxes, int] = {Labels(): _PATIENCE, Boxes(): _PATIENCE}

    def read(self, block: Block) -> Clean | None:
        """The lines of a block, or None: then the block has to take the plain way."""
        bucket = _BUCKET.match(block.text)
        if bucket is None:
            return None
        for reader, patience in self._readers.items():
            if patience:
                looks = reader.looks
                found = reader.read(block, bucket[1])
                paid = found is not None and 2 * (reader.looks - looks) <= block.count
                self._readers[reader] = _PATIENCE if paid else patience - 1
                if found is not None:
                    return found
        return None
