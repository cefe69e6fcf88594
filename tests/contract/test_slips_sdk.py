"""Slips of users of the SDK: each gets an error of ours that names the value and what to do instead."""

from __future__ import annotations

import base64
import datetime as dt
import io
import math
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sdk_backends import write_folder

import rekolabels
from rekolabels import errors, inference, local, testing
from rekolabels._aws._connection import connection_of
from rekolabels.formats import read_folder
from rekolabels.images import LabelledImage
from rekolabels.local import LocalService, ManualClock
from slips import Slip, check_error, read_slips

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SLIPS = read_slips(Path(__file__).with_name("slips_sdk.txt"))


def public(module: Any) -> dict[str, Any]:
    """Return the public names of a module."""
    return {name: getattr(module, name) for name in module.__all__}


def closed_service() -> LocalService:
    """Return a service that was closed."""
    service = LocalService(engine="tiny")
    service.close()
    return service


def closed_client() -> rekolabels.Client:
    """Return a client of a service that was closed."""
    with LocalService(engine="tiny") as service:
        return service.client(bucket="puppies")


def unread() -> Iterator[LabelledImage]:
    """Return images that must not be read."""
    return (pytest.fail("read") for _ in range(1))


def used_up() -> Iterator[LabelledImage]:
    """Return a generator that has no images left."""
    images = (image for image in [LabelledImage("a.jpg", ["cat"])])
    list(images)
    return images


def raise_error(outcome: inference.Outcome[Any]) -> None:
    """Raise the error of an outcome of detect_many."""
    if outcome.error is not None:
        raise outcome.error


@pytest.fixture(name="names", scope="module")
def names_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What a user has after the first hour: images, a service, a project, its datasets, a trained model."""
    folder = tmp_path_factory.mktemp("world")
    pics = write_folder(folder / "pics")
    images = list(read_folder(pics))
    picture = pics / "amber" / "00.png"

    def write(name: str, data: bytes) -> str:
        (folder / name).write_bytes(data)
        return str(folder / name)

    clock = ManualClock(1_767_225_600)
    with LocalService(folder / "workspace", engine="tiny", clock=clock) as service:
        client = service.client(bucket="puppies")
        project = client.create_project("puppies")
        dataset, _ = project.create_datasets(images)
        model = project.train("v1")
        model.wait_until_trained()
        yield {
            **public(rekolabels),
            **public(inference),
            **public(local),
            **public(testing),
            "Path": Path,
            "pickle": pickle,
            "base64_text": base64.b64encode(picture.read_bytes()).decode(),
            "client": client,
            "closed_client": closed_client,
            "closed_service": closed_service,
            "connection_of": connection_of,
            "dataset": dataset,
            "dt": dt,
            "folder": folder,
            "images": images,
            "io": io,
            "math": math,
            "model": model,
            "np": np,
            "pics": str(pics),
            "picture": str(picture),
            "project": project,
            "raise_error": raise_error,
            "service": service,
            "unread": unread,
            "used_up": used_up,
            "write": write,
        }


@pytest.mark.parametrize("slip", SLIPS)
def test_slips_get_an_error_that_names_the_value_and_the_fix(slip: Slip, names: dict[str, Any]) -> None:
    """Each slip is noticed where it is made, before anything was created."""

    def contents() -> list[str]:
        found = [*names["client"].projects(), *names["project"].models(), *names["project"].datasets()]
        return [handle.arn for handle in found]

    before = contents()
    check_error(slip, names)
    assert before == contents()


def test_there_are_many_slips_of_the_sdk() -> None:
    """A table that was cut off does not pass unnoticed."""
    assert len(SLIPS) >= 110


def test_starts_and_stops_in_the_wrong_order_say_what_to_do(tmp_path: Path) -> None:
    """Each message names the status that prevents the call, and the call that comes first."""
    clock = ManualClock(1_767_225_600)
    durations = local.Durations(training=3600, starting=600, stopping=300)
    with LocalService(tmp_path / "workspace", engine="tiny", clock=clock, durations=durations) as service:
        client = service.client(bucket="puppies")
        project = client.create_project("puppies")
        project.create_datasets(read_folder(write_folder(tmp_path / "pics")))
        model = project.train("v1")

        def refused(call: Callable[[], object]) -> str:
            with pytest.raises(errors.ResourceInUse) as raised:
                call()
            return str(raised.value).partition(" [")[0]

        found = {"start while training": refused(model.start), "stop while training": refused(model.stop)}
        model.wait_until_trained()
        found["stop before start"] = refused(model.stop)
        model.start()
        found |= {"start twice": refused(model.start), "stop while starting": refused(model.stop)}
        model.wait_until_running()
        found["start while running"] = refused(model.start)
        model.stop()
        found |= {"stop twice": refused(model.stop), "start while stopping": refused(model.start)}
        model.wait_until_stopped()
        found["stop when stopped"] = refused(model.stop)
    start, stop = "Cannot start model version 'v1' with status", "Cannot stop model version 'v1' with status"
    needed, running = "it must be trained and stopped.", "it must be running."
    trained = "First call `model.wait_until_trained()`."
    expected = {
        "start while training": f"{start} TRAINING_IN_PROGRESS: {needed} {trained}",
        "stop while training": (
            f"{stop} TRAINING_IN_PROGRESS: {running} It is training, and is not billed as a running model."
        ),
        "stop before start": f"{stop} TRAINING_COMPLETED: {running} It was never started.",
        "start twice": (
            f"{start} STARTING: {needed} It is starting already: call `model.wait_until_running()`."
        ),
        "stop while starting": f"{stop} STARTING: {running} First call `model.wait_until_running()`.",
        "start while running": (
            f"{start} RUNNING: {needed} It is running already: call `model.detect(image)`."
        ),
        "stop twice": (
            f"{stop} STOPPING: {running} It is stopping already: call `model.wait_until_stopped()`."
        ),
        "start while stopping": f"{start} STOPPING: {needed} First call `model.wait_until_stopped()`.",
        "stop when stopped": f"{stop} STOPPED: {running} It is stopped already.",
    }
    assert expected == found


def test_a_fraction_as_confidence_warns_where_it_was_written(names: dict[str, Any]) -> None:
    """0.5 is half a per cent: the call is made, and the warning shows the line of the caller."""
    model, picture = names["model"], names["picture"]
    text = r"^min_confidence is 0\.5, which means 0\.5 %\. For 50 %, use min_confidence=50\.$"
    with pytest.warns(UserWarning, match=text) as caught, pytest.raises(errors.ResourceNotReady):
        model.detect(picture, min_confidence=0.5)
    with pytest.warns(UserWarning, match=text) as also:
        assert [] == list(model.detect_many([], min_confidence=0.5))
    assert [__file__] * 2 == [warning.filename for warning in [*caught, *also]]
