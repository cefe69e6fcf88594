"""Places in S3, as the operations name them and as boto3 wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["object_of", "result_key"]


def object_of(place: Mapping[str, Any]) -> dict[str, str]:
    """The arguments of GetObject and HeadObject for an ``S3Object`` of Rekognition.

    >>> object_of({"Bucket": "puppies", "Name": "train.manifest"})
    {'Bucket': 'puppies', 'Key': 'train.manifest'}
    """
    wanted = {"Bucket": place["Bucket"], "Key": place["Name"]}
    if "Version" in place:
        wanted["VersionId"] = place["Version"]
    return wanted


def result_key(prefix: str, name: str) -> str:
    """The key of a result file: a slash stands between prefix and name, but never two, and none at the start.

    >>> result_key("out", "a.json"), result_key("out/", "a.json"), result_key("", "a.json")
    ('out/a.json', 'out/a.json', 'a.json')
    """
    return f"{prefix.removesuffix('/')}/{name}" if prefix.strip("/") else name
