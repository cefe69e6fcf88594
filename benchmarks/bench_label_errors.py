"""Precision of the labels that rekolabels lists as wrong, with labels made wrong on purpose.

    python benchmarks/bench_label_errors.py --data ../shared/data --seeds 1 2 3 4 5

In each run, 5 % of the labels of a set (of its boxes, for a detector) are replaced by another label of the
set, chosen at random. Two lists are compared with them: `find_label_errors` over all images, and
`result.label_issues()` over the test images of a model that was trained on the other four fifths, which the
page shows as well. An issue is right if it names a label that was made wrong. Errors that the sets had before
count as mistakes, so the precision is a lower bound.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import attrs

from rekolabels.formats import read_folder, read_voc
from rekolabels.local import LocalService, find_label_errors
from rekolabels.splits import split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rekolabels import LabelledImage
    from rekolabels.evaluation import LabelIssue

_SHARE = 0.05
_SETS = ("clothing-300", "playing-cards-120", "blood-cells-120")


@attrs.frozen
class Counted:
    """How many issues were listed, and how many of them are labels that were made wrong."""

    listed: int
    right: int
    wrong_labels: int

    def __add__(self, other: Counted) -> Counted:
        return Counted(
            self.listed + other.listed, self.right + other.right, self.wrong_labels + other.wrong_labels
        )

    def cells(self) -> list[str]:
        """Return the counts, the precision and the recall as cells of a table."""
        precision = f"{self.right / self.listed:.2f}" if self.listed else "n/a"
        recall = f"{self.right / self.wrong_labels:.2f}" if self.wrong_labels else "n/a"
        return [f"{self.right} of {self.listed}", precision, f"{self.right} of {self.wrong_labels}", recall]


def main() -> None:
    """Print a table with one row for each set, list and seed, and one for all seeds."""
    parser = argparse.ArgumentParser(description="Measure the lists of wrong labels.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--only", choices=_SETS)
    parser.add_argument("--list", choices=["find_label_errors", "label_issues"])
    options = parser.parse_args()
    print("| set | list | seed | right | precision | found | recall |")
    print("|---|---|---|---|---|---|---|")
    for name in _SETS:
        if options.only not in {None, name}:
            continue
        images = read(options.data / name)
        for listing, count in (("find_label_errors", of_all_images), ("label_issues", of_test_images)):
            if options.list not in {None, listing}:
                continue
            total = Counted(0, 0, 0)
            with tempfile.TemporaryDirectory() as workspace:
                for seed in options.seeds:
                    counted = count(*make_wrong(images, seed), seed, workspace)
                    total += counted
                    print(f"| {name} | {listing} | {seed} | {' | '.join(counted.cells())} |", flush=True)
            print(f"| {name} | {listing} | all | {' | '.join(total.cells())} |", flush=True)


def read(folder: Path) -> list[LabelledImage]:
    """Read one of the sets."""
    if (folder / "annotations").is_dir():
        return list(read_voc(folder / "annotations", images=folder / "images"))
    return list(read_folder(folder))


def make_wrong(
    images: Sequence[LabelledImage], seed: int
) -> tuple[list[LabelledImage], set[tuple[str, int]]]:
    """Replace a share of the labels; return the images, and the file and the position of each wrong label."""
    rng = random.Random(seed)  # noqa: S311 - no cryptography
    labels = sorted({label for image in images for label in names(image)})
    places = [(at, position) for at, image in enumerate(images) for position in range(len(names(image)))]
    changed, wrong = list(images), set[tuple[str, int]]()
    for at, position in rng.sample(places, round(_SHARE * len(places))):
        image = changed[at]
        other = rng.choice([label for label in labels if label != names(image)[position]])
        wrong.add((PurePosixPath(image.source).name, position))
        if image.boxes:
            boxes = list(image.boxes)
            boxes[position] = attrs.evolve(boxes[position], label=other)
            changed[at] = attrs.evolve(image, boxes=boxes)
        else:
            changed[at] = attrs.evolve(image, labels=[other])
    return changed, wrong


def names(image: LabelledImage) -> list[str]:
    """Return the label of the image, or those of its boxes."""
    return [box.label for box in image.boxes] or list(image.labels)


def of_all_images(
    images: Sequence[LabelledImage], wrong: set[tuple[str, int]], seed: int, _workspace: str
) -> Counted:
    """Check the list of ``find_label_errors``."""
    return check(find_label_errors(images, seed=seed), wrong, len(wrong))


def of_test_images(
    images: Sequence[LabelledImage], wrong: set[tuple[str, int]], seed: int, workspace: str
) -> Counted:
    """Check the list of ``result.label_issues()``; one workspace computes the features only once."""
    with LocalService(workspace, seed=seed) as service:
        project = service.client(bucket="bench").create_project(f"seed-{seed}")
        project.create_datasets(images, test=0.2, seed=seed)
        model = project.train("v1")
        model.wait_until_trained()
        issues = model.evaluation().label_issues()
    tested = {PurePosixPath(image.source).name for image in split(images, test=0.2, seed=seed).test}
    return check(issues, wrong, sum(name in tested for name, _ in wrong))


def check(issues: Sequence[LabelIssue], wrong: set[tuple[str, int]], total: int) -> Counted:
    """Count the issues that name a label that was made wrong."""
    return Counted(len(issues), sum(place in wrong for place in map(place_of, issues)), total)


def place_of(issue: LabelIssue) -> tuple[str, int]:
    """Return the file of an issue and the position of its label there; -1 for a label that may be missing."""
    position = -1
    if issue.label is not None:
        position = issue.image.boxes.index(issue.box) if issue.box is not None else 0
    return PurePosixPath(issue.image.source).name, position


if __name__ == "__main__":
    main()
