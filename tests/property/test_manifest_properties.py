"""Manifest properties: round trips, robustness, and agreement of the fast path with the slow path."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import attrs
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rekolabels.errors import RekolabelsError
from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.manifest import CheckedManifest, check_manifest, format_line, parse_line, read_manifest
from rekolabels.manifest._line_rules import check_line
from rekolabels.manifest._scan import Scan
from rekolabels.manifest._serialize import dataset_entry, validation_line

NAMES = st.text(max_size=8) | st.sampled_from(
    ["rust", "rust-metadata", "source-ref", "cl", "errors", "bounding-box", "<b>", "ü", "\ud800"]
)
NUMBERS = st.integers(-5, 5000) | st.floats(-5, 5000)
BOXES = st.builds(BoundingBox, NAMES, NUMBERS, NUMBERS, NUMBERS, NUMBERS)
SIZES = st.builds(ImageSize, st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 4))
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
ATTRIBUTES = st.dictionaries(NAMES.filter(lambda name: name != "source-ref"), JSON, max_size=3)
IMAGES = st.builds(
    LabelledImage,
    source=st.text(min_size=1, max_size=20),
    labels=st.lists(NAMES, max_size=4),
    boxes=st.lists(BOXES, max_size=4),
    size=SIZES,
)


@given(IMAGES)
def test_round_trip(image: LabelledImage) -> None:
    """Source, labels, boxes, and the size of an image with boxes survive writing and reading."""
    line = format_line(image)
    read = parse_line(line)

    assert (read.source, read.labels, read.boxes) == (image.source, image.labels, image.boxes)
    assert read.size == (image.size if image.boxes else None)
    assert format_line(read) == line


@given(IMAGES, IMAGES, ATTRIBUTES)
def test_round_trip_of_a_changed_image(old: LabelledImage, new: LabelledImage, extra: dict[str, Any]) -> None:
    """The fields take precedence over the line; unknown attributes are kept."""
    line = json.loads(format_line(old))
    unknown = {f"x-{name}": value for name, value in extra.items() if f"x-{name}" not in line}
    unknown = {name: value for name, value in unknown.items() if not name.endswith("-metadata")}
    before = parse_line(json.dumps({**line, **unknown}))
    changed = attrs.evolve(before, source=new.source, labels=new.labels, boxes=new.boxes, size=new.size)
    after = parse_line(format_line(changed))

    assert (after.source, after.labels, after.boxes) == (new.source, new.labels, new.boxes)
    assert after.size == (new.size if old.boxes or new.boxes else None)
    assert {name: after.attributes[name] for name in unknown} == unknown


@given(IMAGES, st.data())
def test_kept_labels_keep_their_metadata(image: LabelledImage, data: st.DataObject) -> None:
    """Removing labels and boxes does not change what the line says about the others."""
    before = json.loads(format_line(image, created="2001-01-01T00:00:00", job_name="before"))
    labels = data.draw(st.lists(st.sampled_from(image.labels), unique=True)) if image.labels else []
    boxes = image.boxes[: data.draw(st.integers(0, len(image.boxes)))]
    kept = attrs.evolve(parse_line(json.dumps(before)), labels=labels, boxes=boxes)
    after = json.loads(format_line(kept, created="2002-02-02T00:00:00"))

    old = [value for value in before.values() if isinstance(value, dict) and "class-name" in value]
    new = [value for value in after.values() if isinstance(value, dict) and "class-name" in value]
    assert all(value in old for value in new)
    assert [value["class-name"] for value in new] == labels
    dates = {
        value["creation-date"] for value in after.values() if isinstance(value, dict) and "type" in value
    }
    assert dates <= {"2001-01-01T00:00:00"}


@given(
    st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
@example(b"\xef\xbb\xbf")
@example(b'{"source-ref":"s3://b/\\ud800"}')
@example(b"\n\n\n")
def test_any_bytes_are_read_or_rejected(content: bytes) -> None:
    """The check never raises; the reader raises only RekolabelsError."""
    report = check_manifest(content)

    assert report.counts.total == report.counts.valid + report.counts.invalid + report.counts.ignored
    assert str(report)
    assert json.loads(report.to_json())["ok"] is report.ok
    with contextlib.suppress(RekolabelsError):
        list(read_manifest(content))


@st.composite
def mutants(draw: st.DrawFn) -> str:
    """Generate a valid line with some text removed or replaced: mostly JSON, mostly wrong."""
    image = draw(IMAGES)
    text = format_line(image)
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 20)))
        patch = draw(
            st.sampled_from(['"', "{", "}", "[", "]", ",", ":", "\\", "0", "-1", "1e400", "null", "true", ""])
            | JSON.map(json.dumps)
        )
        text = text[:start] + patch + text[end:]
    return text


@given(mutants() | JSON.map(json.dumps))
def test_any_line_is_checked(text: str) -> None:
    """Every line has a state; annotated lines are JSON; a valid line can be written."""
    check = check_line(text)

    assert (check.image is not None) == (check.state == "valid")
    assert (check.state == "invalid") <= check.has_errors
    json.loads(validation_line(check))
    entry = dataset_entry(check)
    assert (entry is None) == check.dropped
    if entry is not None:
        entry_members = json.loads(entry)
        assert check_line(entry).findings == tuple(
            f for f in check.findings if f.code != "DUPLICATE_JSON_KEY"
        )
        assert entry_members["source-ref"] == check.source
    if check.image is not None:
        assert parse_line(format_line(check.image)).labels == check.image.labels
    with contextlib.suppress(RekolabelsError):
        assert format_line(parse_line(text))


KEYS = st.sampled_from(["1.jpg", "2.jpg", "3.jpg", "a b.jpg", "ü.jpg", "\\u0041.jpg", " ", "", "x" * 300])
LABELS = st.sampled_from(["rust", "clean", "wet", "rust-metadata", " ", "", "x" * 257, '},"', "ü", "2020"])
DATES = st.sampled_from(["2024-03-01T09:30:00", "2013-11-18 02:53:27", "", 'x","y":"'])
PIXELS = st.integers(0, 700) | st.sampled_from([64, 1280, 4096, 4097, 9999, 10000])
PLACES = PIXELS | st.floats(0, 700).map(lambda pixels: round(pixels, 2)) | st.floats(0, 1e6)
SMALL_BOXES = st.builds(BoundingBox, LABELS, PLACES, PLACES, PLACES, PLACES)
USUAL = st.builds(
    LabelledImage,
    source=KEYS.map(lambda key: f"s3://bucket/{key}"),
    labels=st.lists(LABELS, max_size=3, unique=True),
) | st.builds(
    LabelledImage,
    source=KEYS.map(lambda key: f"s3://bucket/{key}"),
    boxes=st.lists(SMALL_BOXES, min_size=1, max_size=3),
    size=st.builds(ImageSize, PIXELS.filter(bool), PIXELS.filter(bool)),
)
PATCHES = st.sampled_from(
    [
        '"', '{"', '"}', "}", '},"', ",", "\\", "0", "007", "1.0", ".", "-1", "null",
        '"creation-date":"2020"', '"class-map":{"0":"rust"}', '"annotations":[', '"confidence":0.5',
        '"confidence":2', '"class-map":{}',
        '"class\\u002dmap":{"0":"no"},', '"cl-metadata":{"is_labeled":true}',
        '"rust":1,', '"x":{"y":[1]},', " ", "",
    ]
)  # fmt: skip


@st.composite
def manifests(draw: st.DrawFn) -> list[str]:
    """Generate lines of one form, as programs write them, some of them with random edits."""
    lines: list[str] = []
    for image in draw(st.lists(USUAL, min_size=1, max_size=6)):
        text = format_line(image, created=draw(DATES))
        for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
            start = draw(st.integers(0, len(text)))
            text = text[:start] + draw(PATCHES) + text[start + draw(st.integers(0, 3)) :]
        lines.append(text)
    return lines


def scan_results(manifest: list[str], *, slow: bool) -> Any:
    """Return everything that a scan of a manifest reports, with or without the fast path."""
    scan = Scan(manifest, "training", max_lines=1000, allow_empty=True)
    images = [check.image for check in scan.checks() if check.image] if slow else list(scan.images())
    return images, [dict(image.attributes) for image in images], scan.issues(), attrs.asdict(scan.counts())


TWO_LABELS = [
    format_line(LabelledImage(f"s3://bucket/{names[0]}.jpg", names)) for names in (("a", "b"), ("b", "a"))
]


@settings(max_examples=600)
@given(manifests())
@example([TWO_LABELS[0], TWO_LABELS[1].replace("},", "}")])
@example([TWO_LABELS[0], TWO_LABELS[1].replace("},", "},,")])
@example([TWO_LABELS[0], TWO_LABELS[1].replace('jpg",', 'jpg"')])
@example([TWO_LABELS[0], TWO_LABELS[1].replace("}}", "}}}")])
def test_the_fast_path_agrees_with_the_slow_path(manifest: list[str]) -> None:
    """Images, attributes, issues and counts are the same, also for a line after a similar one."""
    assert scan_results(manifest, slow=False) == scan_results(manifest, slow=True)
    for text in manifest:
        both = [text.replace("s3://bucket/", "s3://bucket/other-"), text]
        assert scan_results(both, slow=False) == scan_results(both, slow=True)


@given(manifests())
def test_reader_and_check_agree(manifest: list[str]) -> None:
    """For a manifest without errors, the reader yields the same images as the check."""
    checked = CheckedManifest(manifest)
    images = list(checked.images())
    if not checked.report().counts.error_lines and not checked.report().counts.ignored:
        assert images == list(read_manifest(manifest))
