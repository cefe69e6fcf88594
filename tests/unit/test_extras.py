"""Missing optional packages: the error names the extra that installs the package, and its purpose."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from rekolabels import Detection, ImageSize, LabelledImage, errors
from rekolabels._display import draw_detections
from rekolabels.evaluation import EvaluationResult
from rekolabels.formats import read_voc, read_yolo, write_yolo
from rekolabels.inference import save_outcomes, to_supervision, video_frames
from rekolabels.inference._pillow import open_encoded
from rekolabels.manifest import check_manifest
from rekolabels.splits import split

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


IMAGES = [LabelledImage(f"{number}.jpg", ["cat"]) for number in range(4)]


@pytest.mark.parametrize(
    ("package", "work", "extra", "purpose"),
    [
        ("PIL", lambda _: draw_detections(None, [Detection("cat", 90.0)]), "images", "Drawing"),
        ("PIL", lambda _: open_encoded(b"", "x.jpg"), "images", "Encoding images"),
        ("PIL", lambda _: check_manifest([], open_images=True), "images", "Opening images"),
        ("imagehash", lambda _: split(IMAGES, near_duplicates=True), "dedupe", "near_duplicates=True"),
        ("defusedxml.ElementTree", read_voc, "formats", "Reading Pascal VOC"),
        ("yaml", read_yolo, "formats", "Reading YOLO"),
        ("yaml", lambda folder: write_yolo([], folder), "formats", "Writing YOLO"),
        ("pandas", lambda _: check_manifest([]).to_pandas(), "report", "ManifestReport.to_pandas"),
        (
            "pandas",
            lambda _: EvaluationResult().to_pandas(),
            "report",
            "Turning an evaluation into a data frame",
        ),
        (
            "matplotlib.figure",
            lambda folder: EvaluationResult().save(folder / "x.png"),
            "report",
            "Drawing an evaluation as a picture",
        ),
        (
            "supervision",
            lambda _: to_supervision([], ImageSize(9, 9)),
            "supervision",
            "Converting to supervision",
        ),
        ("pyarrow", lambda folder: save_outcomes([], folder / "x.parquet"), "parquet", "Writing Parquet"),
        ("av", lambda _: list(video_frames("x.mp4", rate=1)), "video", "Reading videos"),
    ],
)
def test_the_error_names_the_extra(
    package: str,
    work: Callable[[Path], object],
    extra: str,
    purpose: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The message has the command that installs it, and the error is an ImportError."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError) as caught:
        work(tmp_path)
    assert isinstance(caught.value, errors.MissingExtra)
    assert str(caught.value) == f"{purpose} needs the extra '{extra}': pip install 'rekolabels[{extra}]'."
