"""Sample application: sort the images that a camera on a production line stores in S3.

A job calls ``sort_new_images`` every minute. It moves each new image to a prefix named after the label that
the model detects, or to ``review/`` if the model is not confident enough. ``run_nightly`` starts the model
for one run and stops it afterwards, so that it costs money only while it works. The tests in
``test_inspection.py`` use the pytest plugin of rekolabels: no AWS account, no network, no mocks.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import attrs

from rekolabels.errors import ResourceNotReady

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rekolabels import Client, Detection, ModelVersion

__all__ = ["ModelNotRunning", "SortResult", "new_images", "run_nightly", "sort_new_images"]

INCOMING = "incoming/"
REVIEW = "review"

_log = logging.getLogger(__name__)


class ModelNotRunning(Exception):
    """The model is not running, so no image can be sorted."""


@attrs.frozen
class SortResult:
    """Result of sorting the new images once."""

    moved: dict[str, str]
    """Old key to new key of each sorted image."""
    failed: dict[str, str]
    """Key of each image that was left in place, with the reason."""


def new_images(client: Client) -> list[str]:
    """Return the keys of the new images in the client's bucket, sorted."""
    s3 = client.session.client("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=_bucket(client), Prefix=INCOMING)
    return sorted(found["Key"] for page in pages for found in page.get("Contents", ()))


def sort_new_images(client: Client, model: ModelVersion, *, min_confidence: float = 80) -> SortResult:
    """Sort the new images.

    The SDK retries throttled requests. An image that the service rejects stays in ``incoming/`` and is
    logged; the others are sorted.

    Args:
        client: The client whose bucket the camera writes to.
        model: A running model.
        min_confidence: Lowest confidence, in percent, for which a label counts.

    Raises:
        ModelNotRunning: The model is not running; start it first.
    """
    bucket, s3 = _bucket(client), client.session.client("s3")
    moved: dict[str, str] = {}
    failed: dict[str, str] = {}
    keys = new_images(client)
    for key, outcome in zip(
        keys, model.detect_many([f"s3://{bucket}/{key}" for key in keys], min_confidence=0), strict=True
    ):
        if isinstance(outcome.error, ResourceNotReady):
            raise ModelNotRunning(f"{model.version_name} is not running. Start it with `model.start()`.")
        if outcome.error is not None:
            _log.warning("Cannot sort %s: %s", key, outcome.error)
            failed[key] = str(outcome.error)
            continue
        target = f"{_folder(outcome.detections, min_confidence)}/{key.removeprefix(INCOMING)}"
        s3.copy_object(Bucket=bucket, Key=target, CopySource={"Bucket": bucket, "Key": key})
        s3.delete_object(Bucket=bucket, Key=key)
        moved[key] = target
    return SortResult(moved, failed)


def run_nightly(client: Client, model: ModelVersion, *, min_confidence: float = 80) -> SortResult:
    """Start the model, sort the new images, and stop the model even after an error."""
    with model.running(max_duration=4 * 3600):
        return sort_new_images(client, model, min_confidence=min_confidence)


def _bucket(client: Client) -> str:
    if client.bucket is None:
        raise ValueError("The client has no bucket. Make one with `Client(bucket='line-7')`.")
    return client.bucket


def _folder(detections: Sequence[Detection], min_confidence: float) -> str:
    best = max(detections, key=lambda found: found.confidence, default=None)
    return REVIEW if best is None or best.confidence < min_confidence else best.label
