"""Who comes, who leaves, who sweeps and who stops by hand, all at the worst moment; and stops that fail."""

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
from sdk_backends import write_folder

from rekolabels import RetryPolicy, errors
from rekolabels.formats import read_folder
from rekolabels.local import Durations, Fault, FaultPlan, LocalService, ManualClock

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
    """Opens the workspace with options of the test's own; at its end the model rests and bears no tags."""
    folder, arn = workspace
    with ExitStack() as stack:

        def open_it(policy: RetryPolicy = QUICK, **options: Any) -> ModelVersion:
            service = stack.enter_context(LocalService(folder, engine="tiny", **options))
            return service.client(bucket="races", retry=policy).model(arn)

        yield open_it
    with LocalService(folder, engine="tiny") as service:
        model = service.client(bucket="races", retry=QUICK).model(arn)
        status, tags = model.status, model.tags
        model.come_to_rest()
        model.client.api.untag_resource(model.arn, ["left", *tags])
    assert status in {"STOPPED", "TRAINING_COMPLETED"}
    assert tags == {}


def again(model: ModelVersion, policy: RetryPolicy = QUICK) -> ModelVersion:
    """The same model for somebody else."""
    client = model.client
    return type(client)(client.session, bucket="races", retry=policy).model(model.arn)


def before(client: Client, operation: str, action: Callable[[], object]) -> None:
    """Do something before the next call of an operation by this client."""
    left = [action]

    def strike(**_: Any) -> None:
        if left:
            left.pop()()

    client.api.client.meta.events.register(f"before-call.rekognition.{operation}", strike)


def abandon(model: ModelVersion) -> None:
    """Leave a model as a killed process does: running, with a lease that ran out."""
    now = QUICK.time()
    model.start()
    model.wait_until_running()
    tags = {"rekolabels:started:dead": f"{now - 3600:.0f}", "rekolabels:lease:dead": f"{now - 60:.0f}"}
    model.client.api.tag_resource(model.arn, tags)


def test_a_sweep_does_not_stop_a_model_under_who_comes_now(open_model: Callable[..., ModelVersion]) -> None:
    """Somebody joins between the sweep's first look and its stop: the sweep gives way."""
    model = open_model()
    abandon(model)
    lease = again(model).running()
    before(model.client, "TagResource", lease.__enter__)
    assert model.client.sweep() == []
    assert model.status == "RUNNING"
    lease.__exit__(None, None, None)
    assert model.status == "STOPPED"


def test_who_comes_waits_for_who_leaves(open_model: Callable[..., ModelVersion]) -> None:
    """Somebody comes when the stop is decided: the model stops, and starts again for who came."""
    model = open_model()
    came, leave = threading.Event(), threading.Event()
    seen: list[str] = []

    def come() -> None:
        with again(model).running() as running:
            seen.append(running.model.status)
            came.set()
            leave.wait(20)

    thread = threading.Thread(target=come)
    before(model.client, "StopProjectVersion", thread.start)
    with model.running():
        pass
    assert came.wait(20)
    assert (seen, model.status) == (["RUNNING"], "RUNNING")
    leave.set()
    thread.join()


def test_who_comes_waits_for_all_who_leave(open_model: Callable[..., ModelVersion]) -> None:
    """Two leave at once: the quicker one does not take away the word of the slower."""
    model = open_model()
    slower = again(model)
    with model.running():
        slower.tag({"rekolabels:ending:slower": f"{QUICK.time() + 900:.0f}"})
    assert list(model.tags) == ["rekolabels:ending:slower"]
    assert model.client.sweep() == []
    assert list(model.tags) == ["rekolabels:ending:slower"]
    slower.untag("rekolabels:ending:slower")


def test_who_leaves_does_not_mind_that_others_start_again(open_model: Callable[..., ModelVersion]) -> None:
    """The model is started anew while the stop is waited for: no error, and no second stop."""
    model = open_model()
    other = again(model)

    def start_again() -> None:
        other.wait_until_stopped()
        other.start()

    before(model.client, "UntagResource", start_again)
    with model.running():
        pass
    other.wait_until_running()
    assert model.client.sweep() == []
    other.come_to_rest()


def test_what_was_stopped_and_started_by_hand_belongs_to_who_did(
    open_model: Callable[..., ModelVersion],
) -> None:
    """A person stops what a killed process left, a sweep passes by, a person starts it: nobody stops that."""
    model = open_model()
    abandon(model)
    model.come_to_rest()
    assert model.client.sweep() == []
    assert model.tags == {}
    model.start()
    model.wait_until_running()
    assert model.client.sweep() == []
    assert model.status == "RUNNING"
    model.come_to_rest()


def test_a_lease_sees_that_its_model_was_stopped(open_model: Callable[..., ModelVersion]) -> None:
    """It ends, says so, and does not stop what is started after that by other means."""
    clock = ManualClock()
    model = open_model(attrs.evolve(QUICK, clock=clock))
    lease = model.running()
    with lease as running:
        again(model).come_to_rest()
        clock.advance(200)
        lease.check()
        with pytest.raises(errors.LeaseEnded, match="somebody else has stopped the model"):
            running.detect(b"\xff\xd8\xff")
        model.start()
        model.wait_until_running()
    assert model.status == "RUNNING"
    model.come_to_rest()


def test_a_start_may_take_longer_than_the_word_of_a_process_is_good(
    open_model: Callable[..., ModelVersion],
) -> None:
    """The lease is renewed while the model starts, so that no sweep takes its process for dead."""
    clock = ManualClock()
    swept: list[Any] = []

    def sleep(seconds: float) -> None:
        clock.advance(seconds)
        lease.check()  # what the watchdog does each minute
        swept.extend(onlooker.client.sweep(wait=False))

    policy = RetryPolicy(clock=clock, time=clock, sleep=sleep)
    model = open_model(policy, clock=clock, durations=Durations(starting=3000))
    onlooker = again(model, attrs.evolve(policy, sleep=clock.sleep))
    lease = model.running()
    with lease:
        assert model.status == "RUNNING"
    assert swept == []


def test_an_abandoned_start_is_swept_when_it_is_over(open_model: Callable[..., ModelVersion]) -> None:
    """The service does not stop what is starting: a sweep waits for it, or leaves it to the next."""
    clock = ManualClock()
    policy = RetryPolicy(clock=clock, time=clock, sleep=clock.sleep)
    model = open_model(policy, clock=clock, durations=Durations(starting=600, stopping=60))
    model.client.api.tag_resource(model.arn, {"rekolabels:started:dead": f"{clock():.0f}"})
    model.start()
    assert model.client.sweep(wait=False) == []
    assert model.status == "STARTING"
    assert model.client.sweep() == [model]
    assert model.status == "STOPPED"


def test_a_stop_that_fails_is_tried_again(open_model: Callable[..., ModelVersion]) -> None:
    """The error comes through; the watchdog goes on until the model stops."""
    model = open_model(ONCE, faults=FaultPlan([Fault.broken("StopProjectVersion", times=1)]))
    lease = model.running()
    with pytest.raises(errors.ServiceFault), lease:
        pass
    assert model.status == "RUNNING"
    lease.check()
    assert model.status == "STOPPED"


def test_an_error_of_the_block_is_not_hidden_by_a_stop_that_fails(
    open_model: Callable[..., ModelVersion], caplog: pytest.LogCaptureFixture
) -> None:
    """What went wrong first is what the caller sees; the log tells that the model may run."""
    model = open_model(ONCE, faults=FaultPlan([Fault.broken("StopProjectVersion", times=1)]))
    lease = model.running()
    with pytest.raises(KeyError), lease:
        raise KeyError
    assert "v1 may still be running" in caplog.text
    lease.check()
    assert model.status == "STOPPED"


def test_the_watchdog_outlives_any_error(open_model: Callable[..., ModelVersion]) -> None:
    """An error that nobody thought of is logged, and the limit is kept at the next look."""
    model = open_model()
    broken = threading.Event()

    def breaks() -> None:
        broken.set()
        raise MemoryError

    before(model.client, "StopProjectVersion", breaks)
    with model.running(max_duration=0.1):
        assert broken.wait(20)
        for _ in range(2000):
            if model.status == "STOPPED":
                break
        assert model.status == "STOPPED"


def test_a_start_whose_answer_was_lost_is_ours(open_model: Callable[..., ModelVersion]) -> None:
    """The repeated start finds the model starting by our own doing, and it is stopped in the end."""
    model = open_model(faults=FaultPlan([Fault.dropped("StartProjectVersion", answered=True, times=1)]))
    with model.running():
        assert model.status == "RUNNING"
    assert model.status == "STOPPED"


def test_a_start_that_nobody_can_vouch_for_is_stopped(open_model: Callable[..., ModelVersion]) -> None:
    """The error comes through, and the model that did start is stopped."""
    model = open_model(ONCE, faults=FaultPlan([Fault.dropped("StartProjectVersion", answered=True, times=1)]))
    with pytest.raises(errors.ConnectionFailed), model.running():
        pass
    assert model.status == "STOPPED"


def test_a_start_that_is_interrupted_is_waited_for(open_model: Callable[..., ModelVersion]) -> None:
    """Ctrl-C while the request is on its way: the service carries it out after the process has looked."""
    model = open_model()
    client, late = model.client, again(model)

    def interrupt() -> None:
        before(client, "DescribeProjectVersions", after_the_first_look)
        raise KeyboardInterrupt

    def after_the_first_look() -> None:
        before(client, "DescribeProjectVersions", late.start)

    before(client, "StartProjectVersion", interrupt)
    with pytest.raises(KeyboardInterrupt), model.running():
        pass
    assert model.status == "STOPPED"


def test_without_tags_nothing_is_started(open_model: Callable[..., ModelVersion]) -> None:
    """Who may not write tags gets the error, and no model that nobody could find."""
    model = open_model(faults=FaultPlan([Fault.error("AccessDeniedException", "TagResource")]))
    with pytest.raises(errors.AccessDenied, match="TagResource"), model.running():
        pass
    assert model.status != "RUNNING"


def test_a_model_stops_although_the_last_tag_cannot_be_written(
    open_model: Callable[..., ModelVersion],
) -> None:
    """A bill is worse than a small chance of a race."""
    model = open_model(ONCE, faults=FaultPlan([Fault.overloaded("TagResource", after=2, times=1)]))
    with model.running():
        pass
    assert model.status == "STOPPED"


def test_a_sweep_goes_on_past_what_fails(open_model: Callable[..., ModelVersion]) -> None:
    """A Region or model that fails is told of at the end; the others are swept."""
    model = open_model(
        ONCE, faults=FaultPlan([Fault.error("AccessDeniedException", "DescribeProjects", after=1, times=1)])
    )
    abandon(model)
    with pytest.raises(errors.SweepIncomplete, match="1 models were stopped") as caught:
        model.client.sweep(regions=["eu-west-1", "us-east-1"])
    assert caught.value.stopped == (model.arn,)
    assert [type(error) for error in caught.value.errors] == [errors.AccessDenied]
    assert model.status == "STOPPED"


def test_what_runs_is_found_in_every_region(open_model: Callable[..., ModelVersion]) -> None:
    """The forgotten model is often in the Region that nobody looks at."""
    model = open_model()
    abandon(model)
    elsewhere = type(model.client)(model.client.session, region_name="eu-west-1", retry=QUICK)
    assert list(elsewhere.running_models()) == []
    (running,) = elsewhere.running_models(regions=["eu-west-1", "us-east-1"])
    assert running.arn == model.arn
    (swept,) = elsewhere.sweep(regions=["eu-west-1", "us-east-1"])
    assert (swept.arn, swept.client.region_name) == (model.arn, "us-east-1")
    assert model.status == "STOPPED"


def test_the_lambda_function_sweeps_its_regions(
    open_model: Callable[..., ModelVersion], workspace: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example, called as AWS Lambda calls it."""
    abandon(open_model())
    handler = runpy.run_path(str(ROOT / "examples" / "sweep_lambda.py"))["handler"]
    with LocalService(workspace[0], engine="tiny") as service, service.serve() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("REGIONS", "eu-west-1,us-east-1")
        assert handler({}, None) == {"stopped": [workspace[1]]}
        service.client(retry=QUICK).model(workspace[1]).wait_until_stopped()
        assert handler({}, None) == {"stopped": []}


def test_the_lambda_function_needs_what_the_page_says() -> None:
    """The actions of its policy are those that were seen at the wire when the page was made."""
    example = (ROOT / "examples" / "sweep_lambda.py").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "iam.md").read_text(encoding="utf-8")
    sweeping = page.partition("\n## Sweep\n")[2].partition("\n## ")[0]
    actions = [sorted(set(re.findall(r"rekognition:[A-Z][a-z]\w+", text))) for text in (example, sweeping)]
    assert len(actions[0]) == 6
    assert actions[0] == actions[1]


def test_signals_end_in_good_order_while_any_block_is_open(open_model: Callable[..., ModelVersion]) -> None:
    """In whatever order blocks are left, the program has its own handlers back after the last."""
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
def test_a_limit_is_more_than_nothing(
    open_model: Callable[..., ModelVersion], limit: str, value: float
) -> None:
    """A limit that would stop the model at once, or never, is a mistake."""
    with pytest.raises(errors.InvalidInput, match=f"{limit} is {value!r}; expected more than 0"):
        open_model().running(**{limit: value})  # type: ignore[arg-type] # each limit is a float


def test_a_block_is_entered_once(open_model: Callable[..., ModelVersion]) -> None:
    """A second time would run the model without anybody who stops it."""
    lease = open_model().running()
    with lease as running:
        pass
    with pytest.raises(errors.InvalidInput, match="entered once"), lease:
        pass
    with pytest.raises(errors.LeaseEnded, match="its block was left"):
        running.detect(b"\xff\xd8\xff")


def test_what_joins_reckons_with_the_units_that_run(
    open_model: Callable[..., ModelVersion], caplog: pytest.LogCaptureFixture
) -> None:
    """A limit of cost goes by the units of the model, and not by those that were asked for."""
    clock = ManualClock()
    model = open_model(attrs.evolve(QUICK, clock=clock))
    with model.running(min_inference_units=4):
        lease = again(model, attrs.evolve(QUICK, clock=clock)).running(max_cost=16)  # 16 dollars an hour
        with lease as running:
            clock.advance(3590)
            lease.check()
            with pytest.raises(errors.ImageRejected):
                running.detect(b"no image")
            clock.advance(10)
            lease.check()
            with pytest.raises(errors.LeaseEnded, match="max_cost"):
                running.detect(b"no image")
        assert model.status == "RUNNING"
        with again(model).running(min_inference_units=5):
            assert "with 4 inference units and not 5" in caplog.text


def test_the_end_of_the_interpreter_waits_for_a_word_on_its_way(
    open_model: Callable[..., ModelVersion],
) -> None:
    """A thread says that it uses the model while the interpreter gives that back: no word of it stays."""
    model = open_model()
    lease = again(model).running()
    end = threading.Thread(target=lease._release)

    def end_now() -> None:
        end.start()
        end.join(0.2)  # it cannot end: the word is on its way

    before(lease._model.client, "TagResource", end_now)
    with pytest.raises(errors.LeaseEnded):
        lease.__enter__()
    end.join()
    assert model.tags == {}
