"""Property: create_datasets accepts what check_manifest accepts, and a training with it succeeds."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from rekolabels import BoundingBox, Client, ImageSize, LabelledImage, RetryPolicy
from rekolabels.errors import CannotSplit, InvalidInput, TrainingFailed
from rekolabels.local import LocalService, Quotas
from rekolabels.manifest import check_manifest, format_line

image_module = pytest.importorskip("PIL.Image")

GOOD = [f"{number}.{kind}" for number in range(7) for kind in ("png", "jpg")]
"""File names of valid images."""
BAD = [
    "cut.png",
    "cut.jpg",
    "small.png",
    "wide.png",
    "long.png",
    "a.webp",
    "text.jpg",
    "empty.png",
    "missing.jpg",
    "noise.webp",
]
COPIES = ["copy/0.png", "copy/other.png", "copy/1.png"]
RUST = BoundingBox("rust", 8, 8, 20, 20)
BOXES = {
    "rust": [RUST],
    "clean": [attrs.evolve(RUST, label="clean")],
    "both": [RUST, attrs.evolve(RUST, label="clean", left=30)],
    "outside": [attrs.evolve(RUST, left=60)],
    "one outside": [RUST, attrs.evolve(RUST, left=60)],
    "thin": [attrs.evolve(RUST, width=1)],
}
LABELS = {"rust": ["rust"], "clean": ["clean"], "Rust ": ["Rust "], "both": ["rust", "clean"], "": [""]}


ANNOTATIONS = {"label": sorted(LABELS), "boxes": sorted(BOXES), "none": [""]}


@attrs.frozen
class Bench:
    """An embedded service, a client of it, a folder of images, and unique names of projects."""

    client: Client
    folder: Path
    names: Iterator[str]

    def uploaded(self) -> set[str]:
        """Return the keys in the client's bucket."""
        return {key for key, _ in self.client._connection.s3.sizes("bench", "")}

    def train(self, images: list[LabelledImage], *, convert: bool) -> str:
        """Create datasets, train, and return the status."""
        project = self.client.create_project(next(self.names))
        try:
            project.create_datasets(images, test=0.3, convert=convert)
            model = project.train("v1")
            return model.wait_until_trained().status
        finally:
            project.delete(cascade=True)


def write(folder: Path) -> None:
    """Draw the images: two colours, each with a stripe at another place."""
    for number, name in enumerate([*GOOD, "cut.png", "cut.jpg", "a.webp", "noise.webp"]):
        image = image_module.new("RGB", (72, 64), ("red", "blue")[number % 2])
        image.paste("white", (number * 2 + 2, 0, number * 2 + 6, 64))
        if name.startswith("cut"):
            image = image_module.effect_noise((72, 64), 90)
        exif = image_module.Exif()
        exif[0x0112] = 6 if number % 5 == 0 else 1
        image.convert("RGB").save(folder / name, exif=exif)
    for name in ("cut.png", "cut.jpg"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])
    for name, size in (("small.png", (63, 64)), ("wide.png", (4200, 300)), ("long.png", (64, 1400))):
        image_module.new("RGB", size).save(folder / name)
    (folder / "noise.webp").write_bytes(b"RIFF\x24\0\0\0WEBPVP8 noise")
    (folder / "text.jpg").write_text("just text")
    (folder / "empty.png").touch()
    for copy, of in (("copy/0.png", "0.png"), ("copy/other.png", "0.png"), ("copy/1.png", "1.png")):
        (folder / copy).parent.mkdir(exist_ok=True)
        (folder / copy).write_bytes((folder / of).read_bytes())


@pytest.fixture(name="bench", scope="module")
def bench_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Start one service for all examples, with a small model."""
    folder = tmp_path_factory.mktemp("images")
    write(folder)
    with LocalService(engine="tiny", quotas=Quotas.off()) as service:
        client = service.client(bucket="bench", retry=RetryPolicy(first_poll=0.005, max_poll=0.02))
        yield Bench(client, folder, map("p{}".format, itertools.count()))


@st.composite
def collections(draw: st.DrawFn) -> list[tuple[str, str, str]]:
    """Generate collections of images: file name, kind of annotation, annotation."""
    kind = draw(st.sampled_from(["label", "label", "boxes", "boxes"]))
    names = draw(st.lists(st.sampled_from(GOOD), min_size=2, max_size=10, unique=True))
    found = [(name, kind, ("rust", "clean")[index % 2]) for index, name in enumerate(names)]
    for name in draw(st.lists(st.sampled_from([*GOOD, *COPIES, *BAD]), max_size=3)):
        other = draw(st.sampled_from([kind, kind, kind, "label", "boxes", "none"]))
        found.append((name, other, draw(st.sampled_from(ANNOTATIONS[other]))))
    return draw(st.permutations(found))


def images_of(bench: Bench, found: list[tuple[str, str, str]]) -> list[LabelledImage]:
    """Return labelled images."""
    images: list[LabelledImage] = []
    for name, kind, key in found:
        source = str(bench.folder / name)
        if kind == "label":
            images.append(LabelledImage(source, LABELS[key]))
        else:
            images.append(LabelledImage(source, boxes=BOXES[key] if kind == "boxes" else ()))
    return images


PLAIN = [(name, "label", ("rust", "clean")[index % 2]) for index, name in enumerate(GOOD[:8])]
BOXED = [(name, "boxes", ("rust", "clean")[index % 2]) for index, name in enumerate(GOOD[:10])]


@settings(max_examples=20)
@given(collections())
@example(PLAIN)
@example(BOXED)
@example([*PLAIN, ("cut.jpg", "label", "rust")])
@example([*PLAIN, ("a.webp", "label", "rust")])
@example([*PLAIN, ("copy/0.png", "label", "rust")])
@example([*PLAIN, ("copy/other.png", "label", "clean")])
@example([*PLAIN, ("0.png", "label", "rust")])
@example([*PLAIN, ("6.jpg", "boxes", "rust")])
@example([*PLAIN, ("6.png", "label", "Rust ")])
@example([("0.png", "label", "rust"), ("copy/other.png", "label", "rust"), *PLAIN[1::2]])
@example([*BOXED[:8], ("4.png", "boxes", "outside"), ("4.jpg", "boxes", "thin")])
@example([*BOXED[:6], ("4.png", "boxes", "outside"), ("4.jpg", "boxes", "thin"), ("5.png", "none", "")])
def test_they_agree(bench: Bench, found: list[tuple[str, str, str]]) -> None:
    """Datasets are created if and only if the report is ok, and then the training succeeds."""
    images = images_of(bench, found)
    report = check_manifest(images, open_images=True)
    before = bench.uploaded()
    try:
        status = bench.train(images, convert=False)
    except CannotSplit as error:
        assume("found no division" not in str(error))  # labels that share their rare images
        status = str(error)
    except InvalidInput as error:
        status = str(error)
    assert report.ok == (status == "TRAINING_COMPLETED"), f"{report}\n{status}"
    if not report.ok:
        assert bench.uploaded() == before


@settings(max_examples=8)
@given(collections())
@example([*PLAIN, ("a.webp", "label", "rust"), ("wide.png", "label", "rust")])
@example([*BOXED, ("wide.png", "boxes", "both")])
def test_converted_images_train(bench: Bench, found: list[tuple[str, str, str]]) -> None:
    """With convert=True, only what cannot be converted is refused, and the training succeeds."""
    images = images_of(bench, found)
    convertible = {"a.webp", "wide.png"}
    others = [image for image in images if Path(image.source).name not in convertible]
    unchanged = len(others) == len(images)
    try:
        status = bench.train(images, convert=True)
    except InvalidInput as error:
        status = str(error)
        assert "a.webp:" not in status
        assert "wide.png:" not in status
    if unchanged:
        report = check_manifest(images, open_images=True)
        assume("found no division" not in status)
        assert report.ok == (status == "TRAINING_COMPLETED"), f"{report}\n{status}"


@settings(max_examples=12)
@given(collections())
@example([*BOXED[:6], ("cut.png", "label", "rust"), ("cut.jpg", "label", "rust")])
def test_the_service_agrees(bench: Bench, found: list[tuple[str, str, str]]) -> None:
    """Images that create_datasets refuses, uploaded by hand: the check of their manifest is right."""
    images = images_of(bench, found)
    s3 = bench.client.session.client("s3")
    name = next(bench.names)
    remote: list[LabelledImage] = []
    contents: dict[str, bytes] = {}
    for number, image in enumerate(images):
        path = Path(image.source)
        key = f"{name}/{number}/{path.name}"
        uri = f"s3://bench/{key}"
        if path.exists():
            contents[uri] = path.read_bytes()
            s3.put_object(Bucket="bench", Key=key, Body=contents[uri])
        remote.append(attrs.evolve(image, source=uri))
    lines: list[str] = []
    for image in remote:
        with_size = attrs.evolve(image, size=_size(contents.get(image.source, b"")))
        if with_size.size is not None or not with_size.boxes:
            lines.append(format_line(with_size))
    if not lines:
        return
    body = "\n".join(lines).encode()
    s3.put_object(Bucket="bench", Key=f"{name}.manifest", Body=body)

    def open_image(uri: str) -> bytes:
        return contents[uri]

    report = check_manifest(body, testing=body, open_images=True, open_image=open_image)
    project = bench.client.create_project(name)
    manifest = f"s3://bench/{name}.manifest"
    model = project.train("v1", training_manifest=manifest, testing_manifest=manifest)
    try:
        status = model.wait_until_trained().status
    except TrainingFailed as error:
        status = str(error)
    project.delete(cascade=True)
    assert report.ok == (status == "TRAINING_COMPLETED"), f"{report}\n{status}"


def _size(content: bytes) -> ImageSize | None:
    try:
        with image_module.open(io.BytesIO(content)) as image:
            return ImageSize(*image.size)
    except OSError:
        return None
