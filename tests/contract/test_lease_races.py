"""Races between leases, sweeps and manual stops, and errors of the service while a lease is held."""

from __future__ import annotations

import os
import re
import runpy
import signal
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from leases import new_lease
from sdk_backends import write_folder

from rekolabels import RetryPolicy, errors
from rekolabels.formats import read_folder
from rekolabels.local import Durations, Fault, FaultPlan, LocalService, ManualClock
from rekolabels.models._exit_signals import unregister
from rekolabels.models._lease_tags import LEASE_TTL
from sdk_handles import client_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rekolabels import Client, ModelVersion

ROOT = Path(__file__).parents[2]
QUICK = RetryPolicy(first_poll=0.01, max_poll=0.05)
ONCE = attrs.evolve(QUICK, attempts=1)
LATER = attrs.evolve(QUICK, time=lambda: QUICK.time() + 1000)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A workspace with one trained model, and its ARN."""
    folder = tmp_path_factory.mktemp("races")
    with LocalService(folder, engine="tiny") as service:
        project = service.client(bucket="races", retry=QUICK).create_project("races")
        project.create_datasets(read_folder(write_folder(tmp_path_factory.mktemp("pictures"))))
        model = project.train("v1")
        model.wait_until_trained()
    return folder, model.arn


@pytest.fixture
def open_model(workspace: tuple[Path, str]) -> Iterator[Callable[..., ModelVersion]]:
    """Open the workspace with options; fail a test that leaves the model running or tagged."""
    folder, arn = workspace
    with ExitStack() as stack:

        def open_it(policy: RetryPolicy = QUICK, **options: Any) -> ModelVersion:
            service = stack.enter_context(LocalService(folder, engine="tiny", **options))
            return service.client(bucket="races", retry=policy).model(arn)

        yield open_it
    with LocalService(folder, engine="tiny") as service:
        model = service.client(bucket="races", retry=QUICK).model(arn)
        status, tags = model.status, model.tags
        model._ensure_stopped()
        model._connection.rekognition.untag_resource(model.arn, ["left", *tags])
    assert status in {"STOPPED", "TRAINING_COMPLETED"}
    assert tags == {}


def reopen(model: ModelVersion, policy: RetryPolicy = QUICK) -> ModelVersion:
    """Return the same model with another client."""
    client = client_of(model)
    return type(client)(client.session, bucket="races", retry=policy).model(model.arn)


def before(client: Client, operation: str, action: Callable[[], object]) -> None:
    """Run an action once, before the client's next call of an operation."""
    pending = [action]

    def run_once(**_: Any) -> None:
        if pending:
            pending.pop()()

    client._connection.rekognition.client.meta.events.register(
        f"before-call.rekognition.{operation}", run_once
    )


def abandon(model: ModelVersion) -> None:
    """Leave a model as a killed process does: running, with an expired lease."""
    now = QUICK.time()
    model.start()
    model.wait_until_running()
    tags = {"rekolabels:started:dead": f"{now - 3600:.0f}", "rekolabels:lease:dead": f"{now - 60:.0f}"}
    model._connection.rekognition.tag_resource(model.arn, tags)


def test_a_sweep_yields_to_a_process_that_joins(open_model: Callable[..., ModelVersion]) -> None:
    """A process joins between the first read of the sweep and its stop; the sweep does not stop."""
    model = open_model()
    abandon(model)
    lease = reopen(model).running()
    before(client_of(model), "TagResource", lease.__enter__)
    assert client_of(model).sweep() == []
    assert model.status == "RUNNING"
    lease.__exit__(None, None, None)
    assert model.status == "STOPPED"


def test_a_joining_process_waits_for_a_stop(open_model: Callable[..., ModelVersion]) -> None:
    """A process joins after the stop is decided; the model stops, and is started again for it."""
    model = open_model()
    joined, leave = threading.Event(), threading.Event()
    seen: list[str] = []

    def join() -> None:
        with reopen(model).running() as running:
            seen.append(running.model.status)
            joined.set()
            leave.wait(20)

    thread = threading.Thread(target=join)
    before(client_of(model), "StopProjectVersion", thread.start)
    with model.running():
        pass
    assert joined.wait(20)
    assert (seen, model.status) == (["RUNNING"], "RUNNING")
    leave.set()
    thread.join()


def test_a_stop_keeps_the_tags_of_other_stops(open_model: Callable[..., ModelVersion]) -> None:
    """Of two processes that leave at once, the faster one does not remove the tag of the slower one."""
    model = open_model()
    slower = reopen(model)
    with model.running():
        slower.tag({"rekolabels:ending:slower": f"{QUICK.time() + 900:.0f}"})
    assert list(model.tags) == ["rekolabels:ending:slower"]
    assert client_of(model).sweep() == []
    assert list(model.tags) == ["rekolabels:ending:slower"]
    slower.untag("rekolabels:ending:slower")


def test_a_block_ends_although_others_start_the_model_again(open_model: Callable[..., ModelVersion]) -> None:
    """The model is started again while the stop is waited for; there is no error and no second stop."""
    model = open_model()
    other = reopen(model)

    def start_again() -> None:
        other.wait_until_stopped()
        other.start()

    before(client_of(model), "UntagResource", start_again)
    with model.running():
        pass
    other.wait_until_running()
    assert client_of(model).sweep() == []
    other._ensure_stopped()


def test_a_model_restarted_by_hand_is_not_swept(
    open_model: Callable[..., ModelVersion],
) -> None:
    """A sweep after a manual stop removes the tags of the dead process; a manual start is then kept."""
    model = open_model()
    abandon(model)
    model._ensure_stopped()
    assert client_of(model).sweep() == []
    assert model.tags == {}
    model.start()
    model.wait_until_running()
    assert client_of(model).sweep() == []
    assert model.status == "RUNNING"
    model._ensure_stopped()


def test_a_lease_notices_that_its_model_was_stopped(open_model: Callable[..., ModelVersion]) -> None:
    """The lease ends with the reason, and does not stop a later start by other means."""
    clock = ManualClock()
    model = open_model(attrs.evolve(QUICK, clock=clock))
    lease = new_lease(model)
    with lease as running:
        reopen(model)._ensure_stopped()
        clock.advance(200)
        lease._check()
        with pytest.raises(errors.LeaseEnded, match="the model was stopped by another process or user"):
            running.detect(b"\xff\xd8\xff")
        model.start()
        model.wait_until_running()
    assert model.status == "RUNNING"
    model._ensure_stopped()


def test_a_start_may_outlast_the_lease_ttl(
    open_model: Callable[..., ModelVersion],
) -> None:
    """The lease is renewed during the start, so that no sweep treats its process as dead."""
    clock = ManualClock()
    swept: list[Any] = []

    def sleep(seconds: float) -> None:
        clock.advance(seconds)
        lease._check()  # as the watchdog does each minute
        swept.extend(client_of(onlooker).sweep(wait=False))

    policy = RetryPolicy(clock=clock, time=clock, sleep=sleep)
    model = open_model(policy, clock=clock, durations=Durations(starting=3000))
    onlooker = reopen(model, attrs.evolve(policy, sleep=clock.sleep))
    lease = new_lease(model)
    with lease:
        assert model.status == "RUNNING"
    assert swept == []


def sleeping(model: ModelVersion, clock: ManualClock) -> Callable[[], None]:
    """Return an action during which the process sleeps past its lease, and a sweep runs elsewhere."""
    sweeper = client_of(reopen(model, attrs.evolve(QUICK, time=clock)))

    def sleep() -> None:
        clock.advance(LEASE_TTL + 100)
        assert sweeper.sweep() == []
        clock.advance(5)

    return sleep


def lease_tags(model: ModelVersion) -> set[str]:
    """Return the kinds of the lease tags."""
    return {name.split(":")[1] for name in model.tags}


def test_a_process_that_slept_before_its_start_has_its_tags(open_model: Callable[..., ModelVersion]) -> None:
    """A sweep removes the expired tags just before the request; they are written again after it."""
    clock = ManualClock()
    model = open_model(attrs.evolve(QUICK, time=clock))
    before(client_of(model), "StartProjectVersion", sleeping(model, clock))
    with model.running():
        assert lease_tags(model) == {"started", "lease"}
        (seen,) = client_of(model).running_models()
        assert seen.since is not None
    assert model.status == "STOPPED"


def test_the_model_of_a_process_that_slept_before_its_start_is_swept(
    open_model: Callable[..., ModelVersion],
) -> None:
    """The process is killed in its block; the next sweep finds the model by its tags."""
    clock = ManualClock()
    policy = attrs.evolve(QUICK, time=clock)
    model = open_model(policy)
    before(client_of(model), "StartProjectVersion", sleeping(model, clock))
    lease = new_lease(model)
    lease.__enter__()
    lease._released.set()  # a killed process renews and releases nothing
    unregister(lease._release)
    clock.advance(LEASE_TTL + 100)
    assert [swept.arn for swept in client_of(reopen(model, policy)).sweep()] == [model.arn]
    assert model.status == "STOPPED"


def test_a_process_that_slept_while_it_wrote_its_tags_writes_them_again(
    open_model: Callable[..., ModelVersion],
) -> None:
    """When the start is requested, a sweep would find the model, even if the process is killed then."""
    clock = ManualClock()
    model = open_model(attrs.evolve(QUICK, time=clock))
    client = client_of(model)
    # After the tag of the start, and before that after the tag of the lease.
    pending: list[Callable[[], object]] = [sleeping(model, clock), list[str]]
    seen: list[set[str]] = []

    def after_tagging(**_: Any) -> None:
        if pending:
            pending.pop()()

    events = client._connection.rekognition.client.meta.events
    events.register("after-call.rekognition.TagResource", after_tagging)
    before(client, "StartProjectVersion", lambda: seen.append(lease_tags(reopen(model))))
    with model.running():
        pass
    assert seen == [{"started", "lease"}]


def test_a_start_after_sleep_whose_answer_is_lost_is_stopped(
    open_model: Callable[..., ModelVersion],
) -> None:
    """The tags are gone when the process stops the model, but it knows that it may have started it."""
    clock = ManualClock()
    lost = FaultPlan([Fault.dropped("StartProjectVersion", answered=True, times=1)])
    model = open_model(attrs.evolve(ONCE, time=clock), faults=lost)
    before(client_of(model), "StartProjectVersion", sleeping(model, clock))
    with pytest.raises(errors.ConnectionFailed), model.running():
        pass
    assert model.status == "STOPPED"


def test_a_sweep_that_is_slow_to_remove_tags_does_not_remove_those_of_a_start(
    open_model: Callable[..., ModelVersion],
) -> None:
    """A sweep has read expired tags; the process wakes up and starts the model before they are removed."""
    clock = ManualClock()
    policy = attrs.evolve(QUICK, time=clock)
    model = open_model(policy)
    sweeper = client_of(reopen(model, policy))
    asleep, awake, started, leave = (threading.Event() for _ in range(4))
    seen: list[set[str]] = []

    def sleep() -> None:
        clock.advance(LEASE_TTL + 100)
        asleep.set()
        awake.wait(20)

    def use() -> None:
        with model.running():
            seen.append(lease_tags(model))
            leave.wait(20)

    def wake() -> None:
        awake.set()
        assert started.wait(20)

    before(client_of(model), "StartProjectVersion", sleep)
    events = client_of(model)._connection.rekognition.client.meta.events
    events.register("after-call.rekognition.StartProjectVersion", lambda **_: started.set())
    before(sweeper, "UntagResource", wake)
    holder = threading.Thread(target=use)
    holder.start()
    assert asleep.wait(20)
    assert sweeper.sweep() == []
    leave.set()
    holder.join()
    assert seen == [{"started", "lease"}]
    assert model.status == "STOPPED"


def test_the_tag_of_a_dead_stop_does_not_prevent_a_start(open_model: Callable[..., ModelVersion]) -> None:
    """A process was killed between the stop and the removal of its tag; the next block starts the model."""
    clock = ManualClock()
    model = open_model(RetryPolicy(clock=clock, time=clock, sleep=clock.sleep))
    model.tag({"rekolabels:ending:dead": f"{clock() + 900:.0f}"})
    with model.running() as running:
        assert running.model.status == "RUNNING"
    assert model.status == "STOPPED"
    model.untag("rekolabels:ending:dead")


@pytest.mark.parametrize("value", ["inf", "nan", "1e300", "99999999999", "-1", "soon"])
def test_a_lease_that_never_expires_is_swept(open_model: Callable[..., ModelVersion], value: str) -> None:
    """No lease is valid for longer than the time to live; tags that say otherwise have expired."""
    model = open_model()
    model.start()
    model.wait_until_running()
    model.tag({"rekolabels:started:dead": value, "rekolabels:lease:dead": value})
    (seen,) = client_of(model).running_models()
    assert seen.since is None
    assert client_of(model).sweep() == [model]
    assert model.tags == {}


def test_an_abandoned_start_is_swept(open_model: Callable[..., ModelVersion]) -> None:
    """The service cannot stop a starting model; a sweep waits for it or leaves it to the next sweep."""
    clock = ManualClock()
    policy = RetryPolicy(clock=clock, time=clock, sleep=clock.sleep)
    model = open_model(policy, clock=clock, durations=Durations(starting=600, stopping=60))
    model._connection.rekognition.tag_resource(model.arn, {"rekolabels:started:dead": f"{clock():.0f}"})
    model.start()
    assert client_of(model).sweep(wait=False) == []
    assert model.status == "STARTING"
    assert client_of(model).sweep() == [model]
    assert model.status == "STOPPED"


def test_a_failed_stop_is_retried(open_model: Callable[..., ModelVersion]) -> None:
    """The error is raised, and the watchdog retries until the model stops."""
    model = open_model(ONCE, faults=FaultPlan([Fault.broken("StopProjectVersion", times=1)]))
    lease = new_lease(model)
    with pytest.raises(errors.ServiceFault), lease:
        pass
    assert model.status == "RUNNING"
    lease._check()
    assert model.status == "STOPPED"


def test_a_failed_stop_does_not_hide_the_error_of_the_block(
    open_model: Callable[..., ModelVersion], caplog: pytest.LogCaptureFixture
) -> None:
    """The caller sees the error of the block; the failed stop is logged."""
    model = open_model(ONCE, faults=FaultPlan([Fault.broken("StopProjectVersion", times=1)]))
    lease = new_lease(model)
    with pytest.raises(KeyError), lease:
        raise KeyError
    assert "Could not stop v1" in caplog.text
    lease._check()
    assert model.status == "STOPPED"


def test_the_watchdog_outlives_any_error(open_model: Callable[..., ModelVersion]) -> None:
    """An unexpected error is logged, and the next check stops the model."""
    model = open_model()
    broken = threading.Event()

    def breaks() -> None:
        broken.set()
        raise MemoryError

    before(client_of(model), "StopProjectVersion", breaks)
    with model.running(max_duration=0.1):
        assert broken.wait(20)
        for _ in range(2000):
            if model.status == "STOPPED":
                break
        assert model.status == "STOPPED"


def test_a_start_whose_answer_was_lost_is_owned(open_model: Callable[..., ModelVersion]) -> None:
    """The retry finds the model starting, joins it, and stops it at the end."""
    model = open_model(faults=FaultPlan([Fault.dropped("StartProjectVersion", answered=True, times=1)]))
    with model.running():
        assert model.status == "RUNNING"
    assert model.status == "STOPPED"


def test_an_uncertain_start_is_stopped(open_model: Callable[..., ModelVersion]) -> None:
    """The error is raised, and the model, which did start, is stopped."""
    model = open_model(ONCE, faults=FaultPlan([Fault.dropped("StartProjectVersion", answered=True, times=1)]))
    with pytest.raises(errors.ConnectionFailed), model.running():
        pass
    assert model.status == "STOPPED"


def test_an_interrupted_start_is_waited_for(open_model: Callable[..., ModelVersion]) -> None:
    """After Ctrl-C during the request, the service starts the model later than the first check."""
    model = open_model()
    client, late = client_of(model), reopen(model)

    def interrupt() -> None:
        before(client, "DescribeProjectVersions", after_the_first_check)
        raise KeyboardInterrupt

    def after_the_first_check() -> None:
        before(client, "DescribeProjectVersions", late.start)

    before(client, "StartProjectVersion", interrupt)
    with pytest.raises(KeyboardInterrupt), model.running():
        pass
    assert model.status == "STOPPED"


def test_without_permission_to_tag_nothing_is_started(open_model: Callable[..., ModelVersion]) -> None:
    """The error is raised before a model is started that no sweep could find."""
    model = open_model(faults=FaultPlan([Fault.error("AccessDeniedException", "TagResource")]))
    with pytest.raises(errors.AccessDenied, match="TagResource"), model.running():
        pass
    assert model.status != "RUNNING"


def test_a_model_stops_although_its_tag_cannot_be_written(
    open_model: Callable[..., ModelVersion],
) -> None:
    """A model left running would be worse than the rare race that the tag prevents."""
    model = open_model(ONCE, faults=FaultPlan([Fault.overloaded("TagResource", after=2, times=1)]))
    with model.running():
        pass
    assert model.status == "STOPPED"


def test_a_sweep_continues_after_errors(open_model: Callable[..., ModelVersion]) -> None:
    """Errors of a Region or model are raised at the end; the others are swept."""
    model = open_model(
        ONCE, faults=FaultPlan([Fault.error("AccessDeniedException", "DescribeProjects", after=1, times=1)])
    )
    abandon(model)
    with pytest.raises(
        errors.SweepIncomplete, match="1 models stopped, 1 Regions or models failed"
    ) as caught:
        client_of(model).sweep(regions=["eu-west-1", "us-east-1"])
    assert caught.value.stopped == (model.arn,)
    assert [type(error) for error in caught.value.errors] == [errors.AccessDenied]
    assert model.status == "STOPPED"


def test_running_models_are_found_in_other_regions(open_model: Callable[..., ModelVersion]) -> None:
    """Both running_models and sweep take a list of Regions."""
    model = open_model()
    abandon(model)
    other_region = type(client_of(model))(client_of(model).session, region_name="eu-west-1", retry=QUICK)
    assert list(other_region.running_models()) == []
    (running,) = other_region.running_models(regions=["eu-west-1", "us-east-1"])
    assert running.arn == model.arn
    (swept,) = other_region.sweep(regions=["eu-west-1", "us-east-1"])
    assert (swept.arn, client_of(swept).region_name) == (model.arn, "us-east-1")
    assert model.status == "STOPPED"


def test_the_lambda_example_sweeps_its_regions(
    open_model: Callable[..., ModelVersion], workspace: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handler is called as AWS Lambda calls it."""
    abandon(open_model())
    handler = runpy.run_path(str(ROOT / "examples" / "sweep_lambda.py"))["handler"]
    with LocalService(workspace[0], engine="tiny") as service, service.serve() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("REGIONS", "eu-west-1,us-east-1")
        assert handler({}, None) == {"stopped": [workspace[1]]}
        service.client(retry=QUICK).model(workspace[1]).wait_until_stopped()
        assert handler({}, None) == {"stopped": []}


def test_the_lambda_example_has_the_documented_permissions() -> None:
    """Its policy has the actions that docs/iam.md lists for a sweep."""
    example = (ROOT / "examples" / "sweep_lambda.py").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "iam.md").read_text(encoding="utf-8")
    sweeping = page.partition("\n## Sweep\n")[2].partition("\n## ")[0]
    actions = [sorted(set(re.findall(r"rekognition:[A-Z][a-z]\w+", text))) for text in (example, sweeping)]
    assert len(actions[0]) == 6
    assert actions[0] == actions[1]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no POSIX signals")
def test_signals_are_handled_while_any_block_is_open(open_model: Callable[..., ModelVersion]) -> None:
    """Blocks can be left in any order; the last one restores the signal handlers."""
    model = open_model()
    numbers = [signal.SIGTERM, signal.SIGHUP]
    assert {signal.getsignal(number) for number in numbers} == {signal.SIG_DFL}
    first, second = model.running(), model.running()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    with pytest.raises(SystemExit) as caught:
        os.kill(os.getpid(), signal.SIGTERM)
    assert caught.value.code == 128 + signal.SIGTERM
    second.__exit__(None, None, None)
    assert {signal.getsignal(number) for number in numbers} == {signal.SIG_DFL}


@pytest.mark.parametrize("limit", ["idle_timeout", "max_duration", "max_cost"])
@pytest.mark.parametrize("value", [0, -1.0, float("nan")])
def test_a_limit_must_be_positive(open_model: Callable[..., ModelVersion], limit: str, value: float) -> None:
    """A limit that would stop the model at once, or never, is rejected."""
    with pytest.raises(
        errors.InvalidInput, match=rf"{limit} is {value!r}; expected a number of .*, more than 0, or None\."
    ):
        open_model().running(**{limit: value})  # type: ignore[arg-type] # each limit is a float


def test_a_block_is_entered_once(open_model: Callable[..., ModelVersion]) -> None:
    """Entering again is an error while the block is open and after it has ended."""
    lease = open_model().running()
    with lease as running, pytest.raises(errors.InvalidInput, match="entered only once"):
        lease.__enter__()
    with pytest.raises(errors.InvalidInput, match="entered only once"), lease:
        pass
    with pytest.raises(errors.LeaseEnded, match="its block was left"):
        running.detect(b"\xff\xd8\xff")


def test_a_cost_limit_uses_the_units_of_the_running_model(
    open_model: Callable[..., ModelVersion], caplog: pytest.LogCaptureFixture
) -> None:
    """A block that joins a model computes costs with its units rather than the requested ones."""
    clock = ManualClock()
    model = open_model(attrs.evolve(QUICK, clock=clock))
    with model.running(min_inference_units=4):
        lease = new_lease(reopen(model, attrs.evolve(QUICK, clock=clock)), max_cost=16)  # 16 dollars per hour
        with lease as running:
            clock.advance(3590)
            lease._check()
            with pytest.raises(errors.ImageRejected):
                running.detect(b"\xff\xd8\xff")
            clock.advance(10)
            lease._check()
            with pytest.raises(errors.LeaseEnded, match="max_cost"):
                running.detect(b"\xff\xd8\xff")
        assert model.status == "RUNNING"
        with reopen(model).running(min_inference_units=5):
            assert "already running with 4 inference units (requested 5)" in caplog.text


def test_the_exit_of_the_interpreter_waits_for_a_tag_being_written(
    open_model: Callable[..., ModelVersion],
) -> None:
    """A thread writes its lease tag while the interpreter releases the lease; no tag stays."""
    model = open_model()
    lease = new_lease(reopen(model))
    end = threading.Thread(target=lease._release)

    def end_now() -> None:
        end.start()
        end.join(0.2)  # it waits until the tag is written

    before(client_of(lease._model), "TagResource", end_now)
    with pytest.raises(errors.LeaseEnded):
        lease.__enter__()
    end.join()
    assert model.tags == {}
