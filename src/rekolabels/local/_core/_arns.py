"""Amazon resource names of projects, datasets and model versions."""

from __future__ import annotations

import re
from typing import Literal

import attrs

__all__ = ["Arn", "Kind", "parse_arn"]

Kind = Literal["project", "dataset", "version"]

_ARN = re.compile(
    r"arn:(?P<partition>[a-z\d-]+):rekognition:(?P<region>[a-z\d-]+):(?P<account>\d{12})"
    r":project/(?P<project>[a-zA-Z0-9_.\-]{1,255})"
    r"(?:/(?P<what>dataset|version)/(?P<name>[a-zA-Z0-9_.\-]{1,255}))?/(?P<number>[0-9]+)",
    re.ASCII,
)


@attrs.frozen
class Arn:
    """A parsed ARN.

    >>> arn = parse_arn("arn:aws:rekognition:us-east-1:000000000000:project/birds/version/v1/1690556751958")
    >>> arn.kind, arn.project, arn.name
    ('version', 'birds', 'v1')
    >>> str(arn)
    'arn:aws:rekognition:us-east-1:000000000000:project/birds/version/v1/1690556751958'
    """

    region: str
    account: str
    project: str
    """The project's name."""
    kind: Kind
    name: str
    """The version's name, or ``train`` or ``test`` for a dataset; empty for a project."""
    number: int
    """Creation time in milliseconds since 1970."""
    partition: str = "aws"

    def __str__(self) -> str:
        inner = "" if self.kind == "project" else f"{self.kind}/{self.name}/"
        return (
            f"arn:{self.partition}:rekognition:{self.region}:{self.account}"
            f":project/{self.project}/{inner}{self.number}"
        )


def parse_arn(text: str) -> Arn | None:
    """Parse an ARN; return None unless it names a project, dataset or model version."""
    match = _ARN.fullmatch(text)
    if match is None:
        return None
    kind: Kind = "project"
    if match["what"] == "dataset":
        kind = "dataset"
    elif match["what"] == "version":
        kind = "version"
    return Arn(
        region=match["region"],
        account=match["account"],
        project=match["project"],
        kind=kind,
        name=match["name"] or "",
        number=int(match["number"]),
        partition=match["partition"],
    )
