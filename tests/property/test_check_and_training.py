"""Property: a training with two manifests ends as check_manifest predicts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.local import LocalService, Quotas
from rekolabels.manifest import ManifestReport, check_manifest, format_line

image_module = pytest.importorskip("PIL.Image")

IMAGES, SIDE = 12, 64
SIZE = ImageSize(SIDE, SIDE)
GOOD_BOX, WIDE_BOX, THIN_BOX = (
    BoundingBox("rust", 8, 8, 20, 20),
    BoundingBox("rust", 50, 8, 20, 20),
    BoundingBox("clean", 8, 8, 1, 20),
)


@attrs.frozen
class Bench:
    """An embedded service with a bucket of images, and unique names for trainings."""

    service: LocalService
    rekognition: Any
    s3: Any
    project: str
    names: Iterator[str]

    def open_image(self, source: str) -> bytes:
        """Read an image from S3."""
        bucket, _, key = source[5:].partition("/")
        content: bytes = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return content

    def put(self, key: str, content: bytes) -> dict[str, Any]:
        """Write a manifest to S3, and return it as requests pass it."""
        self.s3.put_object(Bucket="bench", Key=key, Body=content)
        return {"Assets": [{"GroundTruthManifest": {"S3Object": {"Bucket": "bench", "Name": key}}}]}

    def result(self, place: dict[str, Any]) -> bytes:
        """Read a result file."""
        where = place["S3Object"]
        content: bytes = self.s3.get_object(Bucket=where["Bucket"], Key=where["Name"])["Body"].read()
        return content

    def train(self, training: bytes, testing: bytes) -> dict[str, Any]:
        """Run a training, and return the description of its version."""
        name = next(self.names)
        arn = self.rekognition.create_project_version(
            ProjectArn=self.project,
            VersionName=name,
            OutputConfig={"S3Bucket": "bench", "S3KeyPrefix": "out/"},
            TrainingData=self.put(f"{name}/train.manifest", training),
            TestingData=self.put(f"{name}/test.manifest", testing),
        )["ProjectVersionArn"]
        self.service._jobs.wait()
        described = self.rekognition.describe_project_versions(
            ProjectArn=self.project, VersionNames=[arn.split("/")[3]]
        )
        [version] = described["ProjectVersionDescriptions"]
        return dict(version)


def picture(colour: tuple[int, int, int], *, side: int = SIDE) -> bytes:
    """Return a small PNG."""
    file = BytesIO()
    image_module.new("RGB", (side, side), colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(name="bench", scope="module")
def bench_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Start one service for all examples, so that it reads the images once."""
    with LocalService(tmp_path_factory.mktemp("bench"), quotas=Quotas.off()) as service:
        session = service.session()
        rekognition, s3 = session.client("rekognition"), session.client("s3")
        for bucket in ("bench", "other"):
            s3.create_bucket(Bucket=bucket)
        colours = [(200, 40, 40), (40, 40, 200)]
        for number in range(IMAGES):
            s3.put_object(Bucket="bench", Key=f"{number}.png", Body=picture(colours[number % 2]))
        s3.put_object(Bucket="other", Key="1.png", Body=picture(colours[0]))
        s3.put_object(Bucket="bench", Key="small.png", Body=picture(colours[0], side=63))
        s3.put_object(Bucket="bench", Key="text.png", Body=b"no image")
        s3.put_object(Bucket="bench", Key="cut.png", Body=picture(colours[0])[:-40])
        project = rekognition.create_project(ProjectName="bench")["ProjectArn"]
        yield Bench(service, rekognition, s3, project, map("v{}".format, range(10_000)))


def labelled(key: str, *labels: str) -> str:
    """Return a line with image-level labels."""
    return format_line(LabelledImage(f"s3://bench/{key}", labels))


def boxed(key: str, *boxes: BoundingBox, size: ImageSize = SIZE) -> str:
    """Return a line with boxes."""
    return format_line(LabelledImage(f"s3://bench/{key}", boxes=boxes, size=size))


BAD: dict[str, Callable[[str], str | bytes]] = {
    "blank": lambda _: "",
    "not JSON": lambda key: labelled(key, "rust")[:-1],
    "not UTF-8": lambda _: b'{"source-ref":"\xff"}',
    "no source": lambda _: '{"rust":1}',
    "another address": lambda key: labelled(key, "rust").replace("s3://", "https://"),
    "another bucket": lambda _: labelled("1.png", "rust").replace("//bench", "//other"),
    "only the image": labelled,
    "no metadata": lambda key: f'{{"source-ref":"s3://bench/{key}","rust":1}}',
    "wrong metadata": lambda key: labelled(key, "rust").replace('"confidence":1', '"confidence":2'),
    "unknown kind": lambda key: labelled(key, "rust").replace("/image-", "/text-"),
    "empty label": lambda key: labelled(key, ""),
    "third label": lambda key: labelled(key, "wet", "rust"),
    "no boxes": lambda key: boxed(key, GOOD_BOX).replace('"annotations":[{', '"annotations":[],"x":[{'),
    "one box outside": lambda key: boxed(key, GOOD_BOX, WIDE_BOX),
    "only a thin box": lambda key: boxed(key, THIN_BOX),
    "51 boxes": lambda key: boxed(key, *[GOOD_BOX] * 51),
    "unknown class": lambda key: boxed(key, GOOD_BOX).replace('"class_id":0', '"class_id":1'),
    "small by its line": lambda key: boxed(key, GOOD_BOX, size=ImageSize(63, 64)),
    "not there": lambda key: labelled(f"none-{key}", "rust"),
    "too small": lambda _: labelled("small.png", "rust"),
    "not an image": lambda _: labelled("text.png", "clean"),
    "twice": lambda _: labelled("0.png", "rust"),
}


@st.composite
def manifests(draw: st.DrawFn, kind: str) -> bytes:
    """Generate manifests with valid and bad lines, different line ends, and maybe a byte order mark."""
    good = draw(st.sampled_from([6, 6, 6, 8, 2, 0]))
    bad = draw(st.lists(st.sampled_from(sorted(BAD)), max_size=3))
    first = draw(st.integers(0, IMAGES - 1))
    keys = [f"{(first + number) % IMAGES}.png" for number in range(good + len(bad))]
    lines: list[str | bytes] = []
    for number, key in enumerate(keys[:good]):
        label = "rust" if number % 2 else "clean"
        if kind == "boxes" or (kind == "both" and number % 3 == 0):
            lines.append(boxed(key, attrs.evolve(GOOD_BOX, label=label)))
        else:
            lines.append(labelled(key, label))
    for name, key in zip(bad, keys[good:], strict=True):
        lines.insert(draw(st.integers(0, len(lines))), BAD[name](key))
    end = draw(st.sampled_from([b"\n", b"\n", b"\r\n"]))
    content = end.join(line if isinstance(line, bytes) else line.encode() for line in lines)
    if draw(st.booleans()) and lines:
        content += end
    return draw(st.sampled_from([b"", b"", b"", b"\xef\xbb\xbf"])) + content


KINDS = st.sampled_from(["labels", "labels", "boxes", "both"])
PAIRS = st.tuples(KINDS, KINDS).flatmap(lambda kinds: st.tuples(*map(manifests, kinds)))
WHOLE = "\n".join(labelled(f"{number}.png", "rust" if number % 2 else "clean") for number in range(6))
GONE = "\n".join(labelled(f"gone-{number}.png", "rust" if number % 2 else "clean") for number in range(10))
CUT = f"{WHOLE}\n{labelled('cut.png', 'rust')}"


def check(bench: Bench, training: bytes, testing: bytes) -> ManifestReport:
    """Check the manifests as a user does before a training."""
    return check_manifest(training, testing=testing, open_images=True, open_image=bench.open_image)


@settings(max_examples=20)
@given(PAIRS)
@example((WHOLE.encode(), WHOLE.encode()))
@example((WHOLE.encode(), b""))
@example((WHOLE.encode(), b"\n"))
@example((WHOLE.encode(), WHOLE.encode("utf-16")))
@example((b"\x89PNG\r\n\x1a\n\x00\x00", WHOLE.encode()))
@example((b"\xef\xbb\xbf", WHOLE.encode()))
@example((WHOLE.encode(), GONE.encode()))
@example((GONE.encode(), GONE.encode()))
@example((CUT.encode(), CUT.encode()))
def test_a_training_ends_as_the_check_predicts(bench: Bench, pair: tuple[bytes, bytes]) -> None:
    """Status message, manifest summary and validation manifests are the same."""
    training, testing = pair
    report = check(bench, training, testing)
    version = bench.train(training, testing)

    assert ("TRAINING_COMPLETED" if report.ok else "TRAINING_FAILED") == version["Status"], report
    fatal = [issue for issue in report if issue.level == "FILE"]
    if fatal:
        assert version["StatusMessage"] in {issue.message for issue in fatal}
        assert "ManifestSummary" not in version
        return
    if not report.ok:
        assert version["StatusMessage"] in report.headline()
    assert report.summary() == json.loads(bench.result(version["ManifestSummary"]))
    for side, member in (("training", "TrainingDataResult"), ("testing", "TestingDataResult")):
        [asset] = version[member]["Validation"]["Assets"]
        annotated = bench.result(asset["GroundTruthManifest"]).decode().splitlines()
        expected = report.validation_lines("training" if side == "training" else "testing")
        assert list(expected) == annotated, side
