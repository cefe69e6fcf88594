"""Fuzz target ``manifest``: read, check and repair almost valid manifests."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import fuzz_mutation as mutation

from rekolabels.errors import RekolabelsError
from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.manifest import CheckedManifest, check_manifest, format_line, read_manifest, repair_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

_CREATED = "2024-03-01T09:30:00"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ENCODINGS = ("utf-16", "utf-8-sig", "utf-16-be", "latin-1")


def _line(source: str, **more: Any) -> str:
    return json.dumps({"source-ref": f"s3://dogs/{source}", **more})


def _meta(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": f"groundtruth/{kind}", "human-annotated": "yes", "creation-date": _CREATED, **more}


SIZE = ImageSize(640, 480)
BOXES = [BoundingBox("rex", 10, 20, 30.5, 40), BoundingBox("ü", 0, 0, 640, 480)]
LINES: tuple[str, ...] = (
    *(format_line(LabelledImage(f"s3://dogs/{n}.jpg", ["rex"]), created=_CREATED) for n in range(3)),
    format_line(LabelledImage("s3://dogs/two.jpg", ["rex", "bella"]), created=_CREATED),
    format_line(LabelledImage("s3://dogs/boxes.jpg", boxes=BOXES, size=SIZE), created=_CREATED),
    format_line(LabelledImage("s3://dogs/more.jpg", boxes=BOXES[:1], size=SIZE), created=_CREATED),
    format_line(LabelledImage("s3://dogs/mixed.jpg", ["wet"], boxes=BOXES, size=SIZE), created=_CREATED),
    format_line(LabelledImage("s3://dogs/none.jpg", boxes=[], size=SIZE), created=_CREATED),
    format_line(LabelledImage("pictures/here.jpg", ["rex"]), created=_CREATED),
    # other Ground Truth formats: a class by number, several labels, an unlabelled dataset entry
    _line("1.jpg", animal=0, **{"animal-metadata": _meta("image-classification", **{"class-name": "rex"})}),
    _line(
        "2.jpg",
        many=[0, 1],
        **{
            "many-metadata": _meta(
                "image-classification-multilabel",
                **{"class-map": {"0": "a", "1": "b"}, "confidence-map": {"0": 1, "1": 0.5}},
            )
        },
    ),
    _line("3.jpg", **{"cl-metadata": {"is_labeled": True}}),
    _line("4.jpg", camera=7, errors=[{"code": "ERROR_NO_LABEL_ATTRIBUTES", "message": "none"}]),
)
"""One line of each kind."""


class ManifestTarget:
    """Checks, reads and repairs manifests; counts lines.

    Args:
        recorded: More seed lines, as the service returned them.
    """

    name = "manifest"
    unit = "manifest lines"

    def __init__(self, recorded: Sequence[str] = ()) -> None:
        self.lines = (*LINES, *recorded)
        self._donors = [json.loads(line) for line in self.lines]
        alone = [line.encode() for line in self.lines]
        self.seeds = [*alone, b"\n".join(alone), b"\n".join(alone[:3] * 4), b"\n".join(alone[4:6] * 6)]

    def mutate(self, data: bytes, rng: Random) -> bytes:
        """Change, insert, duplicate or remove one line; sometimes change the whole text."""
        if rng.random() < 0.03:
            whole = mutation.raw(data, rng)
            return (
                whole
                if rng.random() < 0.5
                else data.decode("utf-8", "replace").encode(rng.choice(_ENCODINGS), "replace")
            )
        lines = data.split(b"\n")
        place = rng.randrange(len(lines))
        match rng.randrange(10):
            case 0:
                lines.insert(place, rng.choice(self.lines).encode())
            case 1:
                lines.insert(place, lines[rng.randrange(len(lines))])
            case 2 if len(lines) > 1:
                del lines[place]
            case 3:
                lines[place] = mutation.raw(lines[place], rng)
            case 4:
                lines[place] = mutation.text(lines[place].decode("utf-8", "replace"), rng).encode(
                    "utf-8", "surrogatepass"
                )
            case _:
                lines[place] = mutation.json_text(lines[place], rng, self._donors)
        return b"\n".join(lines)

    def run(self, data: bytes) -> int:
        """Run everything that reads a manifest, and return the number of lines.

        Raises:
            Exception: Any exception is a finding.
        """
        checked = CheckedManifest(data)
        try:
            images = list(checked.images())
            report = checked.report()
        except RekolabelsError:  # not text
            images, report = [], None
        if report is not None:
            counts = report.counts
            assert counts.total == counts.valid + counts.invalid + counts.ignored
            assert len(images) == counts.valid
            assert json.loads(report.to_json())["ok"] is report.ok
            assert str(report)
            for image in images:
                format_line(image, created=_CREATED)
            check_manifest(data, testing=data, stage="dataset")
        with suppress(RekolabelsError):
            for image in read_manifest(data):
                format_line(image, created=_CREATED)
        repaired, again = io.BytesIO(), io.BytesIO()
        with suppress(RekolabelsError):
            repair_manifest(data, repaired, created=_CREATED)
            second = repair_manifest(repaired.getvalue(), again, created=_CREATED)
            # A repaired manifest needs no repair. A second byte order mark or carriage return only shows once
            # the first is gone.
            if not repaired.getvalue().startswith(_BYTE_ORDER_MARK):
                assert second.repair_counts == {}
                assert again.getvalue().replace(b"\r", b"") == repaired.getvalue().replace(b"\r", b"")
        return data.count(b"\n") + 1

    def close(self) -> None:
        """Do nothing: the target has no open resources."""
