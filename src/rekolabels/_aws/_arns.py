"""Names and ARNs of projects, datasets and model versions: their parts, and checks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rekolabels._arguments import check_mapping, invalid, shown
from rekolabels.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from rekolabels.descriptions import DatasetKind

__all__ = [
    "TAGS",
    "ProjectName",
    "VersionName",
    "arn_of",
    "check_name",
    "check_tags",
    "parse_dataset_arn",
    "parse_project_arn",
    "parse_version_arn",
]

_NAME = r"[a-zA-Z0-9_.\-]"
_PREFIX = rf"arn:[a-z0-9-]+:rekognition:[a-z0-9-]+:[0-9]{{12}}:project/({_NAME}{{1,255}})"
_PROJECT_ARN = rf"{_PREFIX}/[0-9]+"
_DATASET_ARN = rf"{_PREFIX}/dataset/(train|test)/[0-9]+"
_VERSION_ARN = rf"{_PREFIX}/version/({_NAME}{{1,255}})/[0-9]+"

_USES = {
    _PROJECT_ARN: "It is the ARN of a project: use client.project(arn).",
    _DATASET_ARN: "It is the ARN of a dataset: use client.dataset(arn).",
    _VERSION_ARN: "It is the ARN of a model version: use client.model(arn).",
}

ProjectName = str
VersionName = str

TAGS = "a mapping of text to text, such as {'team': 'vision'}"
"""What tags are, for messages."""


def parse_project_arn(arn: str) -> ProjectName:
    """Return the project name in a project ARN.

    Raises:
        InvalidInput: ``arn`` is not a project ARN.
    """
    return _match(
        _PROJECT_ARN,
        arn,
        "a project ARN; expected arn:aws:rekognition:REGION:ACCOUNT:project/NAME/NUMBER",
        "For a name, use client.project(name).",
    )[1]


def parse_dataset_arn(arn: str) -> tuple[ProjectName, DatasetKind]:
    """Return project name and kind in a dataset ARN.

    Raises:
        InvalidInput: ``arn`` is not a dataset ARN.
    """
    found = _match(
        _DATASET_ARN,
        arn,
        "a dataset ARN; expected "
        "arn:aws:rekognition:REGION:ACCOUNT:project/NAME/dataset/train-or-test/NUMBER",
        "The datasets of a project are project.train_dataset and project.test_dataset.",
    )
    return found[1], "train" if found[2] == "train" else "test"


def parse_version_arn(arn: str) -> tuple[ProjectName, VersionName]:
    """Return project name and version name in the ARN of a model version.

    Raises:
        InvalidInput: ``arn`` is not the ARN of a model version.
    """
    found = _match(
        _VERSION_ARN,
        arn,
        "the ARN of a model version; expected "
        "arn:aws:rekognition:REGION:ACCOUNT:project/NAME/version/VERSION/NUMBER",
        "For a name, use client.project(project_name).model(version_name).",
    )
    return found[1], found[2]


def _match(pattern: str, arn: object, expected: str, use_of_name: str) -> re.Match[str]:
    if isinstance(arn, str):
        found = re.fullmatch(pattern, arn)
        if found is not None:
            return found
        use = _use_of(arn, use_of_name if _is_name(arn) else "")
    else:
        use = ""
    raise InvalidInput(f"{shown(arn)} is not {expected}.{f' {use}' if use else ''}")


def _use_of(arn: str, default: str = "") -> str:
    """Return what to use an ARN for; the default if it is of no known kind."""
    return next((use for pattern, use in _USES.items() if re.fullmatch(pattern, arn)), default)


def arn_of(parse: Callable[[str], object]) -> Callable[[object, object, str], None]:
    """Return a validator of attrs for an ARN of the kind that a function parses."""

    def check(_: object, __: object, arn: str) -> None:
        parse(arn)

    return check


def check_name(argument: str, value: object, *, length: int = 255) -> str:
    """Check the name of a project, a model version or a policy.

    Args:
        argument: Name of the argument.
        value: The value that was given.
        length: Largest number of characters.

    >>> check_name("name", "My Puppies")
    Traceback (most recent call last):
    rekolabels.errors.InvalidInput: name is 'My Puppies'; expected ... Use 'My-Puppies'.
    """
    if isinstance(value, str) and len(value) <= length and _is_name(value):
        return value
    expected = f"1 to {length} letters, digits, '_', '.' and '-'"
    if not isinstance(value, str):
        raise invalid(argument, value, f"a name, {expected}")
    if value.startswith("arn:"):
        raise invalid(argument, value, "a name, not an ARN", _use_of(value))
    valid = re.sub(rf"[^{_NAME[1:-1]}]+", "-", value).strip("-")[:length]
    raise invalid(argument, value, expected, f"Use {valid!r}." if valid else "")


def _is_name(text: str) -> bool:
    return re.fullmatch(rf"{_NAME}{{1,255}}", text) is not None


def check_tags(value: object) -> dict[str, str] | None:
    """Check the tags of a resource; None for no tags."""
    return None if value is None else check_mapping("tags", value, TAGS)
