"""The AWS Regions that have Amazon Rekognition Custom Labels.

A :class:`~rekolabels.Client` for another Region is an error before anything is sent: AWS would answer each
call with ``AccessDeniedException`` and no explanation. When AWS adds a Region, add it here, too::

    from rekolabels.regions import KNOWN_REGIONS

    KNOWN_REGIONS.add("eu-north-1")
"""

from __future__ import annotations

from typing import Final

from rekolabels._arguments import check_text, invalid

__all__ = ["AS_OF", "KNOWN_REGIONS", "SOURCE", "check_region"]

AS_OF: Final = "end of 2025"
"""Date of the list."""
SOURCE: Final = "Amazon Rekognition endpoints and quotas, AWS General Reference"
"""Source of the list: https://docs.aws.amazon.com/general/latest/gr/rekognition.html."""

KNOWN_REGIONS: Final[set[str]] = {
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "eu-central-1",
    "eu-west-1",
    "eu-west-2",
    "us-east-1",
    "us-east-2",
    "us-west-2",
}
"""Regions with Custom Labels. The clients and the embedded services of this process use the set."""


def check_region(region: str, *, argument: str = "region") -> str:
    """Check that a Region has Custom Labels, and return it.

    Args:
        region: The Region.
        argument: Name of the Region in the message.

    Raises:
        InvalidInput: It has none; the message lists those that have.

    >>> check_region("eu-west-1")
    'eu-west-1'
    """
    check_text(argument, region, "an AWS Region, such as 'us-east-1'")
    if region not in KNOWN_REGIONS:
        raise invalid(
            argument,
            region,
            f"a Region with Amazon Rekognition Custom Labels: {', '.join(sorted(KNOWN_REGIONS))} ({AS_OF})",
            f"If AWS has added it since: `rekolabels.regions.KNOWN_REGIONS.add({region!r})`.",
        )
    return region
