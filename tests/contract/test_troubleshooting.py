"""Each message in ``docs/troubleshooting.md`` is provoked, and compared with the page."""

from __future__ import annotations

import io
import re
import socket
import sys
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from sdk_backends import QUICK, write_folder

from rekolabels import BoundingBox, Client, LabelledImage, RekolabelsError, RetryPolicy
from rekolabels.evaluation import ThresholdPolicy
from rekolabels.formats import read_folder
from rekolabels.inference import video_frames
from rekolabels.local import Durations, Fault, FaultPlan, LocalService, Quotas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rekolabels import ModelVersion, Project

PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
ENTRY = re.compile(r"^### (.+)\n\n((?:^> .*\n)+)", re.MULTILINE)
ENTRIES = {
    title: text.replace("\n> ", " ").removeprefix("> ") for title, text in ENTRY.findall(PAGE.read_text())
}

PROVOKED: dict[str, Callable[[], object]] = {}
"""What provokes each error, by the title of its entry. It runs in a folder with images in ``puppies``."""


def provokes(title: str) -> Callable[[Callable[[], object]], Callable[[], object]]:
    """Register what provokes an error."""

    def register(function: Callable[[], object]) -> Callable[[], object]:
        PROVOKED[title] = function
        return function

    return register


@pytest.fixture(autouse=True)
def _machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test a folder with images."""
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "puppies")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    yield
    for service in SERVICES:
        service.close()
    SERVICES.clear()


SERVICES: list[LocalService] = []
"""The services that a test has opened."""


def local(**options: object) -> LocalService:
    """Open an embedded service that is closed after the test."""
    service = LocalService("workspace", engine="tiny", **options)  # type: ignore[arg-type]
    SERVICES.append(service)
    return service


def project(**options: object) -> Project:
    """Return an empty project of an embedded service."""
    return local(**options).client(bucket="puppies", retry=QUICK).create_project("PuppyChallenge")


def trained(**options: object) -> ModelVersion:
    """Return a trained model."""
    made = project(**options)
    made.create_datasets(read_folder("puppies"))
    model = made.train("v1")
    model.wait_until_trained()
    return model


@provokes("An extra is not installed")
def _() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "av", None)
        return list(video_frames("clip.mp4", rate=1))


@provokes("No AWS Region is set")
def _() -> object:
    return Client()


@provokes("The Region has no Custom Labels")
def _() -> object:
    return Client(region_name="eu-west-3")


@provokes("No AWS credentials")
def _() -> object:
    return list(Client(region_name="us-east-1").projects())


@provokes("The credentials have expired")
def _() -> object:
    plan = FaultPlan([Fault.error("ExpiredTokenException", "DescribeProjects")])
    return list(local(faults=plan).client().projects())


@provokes("Access denied")
def _() -> object:
    plan = FaultPlan([Fault.error("AccessDeniedException", "CreateProject")])
    return local(faults=plan).client().create_project("PuppyChallenge")


@provokes("The service does not answer")
def _() -> object:
    with socket.socket() as unused, pytest.MonkeyPatch.context() as patch:
        unused.bind(("127.0.0.1", 0))
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
        session = boto3.Session("key", "secret", region_name="us-east-1")
        return list(Client(session, retry=RetryPolicy(attempts=1)).projects())


@provokes("The bucket is in another Region")
def _() -> object:
    service = local()
    service.client(bucket="puppies")
    return Client(service.session(), bucket="puppies", region_name="eu-west-1").ensure_bucket()


@provokes("A path instead of images")
def _() -> object:
    return project().create_datasets("puppies/")  # type: ignore[arg-type]


@provokes("Some images cannot be used")
def _() -> object:
    Path("notes.jpg").write_text("not an image")
    return project().create_datasets([*read_folder("puppies"), LabelledImage("notes.jpg", ["amber"])])


@provokes("Labels and boxes are mixed")
def _() -> object:
    first, *others = read_folder("puppies")
    boxed = LabelledImage(first.source, boxes=[BoundingBox("amber", 1, 1, 20, 20)])
    return project().create_datasets([boxed, *others])


@provokes("A picture has two labels")
def _() -> object:
    images = list(read_folder("puppies"))
    Path("copy.png").write_bytes(Path(images[0].source).read_bytes())
    return project().create_datasets([*images, LabelledImage("copy.png", ["blue"])])


@provokes("Only one label")
def _() -> object:
    return project().create_datasets(image for image in read_folder("puppies") if image.labels == ("amber",))


@provokes("A label has a single image")
def _() -> object:
    images = list(read_folder("puppies"))
    return project().create_datasets([*images[1:], LabelledImage(images[0].source, ["green"])])


@provokes("The project exists")
def _() -> object:
    client = local().client(bucket="puppies")
    client.create_project("PuppyChallenge")
    return client.create_project("PuppyChallenge")


@provokes("The datasets exist")
def _() -> object:
    images = list(read_folder("puppies"))
    made = project()
    made.create_datasets(images)
    return made.create_datasets(images[1:])


@provokes("The project has no datasets")
def _() -> object:
    return project().train("v1")


@provokes("The version exists")
def _() -> object:
    model = trained()
    (made,) = local().client(bucket="puppies").projects()
    return made.train(model.version_name)


@provokes("The training failed")
def _() -> object:
    made = project()
    names = [f"s3://puppies/{label}/{number}.jpg" for label in ("beagle", "corgi") for number in range(5)]
    made.create_datasets(LabelledImage(name, [name.split("/")[3]]) for name in names)  # none of them exists
    return made.train("v1").wait_until_trained()


@provokes("A wait has timed out")
def _() -> object:
    made = project(durations=Durations(training=3600))
    made.create_datasets(read_folder("puppies"))
    return made.train("v1").wait_until_trained(timeout=0)


@provokes("A quota is reached")
def _() -> None:
    trained(quotas=Quotas(running_models=0)).start()


@provokes("The model is not running")
def _() -> object:
    return trained().detect("puppies/amber/00.png")


@provokes("A model cannot be started")
def _() -> None:
    made = project(durations=Durations(training=3600))
    made.create_datasets(read_folder("puppies"))
    made.train("v1").start()


@provokes("A limit of a running block was reached")
def _() -> object:
    model = trained()
    with model.running(max_duration=0.1) as running:
        while model.status != "STOPPED":
            pass
        return running.detect("puppies/amber/00.png")


@provokes("An image is a URL")
def _() -> object:
    model = trained()
    with model.running() as running:
        return running.detect("https://example.com/dog.jpg")


@provokes("An image is too large")
def _() -> object:
    from PIL import Image

    out = io.BytesIO()
    Image.effect_noise((2200, 2200), 99).save(out, "PNG")
    model = trained()
    client = local().client()
    with client.model(model.arn).running() as running:
        return running.detect(out.getvalue())


@provokes("A threshold policy of another model")
def _() -> object:
    model = trained()
    (made,) = local().client(bucket="puppies").projects()
    other = made.train("v2")
    other.wait_until_trained()
    policy = ThresholdPolicy.best_f1(model.evaluation())
    with other.running() as running:
        return running.detect("puppies/amber/00.png", policy=policy)


@provokes("The embedded service is closed")
def _() -> object:
    service = local()
    service.close()
    return service.client()


@provokes("The port is in use")
def _() -> object:
    service = local()
    with service.serve() as first:
        return service.serve(first.port)


@provokes("The workspace cannot be used")
def _() -> object:
    Path("workspace").write_text("a file")
    return local()


@provokes("The service would be open to other machines")
def _() -> object:
    return local().serve(4900, host="0.0.0.0")  # noqa: S104 -- it is refused


def test_every_entry_is_provoked() -> None:
    """The page and this file have the same entries."""
    assert sorted(ENTRIES) == sorted(PROVOKED)


@pytest.mark.parametrize("title", PROVOKED)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_error_has_the_message_of_the_page(title: str) -> None:
    """The page shows the class and the message; ``...`` stands for what differs between machines."""
    with pytest.raises(RekolabelsError) as caught:
        PROVOKED[title]()
    got = f"{type(caught.value).__name__}: {caught.value}"
    assert OutputChecker().check_output(ENTRIES[title], got, ELLIPSIS | NORMALIZE_WHITESPACE), got
