"""A release gate: train the next version, compare it with the one in use, ship it only if nothing got worse.

    python examples/release_gate.py puppies/                  # one folder of images for each label
    python examples/release_gate.py puppies/ --precision 0.98 --tolerance 0.01

Version v1 is trained with half of the training images, as if the rest had not been there yet; v2 with all of
them. Both are tested on the same images. The gate writes evaluation.html, evaluation.md for the pull request
and policy.json for the application, and ends with 1 when v2 is worse than v1.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rekolabels.errors import ModelRegressed, RekolabelsError
from rekolabels.evaluation import ThresholdPolicy
from rekolabels.formats import read_folder
from rekolabels.local import LocalService
from rekolabels.splits import split

if TYPE_CHECKING:
    from rekolabels import Client, ModelVersion


def main() -> int:
    """Train two versions on the embedded service and pass the second through the gate."""
    options = read_options()
    try:
        with LocalService() as service:
            before, after = train_two(service.client(bucket="gate"), options.images)
            return gate(before, after, options)
    except RekolabelsError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2


def train_two(client: Client, folder: Path) -> tuple[ModelVersion, ModelVersion]:
    """Train with half of the training images, then with all; the test images stay the same."""
    parts = split(read_folder(folder), test=0.3, seed=7)
    halves = split(parts.train, test=0.5, seed=7)
    project = client.create_project("Gate")
    train = project.create_dataset("train", halves.train)
    project.create_dataset("test", parts.test)
    before = project.train("v1")
    before.wait_until_trained()
    train.update(halves.test)
    after = project.train("v2")
    after.wait_until_trained()
    return before, after


def gate(before: ModelVersion, after: ModelVersion, options: argparse.Namespace) -> int:
    """Compare, and write what a release needs."""
    result = after.evaluation()
    options.output.mkdir(parents=True, exist_ok=True)
    result.save(options.output / "evaluation.html")
    result.save(options.output / "evaluation.md")
    try:
        comparison = result.assert_no_regression(before.evaluation(), tolerance=options.tolerance)
    except ModelRegressed as error:
        print(f"{after.version_name} is not shipped: {error}", file=sys.stderr)
        return 1
    print(comparison)
    policy = ThresholdPolicy.precision_at_least(result, options.precision)
    print(f"\nPolicy      {policy.save(options.output / 'policy.json')}")
    for label, chosen in policy.labels.items():
        print(f"  {label}: from {chosen.threshold}  {chosen.note}")
    image = next(iter(result.images))
    with after.running() as running:
        found = running.detect(image.source, policy=policy)
    print(f"{image.source}: {', '.join(one.label for one in found) or 'nothing'}")
    return 0


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path, help="a folder with one folder of images for each label")
    parser.add_argument("--precision", type=float, default=0.95, help="what the application needs, 0 to 1")
    parser.add_argument("--tolerance", type=float, default=0.02, help="a loss of F1 that does not matter")
    parser.add_argument("--output", type=Path, default=Path("release"), help="where the files are put")
    return parser.parse_args()


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    sys.exit(main())
