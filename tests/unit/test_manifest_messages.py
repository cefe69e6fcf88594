"""Messages about manifests, word by word. The messages of the service are in the table of codes."""
# ruff: noqa: E501 -- each message is on one line, so that it can be searched for

from __future__ import annotations

import io
import json
import textwrap
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from manifest_cases import LINES, MANIFESTS, TWO, boxed, labelled
from rekolabels import errors
from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.manifest import check_manifest, format_line, parse_line, read_manifest, repair_manifest
from rekolabels.manifest._line_rules import check_line

if TYPE_CHECKING:
    from collections.abc import Iterator


def listed(text: str) -> list[str]:
    """Return the lines of a block of text."""
    return textwrap.dedent(text).strip("\n").split("\n")


def as_text(line: Any) -> str:
    """Return a line of a manifest as text."""
    return line if isinstance(line, str) else json.dumps(line)


def test_findings_have_location_and_detail() -> None:
    """Each finding has its location, the column if the line is not JSON, and what was found there."""
    found = [
        f"{name}: {'/'.join(map(str, finding.path))}|{finding.column or ''}| {finding.detail}"
        for name, line, _, _ in LINES
        for finding in check_line(as_text(line)).findings
        if finding.detail
    ]

    assert found == listed("""
        blank: |3| It is blank.
        cut off: |211| Unterminated string.
        not an object: |1| It is JSON, but not an object in braces.
        NaN: || NaN is not a JSON number.
        NUL: |28| Invalid control character.
        nesting bomb: || It is nested more than 200 levels deep.
        long line: || The line has 100,231 characters.
        web address: source-ref|| The value is 'https://example.org/1.jpg'.
        no key: source-ref|| The value is 's3://bucket/'.
        no bucket: source-ref|| The value is 's3://'.
        source is a list: source-ref|| The value is a list.
        key too long: source-ref|| The key has more than 1,024 bytes.
        no metadata: || The line has 'rust', but not 'rust-metadata'.
        no attribute: || The line has 'rust-metadata', but not 'rust'.
        label is text: rust|| The value of an image-level label must be an integer, such as 1.
        label is text with a fraction: rust|| The value of an image-level label must be an integer, such as 1.
        label is true: rust|| The value of an image-level label must be an integer, such as 1.
        boxes are a list: parts|| The value of a bounding box attribute must be an object with 'image_size' and 'annotations'.
        size is an object: parts/image_size|| 'image_size' must be a list with one object.
        annotations are an object: parts/annotations|| 'annotations' must be a list.
        an annotation is a list: parts/annotations/0|| An annotation must be an object.
        size is text: parts/image_size/0/width|| 'width' must be an integer.
        left is text: parts/annotations/0/left|| 'left' must be a number of pixels.
        left is infinite: || The number 1e999 is too large.
        left is missing: parts/annotations/0/left|| 'left' must be a number of pixels.
        class id is text: parts/annotations/0/class_id|| 'class_id' must be an integer.
        metadata is text: rust-metadata|| The metadata must be an object.
        no type: rust-metadata/type|| 'type' is missing.
        no class name: rust-metadata/class-name|| 'class-name' must be the label, a string.
        no confidence: rust-metadata/confidence|| 'confidence' must be a number from 0 to 1.
        confidence of 99: rust-metadata/confidence|| 'confidence' must be a number from 0 to 1.
        no human: rust-metadata/human-annotated|| 'human-annotated' must be 'yes' or 'no'.
        human is a list: rust-metadata/human-annotated|| 'human-annotated' must be 'yes' or 'no'.
        no date: rust-metadata/creation-date|| 'creation-date' must be a date, as a string.
        class map is a list: parts-metadata/class-map|| 'class-map' must be an object that maps class ids to labels.
        objects are missing: parts-metadata/objects|| 'objects' must be a list.
        too few objects: parts-metadata/objects|| 'objects' has fewer elements than 'annotations' (0 and 1).
        object without confidence: parts-metadata/objects/0|| Object 0 has no 'confidence'.
        unknown class: parts-metadata/class-map|| 'class-map' lacks the class id 0.
        wrong type: parts-metadata/type|| The type is 'groundtruth/wrongtype'.
        one wrong type of two: parts-metadata/type|| The type is 'groundtruth/wrongtype'.
        image of 63 pixels: parts/image_size/0|| The stated size is 63 x 480 pixels; 64 to 4096 a side are allowed.
        image of 4097 pixels: parts/image_size/0|| The stated size is 640 x 4097 pixels; 64 to 4096 a side are allowed.
        box off to the right: parts/annotations/1|| The box 'coil' (left 630, top 10, 11 x 20 pixels) is not inside the image of 640 x 480 pixels.
        box off to the left: parts/annotations/1|| The box 'coil' (left -1, top 10, 11 x 20 pixels) is not inside the image of 640 x 480 pixels.
        box of one pixel: parts/annotations/1|| The box 'coil' (left 1, top 1, 1 x 20 pixels) needs sides longer than 1 pixel.
        2 pixels of 4000: parts/annotations/1|| The box 'coil' (left 1, top 1, 2 x 20 pixels) needs sides longer than 3.12 pixels in an image of 4000 x 480 pixels.
        no good box: parts/annotations/0|| The box 'coil' (left 1, top 1, 0 x 0 pixels) needs sides longer than 1 pixel.
        51 boxes: parts/annotations|| The image has 51 boxes; at most 50 are allowed.
        empty label: rust-metadata/class-name|| The label has 0 characters; 1 to 256 are allowed.
        label of 257: rust-metadata/class-name|| The label has 257 characters; 1 to 256 are allowed.
    """)


def test_lines_that_cannot_be_read() -> None:
    """The reader raises an error with location and reason; it reads lines that are merely unusual."""

    def error_for(line: str) -> str:
        try:
            parse_line(line)
        except errors.InvalidManifest as error:
            return str(error)
        return ""

    messages = [f"{name}: {message}" for name, line, _, _ in LINES if (message := error_for(as_text(line)))]

    assert messages == listed("""
        blank: The manifest line is not a JSON object: it is blank (column 3).
        cut off: The manifest line is not a JSON object: unterminated string (column 211).
        not an object: The manifest line is not a JSON object: it is JSON, but not an object in braces (column 1).
        NaN: The manifest line is not a JSON object: NaN is not a JSON number.
        NUL: The manifest line is not a JSON object: invalid control character (column 28).
        nesting bomb: The manifest line is not a JSON object: it is nested more than 200 levels deep.
        long line: The manifest line has 100,231 characters; at most 100,000 are allowed.
        no source: The manifest line has no 'source-ref' with the URI of the image, such as s3://bucket/key.
        source is a list: The manifest line has a list as 'source-ref', not the URI of an image such as s3://bucket/key.
        boxes are a list: The manifest line cannot be read at '/parts': the value of a bounding box attribute must be an object with 'image_size' and 'annotations'.
        annotations are an object: The manifest line cannot be read at '/parts/annotations': 'annotations' must be a list.
        an annotation is a list: The manifest line cannot be read at '/parts/annotations/0': an annotation must be an object.
        left is text: The manifest line cannot be read at '/parts/annotations/0/left': 'left' must be a number of pixels.
        left is infinite: The manifest line is not a JSON object: the number 1e999 is too large.
        left is missing: The manifest line cannot be read at '/parts/annotations/0/left': 'left' must be a number of pixels.
        class id is text: The manifest line cannot be read at '/parts/annotations/0/class_id': 'class_id' must be an integer.
        metadata is text: The manifest line cannot be read at '/rust-metadata': the metadata must be an object.
        no type: The manifest line cannot be read at '/rust-metadata/type': 'type' is missing.
        no class name: The manifest line cannot be read at '/rust-metadata/class-name': 'class-name' must be the label, a string.
        class map is a list: The manifest line cannot be read at '/parts-metadata/class-map': 'class-map' must be an object that maps class ids to labels.
        unknown class: The manifest line cannot be read at '/parts-metadata/class-map': 'class-map' lacks the class id 0.
    """)


def test_headlines_and_issues() -> None:
    """Each manifest has a headline; each issue says what was found."""

    def messages() -> Iterator[str]:
        for _, arguments in MANIFESTS:
            report = check_manifest(**arguments)
            yield report.headline()
            yield from (
                f"    {issue}" for issue in {one.code: one for one in reversed(list(report))}.values()
            )

    assert list(messages()) == listed("""
        Training would not start: The manifest file extension or contents are invalid. The manifest is a binary file. A manifest must be UTF-8 text, one JSON object per line.
            the manifest: ERROR_MANIFEST_INACCESSIBLE_OR_UNSUPPORTED_FORMAT: The manifest file extension or contents are invalid. The manifest is a binary file. A manifest must be UTF-8 text, one JSON object per line.
        Training would not start: The manifest file extension or contents are invalid. Cannot read nowhere/train.manifest: No such file or directory.
            nowhere/train.manifest: ERROR_MANIFEST_INACCESSIBLE_OR_UNSUPPORTED_FORMAT: The manifest file extension or contents are invalid. Cannot read nowhere/train.manifest: No such file or directory.
        Training would not start: The manifest file is empty.
            the manifest: ERROR_EMPTY_MANIFEST: The manifest file is empty.
        Training would not start: The manifest file has too many rows. The manifest has more than 19 lines.
            the manifest: ERROR_MANIFEST_ROWS_EXCEEDS_MAXIMUM: The manifest file has too many rows. The manifest has more than 19 lines.
        Training would not start: The manifest file contains too many invalid rows. 6 of 26 lines are invalid.
            the manifest:21:2: ERROR_INVALID_JSON_LINE: The JSON Line has an invalid format. It is cut off.
            the manifest: ERROR_TOO_MANY_INVALID_ROWS_IN_MANIFEST: The manifest file contains too many invalid rows. 6 of 26 lines are invalid.
        The dataset would not be created: The manifest file has too many terminal errors. 6 of 26 lines would be left out.
            the manifest:21:2: ERROR_INVALID_JSON_LINE: The JSON Line has an invalid format. It is cut off.
            the manifest: ERROR_TOO_MANY_RECORDS_IN_ERROR: The manifest file has too many terminal errors. 6 of 26 lines would be left out.
        Training would not start: The manifest file contains images from multiple S3 buckets. Images per bucket: bucket (20), other (1).
            the manifest: ERROR_IMAGES_IN_MULTIPLE_S3_BUCKETS: The manifest file contains images from multiple S3 buckets. Images per bucket: bucket (20), other (1).
        The dataset would not be created: The manifest file contains images from multiple S3 buckets. Images per bucket: bucket (20), other (1).
            the manifest: ERROR_IMAGES_IN_MULTIPLE_S3_BUCKETS: The manifest file contains images from multiple S3 buckets. Images per bucket: bucket (20), other (1).
        Training would not start: The manifest file has too few labels. Found 1; at least 2 required.
            the manifest: ERROR_MANIFEST_TOO_FEW_LABELS: The manifest file has too few labels. Found 1; at least 2 required.
        Training would not start: The manifest file has too few labels. Found 1; at least 2 required.
            the manifest: ERROR_MANIFEST_TOO_FEW_LABELS: The manifest file has too few labels. Found 1; at least 2 required.
        Training would not start: The manifest file has too many labels. Found 251; at most 250 allowed.
            the manifest: ERROR_MANIFEST_TOO_MANY_LABELS: The manifest file has too many labels. Found 251; at most 250 allowed.
        The dataset would not be created: The manifest file has too many labels. Found 251; at most 250 allowed.
            the manifest: ERROR_MANIFEST_TOO_MANY_LABELS: The manifest file has too many labels. Found 251; at most 250 allowed.
        Training would not start: The manifest file contains insufficient labeled images per label to perform auto-split. Labels with a single image: 'rare'.
            the manifest: ERROR_INSUFFICIENT_IMAGES_PER_LABEL_FOR_AUTOSPLIT: The manifest file contains insufficient labeled images per label to perform auto-split. Labels with a single image: 'rare'.
        Training would not start: Less than 50% label overlap between the training and testing manifest files. 3 of 5 training labels have no test image: 'c', 'd', 'e'.
            the manifest: ERROR_INSUFFICIENT_LABEL_OVERLAP: Less than 50% label overlap between the training and testing manifest files. 3 of 5 training labels have no test image: 'c', 'd', 'e'.
        Training would not start: The manifest file has too few usable labels. Found 1 for IMAGE_LEVEL_LABELS; at least 2 required.
            the manifest: FEW_IMAGES: There are fewer than 10 images. Usable images: 9.
            the manifest: MIXED_LABEL_KINDS: Some lines have only image-level labels, others have boxes. Lines with only image-level labels: 1; lines with boxes: 20.
            the manifest: ERROR_MANIFEST_TOO_FEW_USABLE_LABELS: The manifest file has too few usable labels. Found 1 for IMAGE_LEVEL_LABELS; at least 2 required.
        Training would not start: Less than 50% usable label overlap between the training and testing manifest files. 1 of 1 training labels have no test image: 'coil'.
            the manifest: MIXED_LABEL_KINDS: Some lines have only image-level labels, others have boxes. Lines with only image-level labels: 20; lines with boxes: 20.
            the manifest: FEW_IMAGES: There are fewer than 10 images. Usable images: 5.
            the manifest: ERROR_INSUFFICIENT_USABLE_LABEL_OVERLAP: Less than 50% usable label overlap between the training and testing manifest files. 1 of 1 training labels have no test image: 'coil'.
        Training would start: classification, 2 labels, 9 usable training images.
            the manifest: FEW_IMAGES: There are fewer than 10 images. Usable images: 9.
        Training would start: detection, 1 label, 40 usable training images.
            the manifest: MIXED_LABEL_KINDS: Some lines have only image-level labels, others have boxes. Lines with only image-level labels: 20; lines with boxes: 20.
        Training would start: classification, 3 labels, 20 usable training images.
            the manifest: SIMILAR_LABELS: Some labels differ only in case, spaces or Unicode form. 'Rust ' and 'rust'.
        Training would start: classification, 2 labels, 20 usable training images, 20 usable test images.
            the manifest: IMAGE_IN_BOTH_DATASETS: The image is in the training and in the test dataset. 20 images are in both.
        Training would start: classification, 2 labels, 20 usable training images, 2,002 usable test images.
            the manifest: TOO_MANY_TEST_IMAGES_FOR_LABEL: A label has more than 1000 test images. Labels over the limit: 'clean', 'rust'.
        Training would start: classification, 2 labels, 20 usable training images (skipped: 1 invalid).
            the manifest:21: DUPLICATE_SOURCE_REF: The image is already in an earlier line. 's3://bucket/3.jpg' is in line 4.
        Training would start: classification, 2 labels, 21 usable training images.
            the manifest:21: DUPLICATE_JSON_KEY: A key occurs more than once in one object. The key 'rust' occurs more than once. (image 's3://bucket/x.jpg')
        Training would start: classification, 2 labels, 20 usable training images.
            the manifest:1:1: BYTE_ORDER_MARK: The file begins with a byte order mark.
        Training would start: classification, 3 labels, 21 usable training images.
            the manifest:21 at / -metadata/class-name: BLANK_LABEL: A label consists of white space. (image 's3://bucket/x.jpg')
        Training would start: classification, 2 labels, 21 usable training images.
            the manifest:21 at /rust: LABEL_VALUE_IS_TEXT: The value of an image-level label is a string, not an integer. The value is '0'. (image 's3://bucket/x.jpg')
        Training would start: detection, 1 label, 1 usable training image.
            the manifest:1 at /parts-metadata/class-map: BLANK_LABEL: A label consists of white space. (image 's3://bucket/x.jpg')
            the manifest: FEW_IMAGES: There are fewer than 10 images. Usable images: 1.
        Training would start: classification, 51 labels, 1 usable training image.
            the manifest:1: TOO_MANY_LABELS_FOR_IMAGE: The image has more than 50 image-level labels. The image has 51 labels. (image 's3://bucket/x.jpg')
            the manifest: FEW_IMAGES: There are fewer than 10 images. Usable images: 1.
    """)


def test_a_report_prints_what_is_to_be_done() -> None:
    """The headline, then the count, first location and fix of each code."""
    report = check_manifest([*TWO, labelled("x.jpg")[:-20], labelled("y.jpg")[:-9], TWO[3]])

    assert str(report).split("\n") == listed("""
        Training would start: classification, 2 labels, 20 usable training images (skipped: 3 invalid).

                2  LINE     ERROR_INVALID_JSON_LINE
                   first: the manifest:21:211: ERROR_INVALID_JSON_LINE: The JSON Line has an invalid format. Unterminated string.
                   fix: Write one complete JSON object per line, in UTF-8.
                1  LINE     DUPLICATE_SOURCE_REF
                   first: the manifest:23: DUPLICATE_SOURCE_REF: The image is already in an earlier line. 's3://bucket/3.jpg' is in line 4.
                   fix: Put all labels of the image into one line.
    """)


def test_headlines_of_good_manifests() -> None:
    """The headline states the images of the training or the dataset."""
    boxes = [json.dumps(boxed((10, 10, 20, 20), key=f"{number}.jpg")) for number in range(10)]
    unlabelled = '{"source-ref": "s3://bucket/z.jpg"}'
    tests = [labelled("t1.jpg", "rust"), labelled("t2.jpg", "clean")]
    reports = [
        check_manifest(TWO),
        check_manifest(TWO, testing=tests),
        check_manifest(boxes),
        check_manifest(TWO, stage="dataset"),
        check_manifest([*TWO, unlabelled, "{"]),
    ]

    assert [report.headline() for report in reports] == listed("""
        Training would start: classification, 2 labels, 20 usable training images.
        Training would start: classification, 2 labels, 20 usable training images, 2 usable test images.
        Training would start: detection, 1 label, 10 usable training images.
        The dataset would be created: 20 usable training images.
        Training would start: classification, 2 labels, 20 usable training images (skipped: 1 invalid, 1 without labels).
    """)
    assert str(reports[0]) == reports[0].headline()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (b"\xff\xfe{\x00", "The manifest is UTF-16 text. Save it as UTF-8."),
        (b"{\x00}\x00", "The manifest is UTF-16 text. Save it as UTF-8."),
        (
            b"\x89PNG\r\n\x1a\n\x00\x00",
            "The manifest is a binary file. A manifest must be UTF-8 text, one JSON object per line.",
        ),
        ("nowhere.manifest", "Cannot read nowhere.manifest: No such file or directory."),
        (
            "s3://b/train.manifest",
            "s3://b/train.manifest is in S3. Download it first, or pass get_object(...)['Body'] of an S3 client.",
        ),
        ([7], "The lines of a manifest must be str or bytes, but one is 7 (int)."),
        (
            b'{"source-ref":"a"}\n{"source-ref":"\xc3\xbc\xff"}',
            "Line 2 of the manifest is not UTF-8 text (column 17).",
        ),
        (
            labelled(),
            "A str must be the path of a manifest, not its content. Pass the content as bytes: text.encode().",
        ),
    ],
)
def test_sources_that_are_not_manifests(source: Any, expected: str) -> None:
    """The error says what the source is and what was expected."""
    with pytest.raises(errors.InvalidManifest) as caught:
        list(read_manifest(source))
    assert str(caught.value) == expected


def test_repairs_have_line_location_and_description() -> None:
    """Every repair is listed; an annotation that is not a box is left alone."""
    label = json.loads(labelled("1.jpg"))
    for name in ("type", "confidence", "human-annotated", "creation-date"):
        del label["rust-metadata"][name]
    box = boxed((10, 10, 0, 20), (-1, 10, 20, 20), 7, key="2.jpg", type=None)
    del box["parts-metadata"]["type"], box["parts-metadata"]["objects"]
    box["parts"]["image_size"] = {"width": 640, "height": 480}
    unsized = boxed((10, 10, 20, 20), key="3.jpg")
    del unsized["parts"]["image_size"]
    text = (
        "\ufeff" + "\n".join(json.dumps(line) for line in (label, box, unsized)) + "\n\n" + labelled("1.jpg")
    )

    report = repair_manifest(text.encode(), io.BytesIO(), created="2024-03-01T09:30:00")

    assert [f"{one.line}{one.pointer}: {one.description}" for one in report.repairs] == listed("""
        1/rust-metadata/type: type filled in: groundtruth/image-classification
        1/rust-metadata/human-annotated: human-annotated filled in
        1/rust-metadata/creation-date: creation-date filled in
        1/rust-metadata/confidence: confidence filled in
        1: byte order mark removed
        2/parts-metadata/type: type filled in: groundtruth/object-detection
        2/parts/image_size: image_size wrapped in a list
        2/parts/image_size/0/depth: depth filled in
        2/parts-metadata/objects/0: confidence filled in
        2/parts-metadata/objects/1: confidence filled in
        2/parts-metadata/objects/2: confidence filled in
        2/parts/annotations/1: box clipped to the image
        2/parts/annotations/0: box without area removed
        4: blank line removed
        5: repeated line removed
    """)
    assert str(report).split("\nRemaining issues:")[0].split("\n") == listed("""
        Repairs:
                1  type filled in: groundtruth/image-classification
                1  human-annotated filled in
                1  creation-date filled in
                4  confidence filled in
                1  type filled in: groundtruth/object-detection
                1  image_size wrapped in a list
                1  depth filled in
                1  box clipped to the image
                1  box without area removed
                1  blank line removed
                1  repeated line removed
                1  byte order mark removed
    """)


def test_a_moved_box_keeps_its_class_id() -> None:
    """Even if the class map contains its label twice."""
    line = boxed((10, 10, 20, 20), **{"class-map": {"0": "coil", "1": "coil"}})
    line["parts"]["annotations"][0]["class_id"] = 1
    image = parse_line(json.dumps(line))
    moved = attrs.evolve(image, boxes=[attrs.evolve(image.boxes[0], left=30)])
    assert json.loads(format_line(moved))["parts"]["annotations"] == [
        {"class_id": 1, "left": 30, "top": 10, "width": 20, "height": 20}
    ]


def test_removed_labels_lose_their_keys() -> None:
    """The other labels are unchanged."""
    image = parse_line(labelled("1.jpg", "rust", "clean"))
    assert json.loads(format_line(attrs.evolve(image, labels=["clean"]))) == {
        name: value
        for name, value in json.loads(labelled("1.jpg", "rust", "clean")).items()
        if not name.startswith("rust")
    }


@pytest.mark.parametrize("boxes", [(), (BoundingBox("coil", 1, 2, 30, 40),)])
def test_a_job_can_be_named(boxes: tuple[BoundingBox, ...]) -> None:
    """The job name replaces the default one."""
    image = LabelledImage("s3://bucket/1.jpg", () if boxes else ("rust",), boxes, ImageSize(640, 480))
    line = json.loads(format_line(image, job_name="inspection"))
    (metadata,) = (value for name, value in line.items() if name.endswith("-metadata"))
    assert metadata["job-name"] == "inspection"


def test_text_lines_with_a_lone_surrogate() -> None:
    """The error is the same as for a file that is not UTF-8."""
    with pytest.raises(errors.InvalidManifest) as caught:
        list(read_manifest(['{"source-ref":"s3://bucket/\ud800"}']))
    assert str(caught.value) == "Line 1 of the manifest is not UTF-8 text (column 28)."


def test_the_use_case_of_an_unreadable_manifest() -> None:
    """It has the service's name."""
    assert check_manifest(b"").use_case == "NOT_DETERMINED"


def test_a_report_as_json() -> None:
    """The JSON report has everything that the printed report has, under stable names."""
    report = check_manifest([*TWO, TWO[3]])
    content = json.loads(report.to_json())
    (issue,) = content.pop("issues")
    assert content == {
        "ok": True,
        "headline": report.headline(),
        "stage": "training",
        "use_case": "IMAGE_LEVEL_LABELS",
        "summary": report.summary(),
        "issue_counts": {"DUPLICATE_SOURCE_REF": 1},
    }
    assert (issue["code"], issue["line"], issue["level"]) == ("DUPLICATE_SOURCE_REF", 21, "LINE")
    assert issue["fix"] == "Put all labels of the image into one line."
