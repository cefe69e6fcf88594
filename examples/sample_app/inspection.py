"""A sample application: it sorts the pictures that a camera on a production line puts into S3.

``inspect`` is what a job calls every minute: each new picture goes below the name of the label that the model
finds in it, or to ``review/`` where the model is not sure enough. ``inspect_night`` is the nightly run, which
pays for the model only as long as it works. Their tests, ``test_inspection.py``, use the pytest plugin of
rekolabels: no AWS account, no network, no mocks.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import attrs

from rekolabels.errors import ResourceNotReady

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rekolabels import Client, Detection, ModelVersion

__all__ = ["LineStopped", "Sorted", "inspect", "inspect_night", "new_pictures"]

INCOMING = "incoming/"
REVIEW = "review"

_log = logging.getLogger(__name__)


class LineStopped(Exception):
    """The model is not running, so that nothing can be sorted; a person has to start it."""


@attrs.frozen
class Sorted:
    """What one inspection did."""

    moved: dict[str, str]
    """Where each picture went: old key to new key."""
    failed: dict[str, str]
    """Pictures that stay where they are, with the reason."""


def new_pictures(client: Client) -> list[str]:
    """Return the keys below ``incoming/`` in the client's bucket, sorted."""
    s3 = client.session.client("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=_bucket(client), Prefix=INCOMING)
    return sorted(found["Key"] for page in pages for found in page.get("Contents", ()))


def inspect(client: Client, model: ModelVersion, *, least: float = 80) -> Sorted:
    """Sort the new pictures.

    Throttled requests are made again by the SDK. A picture that the service does not take stays in
    ``incoming/`` and is told about; the others are sorted all the same.

    Args:
        client: The client whose bucket the camera writes to.
        model: A running model.
        least: Confidence from which a label is believed, 0 to 100.

    Raises:
        LineStopped: The model is not running; no picture was moved.
    """
    bucket, s3 = _bucket(client), client.session.client("s3")
    moved: dict[str, str] = {}
    failed: dict[str, str] = {}
    keys = new_pictures(client)
    for key, outcome in zip(
        keys, model.detect_many([f"s3://{bucket}/{key}" for key in keys], min_confidence=0), strict=True
    ):
        if isinstance(outcome.error, ResourceNotReady):
            raise LineStopped(f"{model.version_name} is not running; start it, then inspect again.")
        if outcome.error is not None:
            _log.warning("%s stays: %s", key, outcome.error)
            failed[key] = str(outcome.error)
            continue
        target = f"{_folder(outcome.detections, least)}/{key.removeprefix(INCOMING)}"
        s3.copy_object(Bucket=bucket, Key=target, CopySource={"Bucket": bucket, "Key": key})
        s3.delete_object(Bucket=bucket, Key=key)
        moved[key] = target
    return Sorted(moved, failed)


def inspect_night(client: Client, model: ModelVersion, *, least: float = 80) -> Sorted:
    """Start the model, sort what the day left, and stop the model whatever happens."""
    with model.running(max_duration=4 * 3600):
        return inspect(client, model, least=least)


def _bucket(client: Client) -> str:
    if client.bucket is None:
        raise ValueError("The client has no bucket. Make one with `Client(bucket='line-7')`.")
    return client.bucket


def _folder(detections: Sequence[Detection], least: float) -> str:
    best = max(detections, key=lambda found: found.confidence, default=None)
    return REVIEW if best is None or best.confidence < least else best.label
