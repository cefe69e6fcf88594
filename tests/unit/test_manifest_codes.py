"""Every code of the reference and the manifest that brings it out; the table is in docs/manifest-codes.md."""

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
    """The code, in which object of the line it is listed, and how the line counts."""
    check = check_line(text if isinstance(text, str) else json.dumps(text))

    found = [(finding.code, "/".join(map(str, finding.container))) for finding in check.findings]
    assert found == [(code if code in CODES else f"ERROR_{code}", place) for code, place in expected]
    assert check.state == state
    assert (check.image is not None) == (state == "valid")


@pytest.mark.parametrize("text", [case[1] for case in LINES], ids=[case[0] for case in LINES])
def test_what_a_validation_manifest_says_of_it(text: Any) -> None:
    """The codes stand at their places; checked again, the annotated line says the same."""
    text = text if isinstance(text, str) else json.dumps(text)
    check = check_line(text)
    marked = json.loads(validation_line(check))

    for finding in check.findings:
        lists = marked
        for (
            step
        ) in finding.container:  # an attribute that should be an object and is none has no place for a list
            lists = lists[step] if isinstance(lists[step], (dict, list)) and lists[step] != [] else lists
        names = "warnings" if finding.code.startswith("WARNING") else "errors"
        code = "ERROR_INVALID_JSON_LINE" if finding.code == "LINE_TOO_LONG" else finding.code
        assert {"code": code, "message": CODES[code].message.format(*finding.container)} in lists[names]
    if check.members is not None:
        assert check.findings == check_line(json.dumps(marked)).findings
    else:
        assert list(marked) == ["errors"]


@pytest.mark.parametrize("text", [case[1] for case in LINES], ids=[case[0] for case in LINES])
def test_what_a_dataset_makes_of_it(text: Any) -> None:
    """Lines that it cannot hold are left out, other errors stand on the line or in metadata, no warnings."""
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
    """The code is reported once; FILE and CONTENT errors end the training, others do not."""
    report = check_manifest(**arguments)

    [issue] = [issue for issue in report if issue.code == code]
    assert issue.message == CODES[code].message.format(50)
    assert issue.level == CODES[code].level
    if issue.level in ("FILE", "CONTENT"):
        assert not report.ok
        assert issue.message in report.verdict
    assert code in str(report)


OF_OTHERS = {
    # What only somebody with access to the account, or to the images, can find out
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
}


def test_every_code_has_a_test() -> None:
    """Nothing in the table of codes is untested."""
    tested = {code for code, _ in MANIFESTS}
    for case in LINES:
        tested |= {code if code in CODES else f"ERROR_{code}" for code, _ in case[2]}

    assert CODES.keys() - tested == OF_OTHERS


def test_every_code_is_in_the_table_of_the_documentation() -> None:
    """With its level."""
    table = Path(__file__).parents[2] / "docs" / "manifest-codes.md"
    rows = table.read_text(encoding="utf-8").splitlines()

    for name, code in CODES.items():
        assert any(row.startswith(f"| `{name}` | {code.level} | ") for row in rows), name
