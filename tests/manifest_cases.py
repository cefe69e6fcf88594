"""Test cases: lines and manifests, each with one error, and the codes that they cause."""

from __future__ import annotations

import json
from typing import Any

from rekolabels.images import LabelledImage
from rekolabels.manifest import format_line

DATE = "2024-03-01T09:30:00"


def labelled(key: str = "1.jpg", *labels: str, bucket: str = "bucket") -> str:
    """Return a valid line with image-level labels."""
    return format_line(LabelledImage(f"s3://{bucket}/{key}", labels or ("rust",)), created=DATE)


def line(**changes: Any) -> dict[str, Any]:
    """Return a valid line with one label and these changes."""
    return {**json.loads(labelled()), **changes}


def metadata(**changes: Any) -> dict[str, Any]:
    """Return the metadata of the label with these changes; None removes a key."""
    changed = {**json.loads(labelled())["rust-metadata"], **changes}
    return {key: value for key, value in changed.items() if value is not None}


def boxed(
    *annotations: Any, width: Any = 640, height: Any = 480, key: Any = "1.jpg", **changes: Any
) -> dict[str, Any]:
    """Return a line with boxes.

    Args:
        annotations: Each one is (left, top, width, height), or any other JSON value.
        width: Stated width of the image.
        height: Stated height of the image.
        key: S3 key of the image.
        changes: Changes of the metadata.
    """
    names = ("left", "top", "width", "height")
    objects = [
        {"class_id": 0, **dict(zip(names, entry, strict=True))} if isinstance(entry, tuple) else entry
        for entry in annotations
    ]
    return {
        "source-ref": f"s3://bucket/{key}",
        "parts": {"image_size": [{"width": width, "height": height, "depth": 3}], "annotations": objects},
        "parts-metadata": {
            "objects": [{"confidence": 1}] * len(objects),
            "class-map": {"0": "coil"},
            "type": "groundtruth/object-detection",
            "human-annotated": "yes",
            "creation-date": DATE,
            **changes,
        },
    }


GOOD = (10, 10, 20, 20)
FORMAT = "INVALID_LABEL_ATTRIBUTE_FORMAT"
METADATA = "INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT"
NO_ATTRIBUTES = "NO_VALID_LABEL_ATTRIBUTES"

LINES: list[tuple[str, Any, list[tuple[str, str]], str]] = [
    # name, line, codes (without ERROR_) with the path of the object that lists them, state
    ("good label", line(), [], "valid"),
    ("good box", boxed(GOOD), [], "valid"),
    ("blank", "  ", [("INVALID_JSON_LINE", "")], "invalid"),
    ("cut off", labelled()[:-20], [("INVALID_JSON_LINE", "")], "invalid"),
    ("not an object", "[]", [("INVALID_JSON_LINE", "")], "invalid"),
    ("NaN", '{"source-ref":"s3://bucket/1.jpg","a":NaN}', [("INVALID_JSON_LINE", "")], "invalid"),
    ("NUL", '{"source-ref":"s3://bucket/\x00.jpg"}', [("INVALID_JSON_LINE", "")], "invalid"),
    ("nesting bomb", '{"a":' + "[" * 30_000, [("INVALID_JSON_LINE", "")], "invalid"),
    ("long line", labelled() + " " * 100_000, [("LINE_TOO_LONG", "")], "invalid"),
    ("no source", {"a": 1}, [("MISSING_SOURCE_REF", "")], "invalid"),
    (
        "web address",
        line(**{"source-ref": "https://example.org/1.jpg"}),
        [("INVALID_SOURCE_REF_FORMAT", "")],
        "invalid",
    ),
    ("no key", line(**{"source-ref": "s3://bucket/"}), [("INVALID_SOURCE_REF_FORMAT", "")], "invalid"),
    ("no bucket", line(**{"source-ref": "s3://"}), [("INVALID_SOURCE_REF_FORMAT", "")], "invalid"),
    ("source is a list", line(**{"source-ref": []}), [("INVALID_SOURCE_REF_FORMAT", "")], "invalid"),
    (
        "key too long",
        line(**{"source-ref": "s3://bucket/" + "ü" * 513}),
        [("INVALID_SOURCE_REF_FORMAT", "")],
        "invalid",
    ),
    ("odd key", line(**{"source-ref": "s3://bucket/a b/../#%20ü\u2028.jpg"}), [], "valid"),
    ("scheme in capitals", line(**{"source-ref": "S3://bucket/1.jpg"}), [], "valid"),
    ("no metadata", {"source-ref": "s3://bucket/1.jpg", "rust": 1}, [("NO_LABEL_ATTRIBUTES", "")], "invalid"),
    (
        "no attribute",
        {"source-ref": "s3://bucket/1.jpg", "rust-metadata": {}},
        [("NO_LABEL_ATTRIBUTES", "")],
        "invalid",
    ),
    ("label is text", line(rust="one"), [(FORMAT, "rust")], "invalid"),
    ("label is text with a fraction", line(rust="1.0"), [(FORMAT, "rust")], "invalid"),
    ("label is true", line(rust=True), [(FORMAT, "rust")], "invalid"),
    ("boxes are a list", {**boxed(GOOD), "parts": []}, [(FORMAT, "parts")], "invalid"),
    (
        "size is an object",
        {**boxed(GOOD), "parts": {"image_size": {"width": 640}, "annotations": []}},
        [(FORMAT, "parts")],
        "invalid",
    ),
    (
        "annotations are an object",
        {**boxed(), "parts": {**boxed()["parts"], "annotations": {}}},
        [(FORMAT, "parts")],
        "invalid",
    ),
    ("an annotation is a list", boxed([1, 2, 3, 4]), [(FORMAT, "parts")], "invalid"),
    ("size is text", boxed(GOOD, width="640"), [(FORMAT, "parts")], "invalid"),
    ("left is text", boxed(("10", 10, 20, 20)), [(FORMAT, "parts")], "invalid"),
    (
        "left is infinite",
        json.dumps(boxed((10, 10, 20, 20))).replace('"left": 10', '"left": 1e999'),
        [("INVALID_JSON_LINE", "")],
        "invalid",
    ),
    (
        "left is missing",
        boxed({"class_id": 0, "top": 1, "width": 20, "height": 20}),
        [(FORMAT, "parts")],
        "invalid",
    ),
    (
        "class id is text",
        boxed({"class_id": "0", "left": 1, "top": 1, "width": 20, "height": 20}),
        [(FORMAT, "parts")],
        "invalid",
    ),
    ("metadata is text", line(**{"rust-metadata": "x"}), [(METADATA, "rust-metadata")], "invalid"),
    ("no type", line(**{"rust-metadata": metadata(type=None)}), [(METADATA, "rust-metadata")], "invalid"),
    (
        "no class name",
        line(**{"rust-metadata": metadata(**{"class-name": None})}),
        [(METADATA, "rust-metadata")],
        "invalid",
    ),
    (
        "no confidence",
        line(**{"rust-metadata": metadata(confidence=None)}),
        [(METADATA, "rust-metadata")],
        "invalid",
    ),
    (
        "confidence of 99",
        line(**{"rust-metadata": metadata(confidence=99)}),
        [(METADATA, "rust-metadata")],
        "invalid",
    ),
    (
        "no human",
        line(**{"rust-metadata": metadata(**{"human-annotated": None})}),
        [(METADATA, "rust-metadata")],
        "invalid",
    ),
    (
        "human is a list",
        line(**{"rust-metadata": metadata(**{"human-annotated": ["yes"]})}),
        [(METADATA, "rust-metadata")],
        "invalid",
    ),
    (
        "no date",
        line(**{"rust-metadata": metadata(**{"creation-date": None})}),
        [(METADATA, "rust-metadata")],
        "invalid",
    ),
    ("any date", line(**{"rust-metadata": metadata(**{"creation-date": "yesterday"})}), [], "valid"),
    (
        "class map is a list",
        boxed(GOOD, **{"class-map": ["coil"]}),
        [(METADATA, "parts-metadata")],
        "invalid",
    ),
    ("objects are missing", boxed(GOOD, objects=None), [(METADATA, "parts-metadata")], "invalid"),
    (
        "too few objects",
        boxed(GOOD, objects=[]),
        [("MISSING_BOUNDING_BOX_CONFIDENCE", "parts-metadata")],
        "invalid",
    ),
    (
        "object without confidence",
        boxed(GOOD, objects=[{}]),
        [("MISSING_BOUNDING_BOX_CONFIDENCE", "parts-metadata")],
        "invalid",
    ),
    (
        "unknown class",
        boxed(GOOD, **{"class-map": {"1": "coil"}}),
        [("MISSING_CLASS_MAP_ID", "parts-metadata")],
        "invalid",
    ),
    (
        "wrong type",
        boxed(GOOD, type="groundtruth/wrongtype"),
        [("UNSUPPORTED_USE_CASE_TYPE", "parts-metadata"), (NO_ATTRIBUTES, "")],
        "invalid",
    ),
    (
        "one wrong type of two",
        {**boxed(GOOD, type="groundtruth/wrongtype"), **line()},
        [("UNSUPPORTED_USE_CASE_TYPE", "parts-metadata")],
        "valid",
    ),
    ("image of 63 pixels", boxed(GOOD, width=63), [("INVALID_IMAGE_DIMENSION", "parts")], "invalid"),
    ("image of 64 pixels", boxed(GOOD, width=64, height=4096), [], "valid"),
    ("image of 4097 pixels", boxed(GOOD, height=4097), [("INVALID_IMAGE_DIMENSION", "parts")], "invalid"),
    (
        "box off to the right",
        boxed(GOOD, (630, 10, 11, 20)),
        [("INVALID_BOUNDING_BOX", "parts/annotations/1")],
        "valid",
    ),
    (
        "box off to the left",
        boxed(GOOD, (-1, 10, 11, 20)),
        [("INVALID_BOUNDING_BOX", "parts/annotations/1")],
        "valid",
    ),
    ("box to the very edge", boxed((0, 0, 640, 480)), [], "valid"),
    ("fractions", boxed((0.5, 0.25, 600.75, 400.5)), [], "valid"),
    (
        "box of one pixel",
        boxed(GOOD, (1, 1, 1, 20)),
        [("BOUNDING_BOX_TOO_SMALL", "parts/annotations/1")],
        "valid",
    ),
    (
        "2 pixels of 4000",
        boxed(GOOD, (1, 1, 2, 20), width=4000),
        [("BOUNDING_BOX_TOO_SMALL", "parts/annotations/1")],
        "valid",
    ),
    ("4 pixels of 4000", boxed((1, 1, 4, 20), width=4000), [], "valid"),
    (
        "no good box",
        boxed((1, 1, 0, 0)),
        [("BOUNDING_BOX_TOO_SMALL", "parts/annotations/0"), ("NO_VALID_ANNOTATIONS", "parts")],
        "invalid",
    ),
    ("50 boxes", boxed(*[GOOD] * 50), [], "valid"),
    ("51 boxes", boxed(*[GOOD] * 51), [("TOO_MANY_BOUNDING_BOXES", "parts")], "invalid"),
    (
        "empty label",
        line(**{"rust-metadata": metadata(**{"class-name": ""})}),
        [("INVALID_LABEL_NAME_LENGTH", "rust-metadata"), (NO_ATTRIBUTES, "")],
        "invalid",
    ),
    ("label of 256", line(**{"rust-metadata": metadata(**{"class-name": "x" * 256})}), [], "valid"),
    (
        "label of 257",
        line(**{"rust-metadata": metadata(**{"class-name": "x" * 257})}),
        [("INVALID_LABEL_NAME_LENGTH", "rust-metadata"), (NO_ATTRIBUTES, "")],
        "invalid",
    ),
    ("label of HTML", line(**{"rust-metadata": metadata(**{"class-name": "<script>"})}), [], "valid"),
    ("only the image", {"source-ref": "s3://bucket/1.jpg"}, [("WARNING_UNANNOTATED_RECORD", "")], "ignored"),
    (
        "only the image, from a dataset",
        {"source-ref": "s3://bucket/1.jpg", "cl-metadata": {"is_labeled": False}},
        [("WARNING_UNANNOTATED_RECORD", "")],
        "ignored",
    ),
    (
        "no boxes",
        boxed(),
        [("WARNING_NO_ATTRIBUTE_ANNOTATIONS", "parts"), ("WARNING_NO_ANNOTATIONS", "")],
        "ignored",
    ),
    (
        "no boxes, not annotated",
        boxed(**{"human-annotated": "no"}),
        [("WARNING_NO_ATTRIBUTE_ANNOTATIONS", "parts"), ("WARNING_UNANNOTATED_RECORD", "")],
        "ignored",
    ),
    ("no boxes but a label", {**boxed(), **line()}, [("WARNING_NO_ATTRIBUTE_ANNOTATIONS", "parts")], "valid"),
]


def many(count: int, *labels: str, start: int = 0) -> list[str]:
    """Return valid lines that cycle through the labels."""
    return [labelled(f"{start + index}.jpg", labels[index % len(labels)]) for index in range(count)]


TWO = many(20, "rust", "clean")
BOXES = [json.dumps(boxed(GOOD, key=f"b{index}.jpg")) for index in range(20)]

MANIFESTS: list[tuple[str, dict[str, Any]]] = [
    ("ERROR_MANIFEST_INACCESSIBLE_OR_UNSUPPORTED_FORMAT", {"source": b"\x00\x01\x02"}),
    ("ERROR_MANIFEST_INACCESSIBLE_OR_UNSUPPORTED_FORMAT", {"source": "nowhere/train.manifest"}),
    ("ERROR_EMPTY_MANIFEST", {"source": b""}),
    ("ERROR_MANIFEST_ROWS_EXCEEDS_MAXIMUM", {"source": TWO, "max_lines": 19}),
    ("ERROR_TOO_MANY_INVALID_ROWS_IN_MANIFEST", {"source": [*TWO, *["{"] * 6]}),
    ("ERROR_TOO_MANY_RECORDS_IN_ERROR", {"source": [*TWO, *["{"] * 6], "stage": "dataset"}),
    ("ERROR_IMAGES_IN_MULTIPLE_S3_BUCKETS", {"source": [*TWO, labelled("x.jpg", bucket="other")]}),
    (
        "ERROR_IMAGES_IN_MULTIPLE_S3_BUCKETS",
        {"source": [*TWO, labelled("x.jpg", bucket="other")], "stage": "dataset"},
    ),
    ("ERROR_MANIFEST_TOO_FEW_LABELS", {"source": many(20, "rust")}),
    ("ERROR_MANIFEST_TOO_FEW_LABELS", {"source": TWO, "testing": many(20, "rust", start=100)}),
    (
        "ERROR_MANIFEST_TOO_MANY_LABELS",
        {"source": many(251, *[f"label {index}" for index in range(251)])},
    ),
    ("ERROR_MANIFEST_TOO_MANY_LABELS", {"source": many(251, *map(str, range(251))), "stage": "dataset"}),
    (
        "ERROR_INSUFFICIENT_IMAGES_PER_LABEL_FOR_AUTOSPLIT",
        {"source": [*TWO, labelled("x.jpg", "rare")], "auto_split": True},
    ),
    (
        "ERROR_INSUFFICIENT_LABEL_OVERLAP",
        {"source": many(20, *"abcde"), "testing": many(20, *"abxyz", start=100)},
    ),
    (
        "ERROR_MANIFEST_TOO_FEW_USABLE_LABELS",
        {"source": [labelled("x.jpg", "rust"), *BOXES], "testing": many(9, "rust", "clean", start=100)},
    ),
    (
        "ERROR_INSUFFICIENT_USABLE_LABEL_OVERLAP",
        {
            "source": [*many(20, "a", "b", "c"), *BOXES],
            "testing": [
                json.dumps(boxed(GOOD, key="t.jpg", **{"class-map": {"0": "a"}})),
                *many(4, "coil", "b", "c", start=100),
            ],
        },
    ),
    ("FEW_IMAGES", {"source": TWO[:9]}),
    ("MIXED_LABEL_KINDS", {"source": [*TWO, *BOXES]}),
    ("SIMILAR_LABELS", {"source": many(20, "rust", "clean", "Rust ")}),
    ("IMAGE_IN_BOTH_DATASETS", {"source": TWO, "testing": TWO}),
    (
        "TOO_MANY_TEST_IMAGES_FOR_LABEL",
        {"source": TWO, "testing": many(2002, "rust", "clean", start=100)},
    ),
    ("DUPLICATE_SOURCE_REF", {"source": [*TWO, TWO[3]]}),
    (
        "DUPLICATE_JSON_KEY",
        {"source": [*TWO, labelled("x.jpg").replace('"rust":1', '"rust":0,"rust":1')]},
    ),
    ("BYTE_ORDER_MARK", {"source": b"\xef\xbb\xbf" + "\n".join(TWO).encode()}),
    ("BLANK_LABEL", {"source": [*TWO, labelled("x.jpg", " ")]}),
    (
        "LABEL_VALUE_IS_TEXT",
        {"source": [*TWO, labelled("x.jpg").replace('"rust":1', '"rust":"0"')]},
    ),
    ("BLANK_LABEL", {"source": [json.dumps(boxed(GOOD, key="x.jpg", **{"class-map": {"0": "\t"}}))]}),
    ("TOO_MANY_LABELS_FOR_IMAGE", {"source": [labelled("x.jpg", *map(str, range(51)))]}),
]
"""A code, and the arguments of check_manifest that cause it."""
