"""What a manifest line says beside its image, kept as text until somebody asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rekolabels.manifest._json import load_object

if TYPE_CHECKING:
    from rekolabels.images import BoundingBox, ImageSize

__all__ = ["LineAttributes"]


class LineAttributes(Mapping[str, Any]):
    """The keys of a manifest line except ``source-ref``, as a read-only mapping.

    It holds the text of the line and parses it when a key is asked for; lines with the same text share one of
    these. A line whose labels were not touched is written with this very text.

    Attributes:
        text: The members of the object, without the braces; empty when there are none.
        labels: The image-level labels in the text.
        boxes: The boxes in the text.
        size: The size of the image in the text.
    """

    __slots__ = ("_members", "boxes", "labels", "size", "text")

    def __init__(
        self,
        text: str,
        labels: tuple[str, ...] = (),
        boxes: tuple[BoundingBox, ...] = (),
        size: ImageSize | None = None,
        members: dict[str, Any] | None = None,
    ) -> None:
        self.text = text
        self.labels = labels
        self.boxes = boxes
        self.size = size
        self._members = members

    def _parsed(self) -> dict[str, Any]:
        if self._members is None:
            self._members = load_object(f"{{{self.text}}}")[0]
        return self._members

    def __getitem__(self, key: str) -> Any:
        return self._parsed()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parsed())

    def __len__(self) -> int:
        return len(self._parsed())

    def __repr__(self) -> str:
        return repr(self._parsed())
