"""Train, test and run a model on a folder of labelled images.

    python examples/quickstart.py                                   # handwritten digits, on this machine
    python examples/quickstart.py --images puppies/                 # your own, one folder for each label
    python examples/quickstart.py --images puppies/ --aws --bucket my-bucket   # the same on AWS

Ctrl-C ends it at any time. Run it again to continue where it stopped: nothing is uploaded or trained twice.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rekolabels import Client, RekolabelsError
from rekolabels.formats import read_folder
from rekolabels.local import LocalService

if TYPE_CHECKING:
    from rekolabels import LabelledImage

DIGITS_SIDE = 128  # the service requires at least 64 pixels a side; the originals have 8


def main() -> int:
    """Run the quickstart with a client for AWS or for the embedded service."""
    options = read_options()
    try:
        if options.aws:
            client = Client(bucket=options.bucket, region_name=options.region)
            return run(client, options)
        with LocalService(options.workspace / "service") as service:
            return run(service.client(bucket="quickstart"), options)
    except RekolabelsError as error:
        print(f"\n{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. Run the same command again to continue.", file=sys.stderr)
        return 130


def run(client: Client, options: argparse.Namespace) -> int:
    """Go from images to a running model; the client is all that differs between laptop and AWS."""
    folder: Path = options.images or write_digits(options.workspace / "digits")
    images = list(read_folder(folder))
    unseen = images.pop(len(images) // 3)  # for the detection at the end
    print(f"Images      {len(images)} in {folder}, labels {label_names(images)}")

    project = client.create_project(options.project or f"{folder.name}-split-{options.seed}", exist_ok=True)
    print(f"Project     {project.name}")

    # replace=True: if you have changed the images since the last run, use the new ones.
    train, test = project.create_datasets(images, test=0.2, seed=options.seed, replace=True)
    train_count, test_count = (dataset.describe().total_entries for dataset in (train, test))
    print(f"Datasets    {train_count} training images, {test_count} test images")

    started = time.monotonic()
    model = project.train(options.version, exist_ok=True)  # an earlier run may have started it
    model.wait_until_trained()
    print(f"Model       {model.version_name}, ready after {time.monotonic() - started:.1f} s\n")

    result = model.evaluation()
    print(result)
    report = options.workspace / f"{project.name}-{model.version_name}.html"
    report.parent.mkdir(parents=True, exist_ok=True)
    result.save(report)

    labels = ", ".join(unseen.labels)
    print(f"\nPrediction for {unseen.source} ({labels}), which is in neither dataset:")
    # A running model costs money on AWS: the block stops it at the end.
    with model.running(min_inference_units=1) as running:
        for found in running.detect(unseen.source):
            print(f"  {found.label}  {found.confidence:.1f} %")

    print(f"\nReport      {report}")
    print(f"Results     {model.describe().evaluation_summary}")
    print(f"Model ARN   {model.arn}")
    if not options.aws:
        print(f"Everything  {options.workspace}, which you can delete")
    return 0


def label_names(images: list[LabelledImage]) -> str:
    """Return the label names for one line of output, ten at most."""
    labels = sorted({label for image in images for label in image.labels})
    return ", ".join(labels[:10]) + (f" and {len(labels) - 10} more" if len(labels) > 10 else "")  # noqa: PLR2004


def write_digits(folder: Path) -> Path:
    """Write scikit-learn's 1,797 images of handwritten digits, one folder for each digit."""
    if (folder / ".complete").exists():
        return folder
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        path = folder / str(label) / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray((255 - pixels * 255 / 16).astype("uint8"))
        small.resize((DIGITS_SIDE, DIGITS_SIDE), Image.Resampling.BICUBIC).save(path)
    (folder / ".complete").touch()
    return folder


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=Path, help="folder that contains one folder of images per label")
    parser.add_argument("--aws", action="store_true", help="use AWS instead of this machine; costs money")
    parser.add_argument("--bucket", help="with --aws: the S3 bucket; created if it does not exist")
    parser.add_argument("--region", help="with --aws: the Region; default: that of your AWS settings")
    parser.add_argument("--project", help="name of the project; default: FOLDER-split-SEED")
    parser.add_argument("--seed", type=int, default=7, help="seed of the split into training and test images")
    parser.add_argument("--version", default="v1", help="name of the model version; a new name trains again")
    parser.add_argument(
        "--workspace",
        type=Path,
        default=Path(".quickstart"),
        help="folder for the results on this machine",
    )
    options = parser.parse_args()
    if options.aws and not options.bucket:
        parser.error("--aws needs --bucket NAME")
    return options


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    sys.exit(main())
