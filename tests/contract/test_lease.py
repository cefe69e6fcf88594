"""``model.running()``: the model stops however the block ends, and running models are found and swept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from leases import new_lease
from sdk_backends import write_folder

from rekolabels import RetryPolicy, errors
from rekolabels.costs import Prices
from rekolabels.formats import read_folder
from rekolabels.local import LocalService
from rekolabels.models import RunningModel, _lease
from sdk_handles import client_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rekolabels import Client, ModelVersion
    from virtual_time import VirtualTime

QUICK = RetryPolicy(first_poll=0.01, max_poll=0.05)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    """One embedded service for the module."""
    with LocalService(tmp_path_factory.mktemp("leases"), engine="tiny") as made:
        yield made


@pytest.fixture(scope="module")
def client(service: LocalService) -> Client:
    """A client with prices."""
    prices = Prices("us-east-1", training_hour=1, inference_unit_hour=3600)  # a dollar a second
    return service.client(bucket="leases", retry=QUICK, prices=prices)


@pytest.fixture(scope="module")
def model(client: Client, tmp_path_factory: pytest.TempPathFactory) -> ModelVersion:
    """One trained model for the module; every test leaves it stopped."""
    project = client.create_project("leases")
    project.create_datasets(read_folder(write_folder(tmp_path_factory.mktemp("pictures"))))
    made = project.train("v1")
    made.wait_until_trained()
    return made


@pytest.fixture(autouse=True)
def _nothing_is_left(model: ModelVersion) -> Iterator[None]:
    """Fail a test that leaves the model running or with lease tags, and clean up after it."""
    yield
    status, tags = model.status, model.tags
    model._ensure_stopped()
    model._connection.rekognition.untag_resource(model.arn, ["left", *tags])
    assert status in {"STOPPED", "TRAINING_COMPLETED"}
    assert [name for name in tags if name.startswith("rekolabels:")] == []


def test_the_last_of_two_blocks_stops_the_model(model: ModelVersion) -> None:
    """The last block to be left stops it, whether it was entered first or second."""
    first, second = model.running(), model.running()
    with first:
        with second as running:
            assert running.model.status == "RUNNING"
        assert model.status == "RUNNING"
    assert model.status == "STOPPED"
    first, second = model.running(), model.running()
    with first as one:
        second.__enter__()
        assert one.model.status == "RUNNING"
    assert model.status == "RUNNING"
    second.__exit__(None, None, None)
    assert model.status == "STOPPED"


def test_a_model_started_by_other_means_is_not_stopped(client: Client, model: ModelVersion) -> None:
    """Neither a block that joined it nor a sweep stops it, unless ``stop_joined`` is given."""
    model.start()
    model.wait_until_running()
    with model.running():
        pass
    assert client.sweep() == []
    assert model.status == "RUNNING"
    with model.running(stop_joined=True):
        pass
    assert model.status == "STOPPED"


def test_a_sweep_stops_the_model_of_a_killed_process(client: Client, model: ModelVersion) -> None:
    """A model is stopped after all its leases have expired, not before."""
    now = QUICK.time()
    model._connection.rekognition.tag_resource(
        model.arn,
        {"rekolabels:started:dead": f"{now - 3600:.0f}", "rekolabels:lease:dead": f"{now + 60:.0f}"},
    )
    model.start()
    model.wait_until_running()
    assert client.sweep() == []
    assert model.status == "RUNNING"
    model._connection.rekognition.tag_resource(model.arn, {"rekolabels:lease:dead": f"{now - 60:.0f}"})
    assert client.sweep() == [model]
    assert model.status == "STOPPED"


def test_running_models_are_listed_with_their_costs(client: Client, model: ModelVersion) -> None:
    """Each has its start time and its cost so far."""
    assert list(client.running_models()) == []
    with model.running(min_inference_units=2):
        (running,) = client.running_models()
        assert (running.model, running.status, running.inference_units) == (model, "RUNNING", 2)
        assert running.since is not None
        assert running.cost is not None
        assert 0 <= running.cost < 120


@pytest.mark.parametrize(
    ("limits", "passes", "reason"),
    [
        ({"idle_timeout": 30.0}, 31.0, "not used for 30 s"),
        ({"max_duration": 100.0}, 101.0, "max_duration"),
        ({"max_cost": 50.0}, 51.0, "max_cost"),
    ],
)
def test_a_limit_stops_the_model(
    client: Client,
    model: ModelVersion,
    virtual_time: VirtualTime,
    limits: dict[str, float],
    passes: float,
    reason: str,
) -> None:
    """The model stops when a limit is reached, and the next call raises the reason."""
    policy = attrs.evolve(QUICK, clock=virtual_time.clock)
    virtual = type(client)(client.session, bucket="leases", retry=policy, prices=client.prices())
    lease = new_lease(virtual.model(model.arn), **limits)
    with lease as running:
        virtual_time.now += passes - 2
        lease._check()
        assert model.status == "RUNNING"
        virtual_time.now += 2
        lease._check()
        assert model.status == "STOPPED"
        with pytest.raises(errors.LeaseEnded, match=reason):
            running.detect(b"\xff\xd8\xff")
        (outcome,) = model.detect_many([b"\xff\xd8\xff"])
        assert isinstance(outcome.error, errors.ResourceNotReady)


def test_use_keeps_an_idle_model_running(model: ModelVersion, virtual_time: VirtualTime) -> None:
    """Idle time is measured from the last call."""
    client = type(client_of(model))(
        client_of(model).session, bucket="leases", retry=attrs.evolve(QUICK, clock=virtual_time.clock)
    )
    lease = new_lease(client.model(model.arn), idle_timeout=30)
    with lease as running:
        for _ in range(3):
            virtual_time.now += 20
            with pytest.raises(errors.ImageRejected):
                running.detect(b"\xff\xd8\xff")
            lease._check()
        assert model.status == "RUNNING"


def test_a_call_in_progress_is_use(model: ModelVersion, virtual_time: VirtualTime) -> None:
    """A call that takes longer than ``idle_timeout`` is not interrupted; idle time begins after it."""
    policy = attrs.evolve(QUICK, clock=virtual_time.clock)
    client = type(client_of(model))(client_of(model).session, bucket="leases", retry=policy)
    lease = new_lease(client.model(model.arn), idle_timeout=30)
    events: Any = client._connection.rekognition.client.meta.events

    def during_the_call(**_: Any) -> None:
        virtual_time.now += 100
        lease._check()

    events.register("before-call.rekognition.DetectCustomLabels", during_the_call)
    with lease as running:
        with pytest.raises(errors.ImageRejected):
            running.detect(b"\xff\xd8\xff")
        (outcome,) = running.detect_many([b"\xff\xd8\xff"])
        assert isinstance(outcome.error, errors.ImageRejected)
        virtual_time.now += 29
        lease._check()
        assert model.status == "RUNNING"
        virtual_time.now += 1
        lease._check()
        assert model.status == "STOPPED"


def test_ctrl_c_at_the_end_of_entering_stops_the_model(
    model: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model runs already, and the block has not begun."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(RunningModel, "__init__", interrupt)
    with pytest.raises(KeyboardInterrupt), model.running():
        pass
    assert model.status == "STOPPED"


def test_ctrl_c_during_the_release_does_not_leave_the_model_running(
    model: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The release is repeated before the block is left."""

    def interrupt(*_: Any, **__: Any) -> bool:
        monkeypatch.undo()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), model.running():
        monkeypatch.setattr(_lease, "stop_unless_used", interrupt)
    assert model.status in {"STOPPING", "STOPPED"}
    assert model.tags == {}


def test_a_cost_limit_needs_a_price(service: LocalService, model: ModelVersion) -> None:
    """Without a price for the Region the limit is rejected."""
    other_region = type(client_of(model))(service.session(), region_name="eu-west-1", retry=QUICK)
    handle = attrs.evolve(model, connection=other_region._connection)
    with pytest.raises(errors.InvalidInput, match="No prices are known for eu-west-1"):
        handle.running(max_cost=5)


def test_a_lease_prints_its_model_and_state(model: ModelVersion) -> None:
    """The repr names the state before, in and after the block."""
    lease = model.running()
    assert repr(lease) == "<Lease of model version 'v1': not entered>"
    with lease as running:
        assert repr(lease) == "<Lease of model version 'v1': running>"
        assert repr(running) == f"<RunningModel {model.arn}>"
    assert repr(lease) == "<Lease of model version 'v1': released; the model was told to stop>"


def test_a_failed_start_leaves_no_tags(client: Client, model: ModelVersion) -> None:
    """A start that exceeds the quota raises the error and leaves nothing behind."""
    with pytest.raises(errors.RekolabelsError), model.running(min_inference_units=50):
        pass
    assert list(client.running_models()) == []


ENDING = """
import os, signal, sys, threading, time
from rekolabels import Client, RetryPolicy

arn, how = sys.argv[1:]
client = Client(retry=RetryPolicy(first_poll=0.01, max_poll=0.05))

def run():
    with client.model(arn).running() as running:
        print(running.model.status, flush=True)
        if how == "exception":
            raise KeyError
        if how == "exit":
            sys.exit(3)
        if how == "interrupt":
            os.kill(os.getpid(), signal.SIGINT)
        if how == "terminate":
            os.kill(os.getpid(), signal.SIGTERM)
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)

if how == "thread":
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
elif how == "never left":
    client.model(arn).running().__enter__()
    print("RUNNING", flush=True)
else:
    run()
"""


SIGNALS = {"interrupt", "terminate", "kill"}


@pytest.mark.parametrize("how", ["return", "exception", "exit", "thread", "never left", *sorted(SIGNALS)])
def test_the_model_stops_at_every_ending(service: LocalService, model: ModelVersion, how: str) -> None:
    """After SIGKILL a sweep stops the model; after anything else it has been stopped."""
    if how in SIGNALS and os.name == "nt":
        pytest.skip("Windows has no POSIX signals")
    with service.serve() as server:
        done = subprocess.run(  # noqa: S603 -- our own interpreter and script
            [sys.executable, "-c", ENDING, model.arn, how],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, **server.environment},
        )
    assert done.stdout == "RUNNING\n", done.stderr
    if how == "kill":
        assert done.returncode == -signal.SIGKILL
        later = attrs.evolve(QUICK, time=lambda: QUICK.time() + 1000)
        client = type(client_of(model))(client_of(model).session, retry=later)
        assert [swept.arn for swept in client.sweep()] == [model.arn]
    assert model.status == "STOPPED"


NEEDED = """
import sys
from rekolabels import Client, RetryPolicy
client = Client(retry=RetryPolicy(first_poll=0.01, max_poll=0.05))
late = []
def listen(**_):
    sys.addaudithook(lambda event, args: late.append(args[0]) if event == "import" else None)
events = client._connection.rekognition.client.meta.events
events.register("before-call.rekognition.StartProjectVersion", listen)
with client.model(sys.argv[1]).running():
    pass
print(sorted(set(late)))
"""


def test_the_imports_of_the_stop_happen_before_the_start(service: LocalService, model: ModelVersion) -> None:
    """A signal during an import leaves a library half loaded, so the stop must not import anything."""
    with service.serve() as server:
        done = subprocess.run(  # noqa: S603 -- our own interpreter and script
            [sys.executable, "-c", NEEDED, model.arn],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, **server.environment},
        )
    assert done.stdout == "[]\n", done.stderr
