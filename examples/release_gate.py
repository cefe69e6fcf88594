"""Release gate: train the next version, and ship it only if it is not worse than the one in use.

    python examples/release_gate.py puppies/                  # one folder of images for each label
    python examples/release_gate.py puppies/ --precision 0.98 --tolerance 0.01

In this example, version v1 is trained with half of the training images and v2 with all of them. Both are
tested with the same images. The gate writes evaluation.html, evaluation.md for the pull request and
policy.json for the application. It exits with 1 if v2 is worse than v1, and with 2 after an error.
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
    """Train two versions on the embedded service, and compare the second with the first."""
    options = read_options()
    try:
        with LocalService() as service:
            old, new = train_two(service.client(bucket="gate"), options.images)
            return gate(old, new, options)
    except RekolabelsError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2


def train_two(client: Client, folder: Path) -> tuple[ModelVersion, ModelVersion]:
    """Train with half of the training images, then with all of them, and test with the same images."""
    parts = split(read_folder(folder), test=0.3, seed=7)
    halves = split(parts.train, test=0.5, seed=7)
    project = client.create_project("Gate")
    train = project.create_dataset("train", halves.train)
    project.create_dataset("test", parts.test)
    old = project.train("v1")
    old.wait_until_trained()
    train.update(halves.test)
    new = project.train("v2")
    new.wait_until_trained()
    return old, new


def gate(old: ModelVersion, new: ModelVersion, options: argparse.Namespace) -> int:
    """Compare the versions, and write the files of the release; return the exit code."""
    result = new.evaluation()
    options.output.mkdir(parents=True, exist_ok=True)
    result.save(options.output / "evaluation.html")
    result.save(options.output / "evaluation.md")
    try:
        comparison = result.assert_no_regression(old.evaluation(), tolerance=options.tolerance)
    except ModelRegressed as error:
        print(f"{new.version_name} is not released: {error}", file=sys.stderr)
        return 1
    print(comparison)
    policy = ThresholdPolicy.precision_at_least(result, options.precision)
    print(f"\nPolicy      {policy.save(options.output / 'policy.json')}")
    for label, chosen in policy.labels.items():
        print(f"  {label}: from {chosen.threshold}  {chosen.note}")
    image = next(iter(result.images))
    with new.running() as running:
        found = running.detect(image.source, policy=policy)
    print(f"{image.source}: {', '.join(one.label for one in found) or 'nothing'}")
    return 0


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path, help="folder with one folder of images for each label")
    parser.add_argument("--precision", type=float, default=0.95, help="precision to reach, 0 to 1")
    parser.add_argument("--tolerance", type=float, default=0.02, help="loss of F1 to accept, 0 to 1")
    parser.add_argument("--output", type=Path, default=Path("release"), help="folder for the files")
    return parser.parse_args()


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    sys.exit(main())
