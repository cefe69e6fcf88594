"""Checking whole manifests: counts, reports and their formats."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest

from recordings import recording
from rekolabels.errors import InvalidManifest, MissingExtra
from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.manifest import CheckedManifest, check_manifest, format_line, read_manifest
from rekolabels.manifest._line_rules import check_line
from rekolabels.manifest._serialize import dataset_entry, validation_line

if TYPE_CHECKING:
    from pathlib import Path


def labelled(count: int, *labels: str, start: int = 0) -> list[str]:
    """Return valid lines that cycle through the labels."""
    images = (LabelledImage(f"s3://bucket/{start + n}.jpg", [labels[n % len(labels)]]) for n in range(count))
    return [format_line(image) for image in images]


def boxed(count: int, *boxes: BoundingBox, start: int = 0) -> list[str]:
    """Return valid lines with boxes."""
    size = ImageSize(640, 480)
    return [
        format_line(LabelledImage(f"s3://bucket/b{start + n}.jpg", boxes=boxes, size=size))
        for n in range(count)
    ]


COIL = BoundingBox("coil", 10, 10, 20, 20)


def test_validation_lines_match_the_recorded_ones() -> None:
    """Codes, messages and places are those of the service; errors in the input are ignored."""
    recorded = recording("validation-lines")

    for expected in recorded["training_validation_manifest"].values():
        assert expected == json.loads(validation_line(check_line(json.dumps(expected))))
    for expected in recorded["dataset_entry"].values():
        entry = dataset_entry(check_line(json.dumps(expected)))
        assert entry is not None
        assert expected == json.loads(entry)


def test_recorded_dataset_entries_are_good_lines() -> None:
    """The entries that ListDatasetEntries returns are valid lines."""
    [entry] = recording("list-dataset-entries")["DatasetEntries"]

    assert check_line(entry).findings == ()
    assert dataset_entry(check_line(entry)) == entry


def test_the_summary_has_the_recorded_layout() -> None:
    """Counts and error of the recorded case: 155 of 301 training and 2 of 15 test lines are invalid."""
    recorded = recording("manifest-summary")
    training = [*labelled(146, "a", "b"), *["{"] * 155]
    testing = [*labelled(12, "a", "b", start=500), "{", *labelled(1, "a", start=900), "{"]

    summary = check_manifest(training, testing=testing).summary()

    assert summary["statistics"]["testing"] == {
        **recorded["statistics"]["testing"],
        "error_json_line_indices": [13, 15],
    }
    indices = summary["statistics"]["training"].pop("error_json_line_indices")
    recorded["statistics"]["training"].pop("error_json_line_indices")  # the guide shows only some of them
    assert summary["statistics"]["training"] == recorded["statistics"]["training"]
    assert indices == list(range(147, 302))
    assert summary["errors"] == recorded["errors"]


def test_a_good_manifest() -> None:
    """A valid manifest has counts, a kind of model, and a headline."""
    report = check_manifest(labelled(20, "rust", "clean"), testing=labelled(12, "rust", "clean", start=50))

    assert report.ok
    assert report.use_case == "IMAGE_LEVEL_LABELS"
    assert report.counts.label_images == {"rust": 10, "clean": 10}
    assert report.counts.buckets == {"bucket": 20}
    assert list(report) == []
    assert bool(report)
    assert str(report) == (
        "Training would start: classification, 2 labels, 20 usable training images, 12 usable test images."
    )


def test_boxes_make_a_detector() -> None:
    """The test lines, if any, determine the kind of model; one label is enough."""
    report = check_manifest(boxed(20, COIL), testing=boxed(12, COIL, start=50))

    assert report.ok
    assert report.use_case == "OBJECT_LOCALIZATION"
    assert "detection, 1 label, " in report.headline()


def test_detection_can_learn_from_image_level_labels() -> None:
    """The training dataset has image-level labels, the test dataset boxes (brand detection)."""
    report = check_manifest(labelled(20, "coil"), testing=boxed(12, COIL))

    assert report.ok
    assert report.use_case == "OBJECT_LOCALIZATION"


@pytest.mark.parametrize(("invalid", "ok"), [(20, True), (21, False)])
def test_a_fifth_of_the_lines_may_be_invalid(invalid: int, *, ok: bool) -> None:
    """Exactly 20 % invalid lines pass."""
    lines = labelled(100 - invalid, "a", "b")

    assert check_manifest([*lines, *[""] * invalid]).ok is ok


def test_one_bad_box_of_several() -> None:
    """The line is used without the box: it is valid, but in the list of lines with errors."""
    off = BoundingBox("coil", 630, 10, 20, 20)
    checked = CheckedManifest([*boxed(20, COIL), *boxed(1, COIL, off, start=20)])
    images = list(checked.images())
    report = checked.report()

    assert images[-1].boxes == (COIL,)
    assert (report.counts.valid, report.counts.invalid) == (21, 0)
    assert list(report.counts.error_lines) == [21]
    [issue] = report
    assert (issue.line, issue.pointer) == (21, "/bounding-box/annotations/1")
    assert "left 630" in issue.detail


def test_the_first_of_two_lines_of_an_image_is_kept() -> None:
    """The case of the scheme does not matter."""
    again = labelled(1, "clean")[0].replace("s3://", "S3://")
    checked = CheckedManifest([*labelled(20, "rust", "clean"), again])

    assert len(list(checked.images())) == 20
    [issue] = checked.report()
    assert (issue.code, issue.line) == ("DUPLICATE_SOURCE_REF", 21)
    assert "is in line 1" in issue.detail


def test_duplicates_are_found_across_blocks() -> None:
    """The second line is more than one block of 64 kB after the first."""
    lines = labelled(2000, "rust", "clean")
    report = check_manifest([*lines, lines[0], *labelled(500, "rust", start=5000), lines[1]])

    assert [(issue.code, issue.line) for issue in report] == [
        ("DUPLICATE_SOURCE_REF", 2001),
        ("DUPLICATE_SOURCE_REF", 2502),
    ]


def test_lines_that_a_dataset_drops() -> None:
    """A dataset can be created with up to 20 % dropped lines; the report flags them."""
    report = check_manifest([*labelled(20, "rust"), "{"], stage="dataset")

    assert report.ok
    assert report.counts.dropped == 1
    assert [issue.dropped for issue in report] == [True]
    assert len(list(report.dataset_entries())) == 20
    assert (
        report.headline() == "The dataset would be created: 20 usable training images (skipped: 1 invalid)."
    )


def test_an_empty_manifest_is_valid_for_a_dataset() -> None:
    """An empty manifest prevents a training, but the service documents no such error for datasets."""
    assert check_manifest(b"", stage="dataset").ok
    assert check_manifest(b"").headline() == "Training would not start: The manifest file is empty."


def test_issues_name_file_line_and_column(tmp_path: Path) -> None:
    """The format is that of compilers: path:line:column."""
    path = tmp_path / "train.manifest"
    path.write_text("\n".join([*labelled(20, "a", "b"), '{"source-ref":,}']))

    [issue] = check_manifest(path)
    assert str(issue).startswith(
        f"{path}:21:15: ERROR_INVALID_JSON_LINE: The JSON Line has an invalid format. "
    )
    assert "A dataset leaves the line out" in issue.meaning
    assert issue.fix


def test_lines_that_are_not_utf8() -> None:
    """Only the line itself is invalid."""
    lines = [line.encode() for line in labelled(20, "a", "b")]
    report = check_manifest([*lines, b'{"source-ref":"\xff"}', *[b"\xe2\x82"]])

    assert [(issue.code, issue.line, issue.column) for issue in report] == [
        ("ERROR_INVALID_JSON_LINE", 21, 16),
        ("ERROR_INVALID_JSON_LINE", 22, 1),
    ]
    assert report.counts.valid == 20


def test_a_huge_line_is_skipped() -> None:
    """The line is counted without keeping it in memory, and the following lines are checked."""

    class HugeLine(io.RawIOBase):
        """A file with 20 valid lines, one of 200 MB, and 20 valid ones."""

        def __init__(self) -> None:
            good = ["\n".join(labelled(20, "a", "b", start=start)).encode() for start in (0, 20)]
            self.chunks = iter([good[0] + b"\n", *[b"x" * 1_000_000] * 200, b"\n" + good[1]])

        def read(self, size: int = -1, /) -> bytes:
            del size
            return next(self.chunks, b"")

    report = check_manifest(HugeLine())

    assert (report.counts.total, report.counts.valid) == (41, 40)
    [issue] = report
    assert (issue.code, issue.line) == ("LINE_TOO_LONG", 21)
    assert "200,000,001 bytes" in issue.detail


def test_a_manifest_of_more_than_a_gigabyte(monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest is not read to its end; the test uses a smaller limit."""
    monkeypatch.setattr("rekolabels.manifest._scan.MANIFEST_BYTES", 500_000)
    endless = (line for start in range(10**9) for line in labelled(1, "a", start=start))

    [issue] = check_manifest(endless)
    assert (issue.code, issue.level) == ("ERROR_MANIFEST_SIZE_TOO_LARGE", "FILE")


def test_a_thousand_issues_of_a_code_are_kept() -> None:
    """All issues are counted."""
    report = check_manifest([b"{"] * 5000)

    assert report.issue_counts["ERROR_INVALID_JSON_LINE"] == 5000
    assert sum(issue.code == "ERROR_INVALID_JSON_LINE" for issue in report) == 1000
    assert len(report.counts.error_lines) == 5000


def test_validation_manifests(tmp_path: Path) -> None:
    """They have the same lines in the same order, with their errors, and can be used as manifests."""
    path = tmp_path / "train.manifest"
    path.write_text("\n".join([*labelled(20, "a", "b"), "{", labelled(1, "a")[0]]))
    annotated = list(check_manifest(path).validation_lines())

    assert annotated[:20] == labelled(20, "a", "b")
    assert [error["code"] for error in json.loads(annotated[20])["errors"]] == ["ERROR_INVALID_JSON_LINE"]
    assert [error["code"] for error in json.loads(annotated[21])["errors"]] == ["DUPLICATE_SOURCE_REF"]
    assert len(list(read_manifest(annotated[:20]))) == 20


def test_a_stream_is_checked_once() -> None:
    """A stream cannot be read again for the validation manifest; neither can a missing side."""
    report = check_manifest(iter(labelled(20, "a", "b")))

    assert report.ok
    with pytest.raises(InvalidManifest, match="second time"):
        next(report.validation_lines())
    with pytest.raises(InvalidManifest, match="No testing manifest"):
        next(report.validation_lines("testing"))
    checked = CheckedManifest(labelled(20, "a", "b"))
    list(checked.images())
    with pytest.raises(InvalidManifest, match="already read"):
        list(checked.images())
    with pytest.raises(InvalidManifest, match="No testing manifest"):
        list(checked.images("testing"))


def test_invalid_arguments_raise() -> None:
    """Invalid arguments raise; errors in the manifest are reported."""
    with pytest.raises(InvalidManifest, match="as bytes"):
        check_manifest('{"source-ref":"s3://bucket/1.jpg"}')
    assert not check_manifest("no/such/file").ok


def test_the_report_as_json() -> None:
    """The JSON report is complete."""
    report = json.loads(check_manifest([*labelled(20, "a", "b"), "{"]).to_json())

    assert report["ok"] is True
    assert report["summary"]["statistics"]["training"]["invalid_json_lines"] == 1
    assert report["issues"][0]["code"] == "ERROR_INVALID_JSON_LINE"
    assert report["issues"][0]["fix"]


def test_the_report_as_a_dataframe() -> None:
    """There is one row per issue; a report without issues has the same columns."""
    pytest.importorskip("pandas")
    frame = check_manifest([*labelled(20, "a", "b"), "{", labelled(1, "a")[0]]).to_pandas()
    clean = check_manifest(labelled(20, "a", "b")).to_pandas()

    assert list(frame["line"]) == [21, 22]
    assert list(frame["code"]) == ["ERROR_INVALID_JSON_LINE", "DUPLICATE_SOURCE_REF"]
    assert frame["image"][1] == "s3://bucket/0.jpg"
    assert frame["dropped"].all()
    assert list(clean.columns) == list(frame.columns)
    assert len(clean) == 0


def test_a_dataframe_needs_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pandas, the error names the extra."""

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("rekolabels.manifest.report.import_module", missing)
    with pytest.raises(MissingExtra, match=r"rekolabels\[report\]"):
        check_manifest(labelled(20, "a", "b")).to_pandas()


def test_control_characters_are_escaped() -> None:
    """Control characters in labels and keys do not reach the terminal."""
    hostile = labelled(1, "\x1b[31m\u202e")[0].replace("0.jpg", "")
    text = str(check_manifest([hostile, hostile.replace("s3://bucket/", "\\u001b[2J")]))

    assert "\x1b" not in text
    assert "\u202e" not in text
