"""Many images on many machines: the workers of a Dask cluster make the calls, one budget for all.

    pip install 'rekolabels[dask]'
    python examples/detect_on_dask.py MODEL_ARN s3://my-bucket/photos/ found.jsonl
    python examples/detect_on_dask.py MODEL_ARN s3://my-bucket/photos/ found.csv --scheduler tcp://host:8786

Workers get the keys of the images, not their bytes, and use the AWS settings of their own machine. Broken
off, run it again: the journal knows what was answered, and no image is paid twice.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import distributed

from rekolabels import Client, S3Location
from rekolabels.inference import save_outcomes

if TYPE_CHECKING:
    from collections.abc import Iterator


def main() -> None:
    """Detect in everything below an S3 prefix."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="ARN of the model version")
    parser.add_argument("images", help="s3://bucket/prefix with JPEG and PNG images")
    parser.add_argument("target", help="file for the outcomes, .jsonl or .csv")
    parser.add_argument(
        "--scheduler", help="address of a Dask scheduler; by default a cluster on this machine"
    )
    options = parser.parse_args()

    client = Client()
    model = client.model(options.model)
    cluster = distributed.Client(options.scheduler)  # type: ignore[no-untyped-call] # Dask has no annotations
    with cluster as dask, model.running(idle_timeout=600) as running:
        outcomes = running.detect_many(
            keys(client, S3Location.parse(options.images)),
            executor=dask.get_executor(pure=False, retries=3),
            journal=options.target + ".journal",
            ordered=False,
        )
        count = save_outcomes(outcomes, options.target)
    print(f"{count} images, outcomes in {options.target}")


def keys(client: Client, place: S3Location) -> Iterator[S3Location]:
    """List the images below a prefix, page by page."""
    pages = client.session.client("s3").get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=place.bucket, Prefix=place.key):
        for item in page.get("Contents", ()):
            if item["Key"].lower().endswith((".jpg", ".jpeg", ".png")):
                yield S3Location(place.bucket, item["Key"])


if __name__ == "__main__":
    main()
