"""Names in ARNs, and texts that are not valid ARNs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rekolabels import errors
from rekolabels._aws._arns import parse_dataset_arn, parse_project_arn, parse_version_arn

if TYPE_CHECKING:
    from collections.abc import Callable

ARN = "arn:aws:rekognition:REGION:ACCOUNT"
PROJECT = "arn:aws:rekognition:eu-west-1:123456789012:project/puppies-1.0_a/1700000000000"
DATASET = "arn:aws-us-gov:rekognition:us-gov-west-1:123456789012:project/puppies/dataset/{}/1700000000000"
VERSION = "arn:aws:rekognition:us-east-1:123456789012:project/puppies/version/first.1/1700000000000"


def test_names_are_read() -> None:
    """ARNs of projects, datasets and versions are parsed, in every partition."""
    assert parse_project_arn(PROJECT) == "puppies-1.0_a"
    assert parse_dataset_arn(DATASET.format("train")) == ("puppies", "train")
    assert parse_dataset_arn(DATASET.format("test")) == ("puppies", "test")
    assert parse_version_arn(VERSION) == ("puppies", "first.1")


@pytest.mark.parametrize(
    ("parse", "arn", "expected"),
    [
        (
            parse_project_arn,
            VERSION,
            (
                f"is not a project ARN; expected {ARN}:project/NAME/NUMBER. "
                "It is the ARN of a model version: use client.model(arn)."
            ),
        ),
        (
            parse_dataset_arn,
            DATASET.format("validation"),
            f"is not a dataset ARN; expected {ARN}:project/NAME/dataset/train-or-test/NUMBER.",
        ),
        (
            parse_version_arn,
            PROJECT,
            (
                f"is not the ARN of a model version; expected {ARN}:project/NAME/version/VERSION/NUMBER. "
                "It is the ARN of a project: use client.project(arn)."
            ),
        ),
    ],
)
def test_other_arns_are_rejected(parse: Callable[[str], object], arn: str, expected: str) -> None:
    """The message shows the ARN given and the expected form."""
    with pytest.raises(errors.InvalidInput) as caught:
        parse(arn)
    assert str(caught.value) == f"{arn!r} {expected}"


@pytest.mark.parametrize("parse", [parse_project_arn, parse_dataset_arn, parse_version_arn])
@pytest.mark.parametrize("text", ["", "puppies", f"{PROJECT}\n", f" {VERSION}", f"{DATASET.format('test')}/"])
def test_nearly_valid_arns_are_rejected(parse: Callable[[str], object], text: str) -> None:
    """Text before or after an ARN makes it invalid."""
    with pytest.raises(errors.InvalidInput):
        parse(text)
