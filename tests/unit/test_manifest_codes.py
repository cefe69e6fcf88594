"""Every error code and a manifest that causes it; the table is in docs/manifest-codes.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from manifest_cases import LINES, MANIFESTS
from rekolabels.manifest import check_manifest
from rekolabels.manifest._line_rules import check_line
from rekolabels.manifest._serialize import dataset_entry, validation_line
from rekolabels.manifest.codes import CODES


@pytest.mark.parametrize(
    ("text", "expected", "state"), [case[1:] for case in LINES], ids=[case[0] for case in LINES]
)
def test_a_line(text: Any, expected: list[tuple[str, str]], state: str) -> None:
    """The line has these codes in these objects, and counts as stated."""
    check = check_line(text if isinstance(text, str) else json.dumps(text))

    found = [(finding.code, "/".join(map(str, finding.container))) for finding in check.findings]
    assert found == [(code if code in CODES else f"ERROR_{code}", place) for code, place in expected]
    assert check.state == state
    assert (check.image is not None) == (state == "valid")


@pytest.mark.parametrize("text", [case[1] for case in LINES], ids=[case[0] for case in LINES])
def test_the_validation_line_of_a_line(text: Any) -> None:
    """The codes are in their objects; checking the annotated line gives the same findings."""
    text = text if isinstance(text, str) else json.dumps(text)
    check = check_line(text)
    annotated = json.loads(validation_line(check))

    for finding in check.findings:
        lists = annotated
        for step in finding.container:  # an attribute that is not an object has no list of errors
            lists = lists[step] if isinstance(lists[step], (dict, list)) and lists[step] != [] else lists
        names = "warnings" if finding.code.startswith("WARNING") else "errors"
        code = "ERROR_INVALID_JSON_LINE" if finding.code == "LINE_TOO_LONG" else finding.code
        assert {"code": code, "message": CODES[code].message.format(*finding.container)} in lists[names]
    if check.members is not None:
        assert check.findings == check_line(json.dumps(annotated)).findings
    else:
        assert list(annotated) == ["errors"]


@pytest.mark.parametrize("text", [case[1] for case in LINES], ids=[case[0] for case in LINES])
def test_the_dataset_entry_of_a_line(text: Any) -> None:
    """Some lines are left out; other errors are in the line or in metadata; warnings are not shown."""
    check = check_line(text if isinstance(text, str) else json.dumps(text))
    entry = dataset_entry(check)

    if check.dropped:
        assert entry is None
        return
    assert entry is not None
    members = json.loads(entry)
    expected = {finding.code for finding in check.findings if CODES[finding.code].in_dataset}
    found = {error["code"] for error in members.get("cl-errors", [])}
    found |= {
        error["code"]
        for key, value in members.items()
        if key.endswith("-metadata") and isinstance(value, dict)
        for error in value.get("cl-errors", [])
    }
    assert expected == found
    assert isinstance(members["cl-metadata"]["is_labeled"], bool)


@pytest.mark.parametrize(("code", "arguments"), MANIFESTS)
def test_a_manifest(code: str, arguments: dict[str, Any]) -> None:
    """The code is reported once; only FILE and CONTENT errors prevent the training."""
    report = check_manifest(**arguments)

    [issue] = [issue for issue in report if issue.code == code]
    assert issue.message == CODES[code].message.format(50)
    assert issue.level == CODES[code].level
    if issue.level in ("FILE", "CONTENT"):
        assert not report.ok
        assert issue.message in report.headline()
    assert code in str(report)


TESTED_ELSEWHERE = {
    # Only code with access to the AWS account can find these
    "ERROR_INVALID_PERMISSIONS_MANIFEST_S3_BUCKET",
    "ERROR_CANNOT_WRITE_OUTPUT_S3_BUCKET",
    "ERROR_INSUFFICIENT_IMAGES_PER_LABEL_FOR_DISTRIBUTE",
    "ERROR_INVALID_PERMISSIONS_IMAGES_S3_BUCKET",
    "ERROR_INVALID_IMAGES_S3_BUCKET_OWNER",
    # tests/unit/test_manifest_images.py
    "ERROR_INVALID_IMAGE",
    "ERROR_FAILED_IMAGES_S3_COPY",
    "IMAGE_SIZE_DIFFERS",
    # tests/unit/test_manifest_check.py
    "ERROR_MANIFEST_SIZE_TOO_LARGE",
    # tests/unit/test_manifest_given_images.py
    "IMAGES_NOT_UPLOADED",
    "REPEATED_IMAGE",
    # tests/unit/test_image_checks.py
    "IMAGES_REFUSED",
}


def test_every_code_has_a_test() -> None:
    """Every code of the table is tested."""
    tested = {code for code, _ in MANIFESTS}
    for case in LINES:
        tested |= {code if code in CODES else f"ERROR_{code}" for code, _ in case[2]}

    assert CODES.keys() - tested == TESTED_ELSEWHERE


def test_every_code_is_documented() -> None:
    """The table of the page has each code with its level."""
    table = Path(__file__).parents[2] / "docs" / "manifest-codes.md"
    rows = table.read_text(encoding="utf-8").splitlines()

    for name, code in CODES.items():
        assert any(row.startswith(f"| `{name}` | {code.level} | ") for row in rows), name
