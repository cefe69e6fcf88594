"""Detect labels in many images on many machines: the workers of a Dask cluster make the calls.

    pip install 'rekolabels[dask]'
    python examples/detect_on_dask.py MODEL_ARN s3://my-bucket/photos/ found.jsonl
    python examples/detect_on_dask.py MODEL_ARN s3://my-bucket/photos/ found.csv --scheduler tcp://host:8786

All workers together keep to one request rate. They get the S3 keys of the images, not their content, and use
the AWS settings of their own machine. After an interruption run it again: the journal has the answers so
far, so no image is paid for twice.

To try it without AWS, start ``rekolabels serve --workspace workspace`` in another terminal, and set the
environment variables that it prints, for this script and for the workers.
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
    """Detect labels in all images with an S3 prefix."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="ARN of the model version")
    parser.add_argument("images", help="s3://bucket/prefix with JPEG and PNG images")
    parser.add_argument("target", help="file for the outcomes, .jsonl or .csv")
    parser.add_argument("--scheduler", help="address of a Dask scheduler; default: a cluster on this machine")
    options = parser.parse_args()

    client = Client()
    model = client.model(options.model)
    cluster = distributed.Client(options.scheduler)  # type: ignore[no-untyped-call] # Dask has no annotations
    with cluster as dask, model.running(idle_timeout=600) as running:
        outcomes = running.detect_many(
            list_images(client, S3Location.parse(options.images)),
            executor=dask.get_executor(pure=False, retries=3),
            journal=options.target + ".journal",
            ordered=False,
        )
        count = save_outcomes(outcomes, options.target)
    print(f"{count} images, outcomes in {options.target}")


def list_images(client: Client, prefix: S3Location) -> Iterator[S3Location]:
    """List the images with an S3 prefix."""
    pages = client.session.client("s3").get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=prefix.bucket, Prefix=prefix.key):
        for item in page.get("Contents", ()):
            if item["Key"].lower().endswith((".jpg", ".jpeg", ".png")):
                yield S3Location(prefix.bucket, item["Key"])


if __name__ == "__main__":
    main()
