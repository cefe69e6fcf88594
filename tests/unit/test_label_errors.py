"""Training labels that cross-validated models dispute."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest
from sdk_backends import write_folder

from rekolabels.errors import InvalidImage, InvalidInput
from rekolabels.formats import read_folder
from rekolabels.images import LabelledImage
from rekolabels.local import find_label_errors

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("sklearn", reason="the extra 'local' is not installed")


def test_a_wrong_label_is_found_first(tmp_path: Path) -> None:
    """One picture of twenty has another's label."""
    images = list(read_folder(write_folder(tmp_path, images=10)))
    images[3] = attrs.evolve(images[3], labels=["blue"])

    issues = find_label_errors(images, folds=4)

    assert (images[3].source, "blue", "amber") == (
        issues[0].image.source,
        issues[0].label,
        issues[0].suggestion,
    )
    assert issues[:1] == find_label_errors(images, folds=4, most=1)


def test_what_cannot_be_judged(tmp_path: Path) -> None:
    """Too few images, or an image that is not there, by name."""
    with pytest.raises(InvalidInput, match="folds=5 for 1 labelled images"):
        find_label_errors([LabelledImage("a.jpg", ["cat"])])
    gone = [LabelledImage(str(tmp_path / f"{n}.png"), [f"label {n % 2}"]) for n in range(4)]
    with pytest.raises(InvalidImage, match=r"\.png cannot be read"):
        find_label_errors(gone, folds=2)
