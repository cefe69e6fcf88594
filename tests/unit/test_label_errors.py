"""Wrong training labels found by cross-validation."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from types import SimpleNamespace
from typing import TYPE_CHECKING

import attrs
import pytest
from sdk_backends import write_folder

from rekolabels.errors import InvalidImage, InvalidInput
from rekolabels.formats import read_folder
from rekolabels.images import BoundingBox, LabelledImage
from rekolabels.local import find_label_errors

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("sklearn", reason="the extra 'local' is not installed")


def test_a_wrong_label_is_found_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One image of twenty has the label of the other class; in a notebook, a bar counts the folds."""
    shell = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=None))
    monkeypatch.setitem(sys.modules, "IPython", shell)
    images = list(read_folder(write_folder(tmp_path, images=10)))
    images[3] = attrs.evolve(images[3], labels=["blue"])

    issues = find_label_errors(images, folds=4)

    assert (images[3].source, "blue", "amber") == (
        issues[0].image.source,
        issues[0].label,
        issues[0].suggestion,
    )
    assert issues[:1] == find_label_errors(images, folds=4, limit=1)
    if find_spec("tqdm") is not None:
        # Not 100 %: a bar is not drawn again within a moment.
        assert "Finding wrong labels:   0%|          | 0/4" in capsys.readouterr().err


def test_too_few_or_missing_images(tmp_path: Path) -> None:
    """Fewer images than folds, and image files that do not exist, are errors that name them."""
    with pytest.raises(InvalidInput, match="folds=5 for 1 labelled images"):
        find_label_errors([LabelledImage("a.jpg", ["cat"])])
    gone = [LabelledImage(str(tmp_path / f"{n}.png"), [f"label {n % 2}"]) for n in range(4)]
    with pytest.raises(InvalidImage, match=r"Cannot read image .*\.png"):
        find_label_errors(gone, folds=2)


def test_a_wrong_label_of_a_box_is_found(tmp_path: Path) -> None:
    """One disc of twelve scenes is labelled as a ring; the sizes of the images are read from the files."""
    np, pil = pytest.importorskip("numpy"), pytest.importorskip("PIL.Image")
    draw = pytest.importorskip("PIL.ImageDraw")
    images = []
    for number in range(12):
        rng = np.random.default_rng(number)
        scene = pil.fromarray(rng.integers(100, 150, (192, 256, 3), dtype=np.uint8))
        pen, left, top = draw.Draw(scene), int(rng.integers(0, 60)), int(rng.integers(0, 130))
        pen.ellipse((left, top, left + 55, top + 55), fill=(220, 40, 40))
        pen.ellipse((left + 128, top, left + 183, top + 55), outline=(30, 30, 220), width=8)
        scene.save(tmp_path / f"{number}.png")
        boxes = [BoundingBox("disc", left, top, 55, 55), BoundingBox("ring", left + 128, top, 55, 55)]
        images.append(LabelledImage(str(tmp_path / f"{number}.png"), boxes=boxes))
    wrong = attrs.evolve(images[4].boxes[0], label="ring")
    images[4] = attrs.evolve(images[4], boxes=[wrong, images[4].boxes[1]])

    first = find_label_errors(images, folds=3, min_score=0)[0]

    assert (first.image.source, first.label, first.suggestion, first.box) == (
        images[4].source,
        "ring",
        "disc",
        wrong,
    )
