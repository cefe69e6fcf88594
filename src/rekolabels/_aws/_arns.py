"""Names in the ARNs of projects, datasets and model versions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rekolabels.errors import InvalidInput

if TYPE_CHECKING:
    from rekolabels.descriptions import DatasetKind

__all__ = ["ProjectName", "VersionName", "parse_dataset_arn", "parse_project_arn", "parse_version_arn"]

_PROJECT_ARN = r"arn:[a-z\d-]+:rekognition:[a-z\d-]+:\d{12}:project/([a-zA-Z0-9_.\-]{1,255})/[0-9]+"
_DATASET_ARN = (
    r"arn:[a-z\d-]+:rekognition:[a-z\d-]+:\d{12}:project/([a-zA-Z0-9_.\-]{1,255})/dataset/(train|test)/[0-9]+"
)
_VERSION_ARN = (
    r"arn:[a-z\d-]+:rekognition:[a-z\d-]+:\d{12}"
    r":project/([a-zA-Z0-9_.\-]{1,255})/version/([a-zA-Z0-9_.\-]{1,255})/[0-9]+"
)

ProjectName = str
VersionName = str


def parse_project_arn(arn: str) -> ProjectName:
    """Return the project name in a project ARN.

    Raises:
        InvalidInput: ``arn`` is not a project ARN.
    """
    found = re.fullmatch(_PROJECT_ARN, arn)
    if found is None:
        raise InvalidInput(
            f"{arn!r} is not a project ARN; expected arn:aws:rekognition:REGION:ACCOUNT:project/NAME/NUMBER."
        )
    return found[1]


def parse_dataset_arn(arn: str) -> tuple[ProjectName, DatasetKind]:
    """Return project name and kind in a dataset ARN.

    Raises:
        InvalidInput: ``arn`` is not a dataset ARN.
    """
    found = re.fullmatch(_DATASET_ARN, arn)
    if found is None:
        raise InvalidInput(
            f"{arn!r} is not a dataset ARN; expected "
            "arn:aws:rekognition:REGION:ACCOUNT:project/NAME/dataset/train-or-test/NUMBER."
        )
    return found[1], "train" if found[2] == "train" else "test"


def parse_version_arn(arn: str) -> tuple[ProjectName, VersionName]:
    """Return project name and version name in the ARN of a model version.

    Raises:
        InvalidInput: ``arn`` is not the ARN of a model version.
    """
    found = re.fullmatch(_VERSION_ARN, arn)
    if found is None:
        raise InvalidInput(
            f"{arn!r} is not the ARN of a model version; expected "
            "arn:aws:rekognition:REGION:ACCOUNT:project/NAME/version/VERSION/NUMBER."
        )
    return found[1], found[2]
