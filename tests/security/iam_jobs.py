"""Jobs for which users make a role, as code, with the permissions that they need.

The jobs run in this order on one local service, each with the results of the earlier ones. All requests to
S3, including those of the service, go through one client of a second service. So the requests that the
service makes with the caller's permissions are recorded as well.
"""

from __future__ import annotations

import json
import time
import zlib
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from iam_policies import Permission, Wire, documented, general, policy_of
from sdk_backends import png, write_folder

from rekolabels import Client, RetryPolicy
from rekolabels.formats import read_folder
from rekolabels.images import LabelledImage
from rekolabels.local import LocalService

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["EVERY_PROJECT", "JOBS", "Stage", "here", "policies", "runs"]

BUCKET = "feathers"
_LOOK_UPS = {"promote": frozenset({"HeadBucket"}), "run": frozenset({"HeadBucket"})}
"""Jobs that only look up the Region of a bucket, which S3 reports without a permission."""
REGION = "us-east-1"
ACCOUNT = "000000000000"
_QUICK = RetryPolicy(first_poll=0.01, max_poll=0.05)
_LONG_AGO = RetryPolicy(first_poll=0.01, max_poll=0.05, time=lambda: time.time() - 7200)


@attrs.frozen
class Stage:
    """Resources of the jobs."""

    client: Client
    """A client whose requests are recorded."""
    pictures: Path
    """Label folders; beside them is ``large.png``, which has more than 4 MB."""


def prepare(stage: Stage) -> None:
    """Prepare data: a bucket, a project, its datasets, and changes to them."""
    client = stage.client
    client.ensure_bucket()
    project = client.create_project("birds", exist_ok=True)
    project.create_datasets(read_folder(stage.pictures), test=0.4)
    project.create_datasets(read_folder(stage.pictures), test=0.4)  # again: finds the existing datasets
    wrong = LabelledImage("s3://feathers/images/wrong.png", labels=["x" * 300])
    for dataset in project.datasets():
        dataset.update([LabelledImage(stage.pictures / "blue" / "00.png", labels=["blue"]), wrong])


def train(stage: Stage) -> None:
    """Train: start a training on the datasets of the project, and wait for it."""
    model = stage.client.project("birds").train("v1")
    model.wait_until_trained()


def evaluate(stage: Stage) -> None:
    """Evaluate: the metrics, the results of the test images, and the service's errors in the data."""
    model = stage.client.project("birds").model("v1")
    model.evaluation().save(stage.pictures.parent / "evaluation.json")
    model.validation()
    list(model.training_images())


def run(stage: Stage) -> None:
    """Run a model: start it, detect in local images of any size and in images in S3, and stop it."""
    model = stage.client.project("birds").model("v1")
    with model.running(min_inference_units=1) as running:
        running.detect(stage.pictures / "blue" / "00.png")
        running.detect(next(iter(model.training_images())).source)
        list(running.detect_many([stage.pictures.parent / "large.png"]))


def detect(stage: Stage) -> None:
    """Detect: an application that uses a running model on local images of at most 4 MB."""
    stage.client.project("birds").model("v1").detect(stage.pictures / "blue" / "00.png")


def sweep(stage: Stage) -> None:
    """Sweep: find the models that are billed, and stop those that killed processes left running."""
    list(stage.client.running_models())
    stage.client.sweep()


def promote(stage: Stage) -> None:
    """Promote: copy a model version to another project of the account."""
    stage.client.project("birds").model("v1").copy_to(stage.client.project("production"))


def share(stage: Stage) -> None:
    """Share: let another account copy a model version, and revoke that again, as `copy_to` does."""
    project = stage.client.project("birds")
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::210987654321:root"},
        "Action": "rekognition:CopyProjectVersion",
        "Resource": project.model("v1").arn,
    }
    project.put_policy("copies", json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    project.delete_policy("copies")


def read(stage: Stage) -> None:
    """Read only: projects, datasets, model versions, their metrics and tags."""
    client = stage.client
    for project in client.projects():
        project.describe()
        list(project.policies())
        for dataset in project.datasets():
            dataset.describe()
            list(dataset.entries())
            list(dataset.labels())
        for model in project.models():
            model.describe()
            model.tags  # noqa: B018 - calls the service
    client.project("birds").model("v1").evaluation()


def delete(stage: Stage) -> None:
    """Delete: a project with everything in it."""
    stage.client.project("birds").delete(cascade=True)


JOBS: Mapping[str, Callable[[Stage], None]] = {
    job.__name__: job for job in (prepare, train, evaluate, promote, share, read, run, sweep, detect, delete)
}
"""The jobs by name, in the order in which they run."""
EVERY_PROJECT = frozenset({"read", "sweep"})
"""Jobs that work on all projects; their statements are repeated for each project."""


@contextmanager
def runs(folder: Path, wire: Wire) -> Iterator[Callable[[str, Mapping[str, Any] | None], set[Permission]]]:
    """Give a function that runs a job with a policy or without, and returns the permissions it needed."""
    pictures = write_folder(folder / "pictures")
    (folder / "large.png").write_bytes(_padded(png(64, 64, (30, 60, 220), 7), 5_000_000))
    with LocalService() as storage:
        s3 = storage.session().client("s3")
        wire.attach(s3.meta.events)
        with LocalService(s3=s3) as service, ExitStack() as stack:
            watched = service.session()
            wire.attach(watched.events)
            stage = Stage(Client(watched, bucket=BUCKET, retry=_QUICK), pictures)

            def run_job(name: str, policy: Mapping[str, Any] | None) -> set[Permission]:
                _set_up(name, service, stack)
                wire.begin(policy, free=_LOOK_UPS.get(name, frozenset()))
                try:
                    JOBS[name](stage)
                    service._jobs.wait()
                finally:
                    needed = wire.end()
                return needed

            yield run_job


def _set_up(name: str, service: LocalService, stack: ExitStack) -> None:
    """Do what other users have done before a job."""
    if name == "promote":
        Client(service.session(), bucket=BUCKET).create_project("production")
    elif name == "sweep":
        # The clock of this client is two hours late, so that its lease has expired for all others.
        old = Client(service.session(), bucket=BUCKET, retry=_LONG_AGO)
        stack.enter_context(old.project("birds").model("v1").running())
    elif name == "detect":
        model = Client(service.session(), bucket=BUCKET, retry=_QUICK).project("birds").model("v1")
        model.start()
        model.wait_until_running()


def _padded(picture: bytes, size: int) -> bytes:
    """Return a PNG with a comment that makes it as large as required."""
    comment = b"tEXt" + b"a\0".ljust(size, b"x")
    chunk = size.to_bytes(4, "big") + comment + zlib.crc32(comment).to_bytes(4, "big")
    return picture[:33] + chunk + picture[33:]


def policies(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the policy of every job, from its requests and from what AWS documents in addition."""
    found: dict[str, dict[str, Any]] = {}
    wire = Wire()
    with runs(folder, wire) as run_job:
        for name in JOBS:
            needed = run_job(name, None)
            for operation in wire.operations:
                needed.update(documented(operation, BUCKET, ("images", "birds")))
            names = {"birds": "PROJECT", BUCKET: "BUCKET"}
            names["production"] = "PROJECT" if name in EVERY_PROJECT else "DESTINATION"
            found[name] = policy_of(Permission(general(each.resource, names), each.action) for each in needed)
    return found


def here(name: str, policy: Mapping[str, Any]) -> dict[str, Any]:
    """Return the policy of a job with real names, as its reader fills them in."""
    projects = ("birds", "production") if name in EVERY_PROJECT else ("birds",)
    statements: list[Any] = []
    for project in projects:
        text = json.dumps(policy["Statement"]).replace("PROJECT", project)
        text = text.replace("DESTINATION", "production").replace("BUCKET", BUCKET)
        statements += json.loads(text.replace("REGION", REGION).replace("ACCOUNT", ACCOUNT))
    return {**policy, "Statement": statements}
