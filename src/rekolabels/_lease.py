"""Running a model without leaving a bill behind.

A running model costs money until somebody stops it, and the service does not say who started it or why. So
each process that runs a model writes tags on it:

* ``rekolabels:started:<id>``: a lease has started this model, and when. Only models with this tag are ever
  stopped by a lease or a sweep.
* ``rekolabels:lease:<id>``: a process uses the model, and until when its word is good. It is renewed while
  the process lives, and removed when it leaves. The last to leave stops the model.
* ``rekolabels:ending:<id>``: a process is about to stop the model. It is written before the others' leases
  are read, and a new lease is written before this is read: so of two processes, one leaving and one coming,
  at least one sees the other.
"""

from __future__ import annotations

import atexit
import logging
import signal
import threading
import uuid
from typing import TYPE_CHECKING, Any

from rekolabels._waiting import wait_until
from rekolabels.errors import LeaseEnded, RekolabelsError, ResourceInUse, ResourceNotFound, WaitTimedOut
from rekolabels.inference import Detects

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType, TracebackType

    from rekolabels.models import ModelVersion

__all__ = ["Lease", "RunningModel", "is_abandoned", "started_at", "sweep_up"]

_STARTED = "rekolabels:started:"
_LEASE = "rekolabels:lease:"
_ENDING = "rekolabels:ending:"
_GOOD_FOR = 900.0
"""Seconds after which the word of a process that was killed is no longer taken."""
_ROUNDS = 10

_log = logging.getLogger("rekolabels")


class Lease:
    """The time for which a model runs; a context manager that gives a :class:`RunningModel`."""

    def __init__(
        self,
        model: ModelVersion,
        *,
        min_inference_units: int,
        max_inference_units: int | None,
        idle_timeout: float | None,
        max_duration: float | None,
        cost_limit: float | None,
        stop_joined: bool,
        timeout: float | None,
    ) -> None:
        self._model = model
        self._units = (min_inference_units, max_inference_units)
        self._idle_timeout = idle_timeout
        limits = [limit for limit in (max_duration, cost_limit) if limit is not None]
        self._max_duration = min(limits) if limits else None
        self._costly = cost_limit is not None and self._max_duration == cost_limit
        self._stop_joined = stop_joined
        self._timeout = timeout
        self._policy = model.client.retry
        self._id = uuid.uuid4().hex[:12]
        self._tag = _LEASE + self._id
        self._over = threading.Event()
        self._ending = threading.Lock()
        self._released = False
        self._reason: str | None = None
        self._began = self._used = self._policy.clock()
        self._renewed = float("-inf")
        self._watchdog: threading.Thread | None = None
        self._old_handler: Any = None

    # the block

    def __enter__(self) -> RunningModel:
        self._guard()
        try:
            self._take()
        except BaseException:
            # Also Ctrl-C while the model starts: it would run for nobody.
            self._release()
            raise
        self._began = self._used = self._policy.clock()
        self._watchdog = threading.Thread(target=self._watch, name="rekolabels-lease", daemon=True)
        self._watchdog.start()
        return RunningModel(self._model, self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    # the beginning

    def _take(self) -> None:
        """Make the model run, or join it where it runs."""
        for _ in range(_ROUNDS):
            status = self._model.status
            if status == "STOPPING":
                self._model.wait_until_stopped(timeout=self._timeout)
            elif status in {"RUNNING", "STARTING"}:
                if self._join():
                    return
            elif self._start():
                return
        raise ResourceInUse(
            f"The model version {self._model.version_name!r} is started and stopped by others all the time.",
            operation="StartProjectVersion",
            code="ResourceInUseException",
        )

    def _join(self) -> bool:
        """Say that we use the model as well; False when somebody stops it in this moment."""
        self._renew()
        if any(name.startswith(_ENDING) for name in self._live_tags()):
            self._wait_for_the_leaver()
            return False
        self._model.wait_until_running(timeout=self._timeout)
        return True

    def _start(self) -> bool:
        """Start the model; False when somebody was quicker."""
        started = _STARTED + self._id
        self._renew({started: self._stamp(0)})
        try:
            self._model.start(min_inference_units=self._units[0], max_inference_units=self._units[1])
        except RekolabelsError as error:
            # It does not run by our doing: whoever stops it later must not take it for ours.
            self._untag([started])
            if isinstance(error, ResourceInUse) and self._model.status in {"STARTING", "RUNNING", "STOPPING"}:
                return False
            raise
        self._model.wait_until_running(timeout=self._timeout)
        return True

    def _wait_for_the_leaver(self) -> None:
        def gone(tags: Mapping[str, str]) -> bool:
            return not any(name.startswith(_ENDING) for name in tags) or self._model.status != "RUNNING"

        wait_until(
            self._live_tags,
            gone,
            policy=self._policy,
            timeout=self._timeout,
            timed_out=lambda _, waited: WaitTimedOut(
                f"Another process has been stopping {self._model.version_name!r} for {waited:.0f} s.",
                arn=self._model.arn,
                status="RUNNING",
                waited=waited,
            ),
        )

    # while it runs

    def touch(self) -> None:
        """Note that the model is used.

        Raises:
            LeaseEnded: A limit was reached and the lease has ended.
        """
        if self._reason is not None:
            raise LeaseEnded(f"The lease of {self._model.version_name!r} has ended: {self._reason}.")
        self._used = self._policy.clock()

    def check(self) -> None:
        """Look at the limits, renew the tag, and end the lease where a limit is reached."""
        now = self._policy.clock()
        if self._max_duration is not None and now - self._began >= self._max_duration:
            self._reason = "max_cost is reached" if self._costly else "max_duration is reached"
        elif self._idle_timeout is not None and now - self._used >= self._idle_timeout:
            self._reason = f"the model was not used for {self._idle_timeout:g} s"
        if self._reason is not None:
            _log.warning("stopping %s: %s", self._model.version_name, self._reason)
            self._release()
        elif now - self._renewed >= _GOOD_FOR / 3:
            self._renew()

    def _watch(self) -> None:
        limits = [limit for limit in (self._max_duration, self._idle_timeout) if limit is not None]
        period = min([60.0, *(max(0.05, limit / 10) for limit in limits)])
        while not self._over.wait(period):
            self._check_again_later()

    def _check_again_later(self) -> None:
        try:
            self.check()
        except RekolabelsError as error:
            _log.warning("the watchdog of %s goes on: %s", self._model.version_name, error)

    # the end

    def _release(self) -> None:
        """Give the lease back, and stop the model if nobody else has one; only the first call does it."""
        self._over.set()
        with self._ending:
            if self._released:
                return
            self._leave()
            self._released = True
        self._unguard()

    def _leave(self) -> None:
        model = self._model
        ending = _ENDING + self._id
        try:
            model.client.api.tag_resource(model.arn, {ending: self._stamp(_GOOD_FOR)})
        except ResourceNotFound:
            return  # the model was deleted: nothing runs
        # Before the others' leases are read: of two that leave at once, one must not wait for the other.
        self._untag([self._tag])
        tags = self._live_tags()
        others = any(name.startswith(_LEASE) for name in tags)
        ours = self._stop_joined or any(name.startswith(_STARTED) for name in tags)
        if others or not ours:
            self._untag([ending])
            return
        model.come_to_rest(timeout=self._timeout)
        self._untag([name for name in tags if name.startswith((_STARTED, _ENDING))])

    # tags

    def _live_tags(self) -> dict[str, str]:
        """The tags of the model, without leases and endings whose process is dead."""
        return live_tags(self._model.tags, self._policy.time())

    def _renew(self, more: Mapping[str, str] | None = None) -> None:
        self._renewed = self._policy.clock()
        tags = {self._tag: self._stamp(_GOOD_FOR), **(more or {})}
        self._model.client.api.tag_resource(self._model.arn, tags)

    def _untag(self, names: list[str]) -> None:
        try:
            self._model.client.api.untag_resource(self._model.arn, names)
        except ResourceNotFound:
            _log.debug("the model is gone, and its tags with it")

    def _stamp(self, ahead: float) -> str:
        return f"{self._policy.time() + ahead:.0f}"

    # the process

    def _guard(self) -> None:
        """Stop the model also when the interpreter ends or the process is told to."""
        atexit.register(self._release)
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self._old_handler = signal.signal(signal.SIGTERM, _leave_in_good_order)

    def _unguard(self) -> None:
        atexit.unregister(self._release)
        if self._old_handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._old_handler)
            self._old_handler = None


class RunningModel(Detects):
    """A model that runs for the time of a ``with`` block.

    Its methods raise :class:`~rekolabels.errors.LeaseEnded` after a limit of the block was reached and the
    model was stopped.
    """

    def __init__(self, model: ModelVersion, lease: Lease) -> None:
        self.model = model
        """The model version."""
        self.client = model.client
        """Its client."""
        self.arn = model.arn
        """ARN of the model version."""
        self._lease = lease

    def __repr__(self) -> str:
        return f"<RunningModel {self.arn}>"

    def _before_call(self) -> None:
        self._lease.touch()


def live_tags(tags: Mapping[str, str], now: float) -> dict[str, str]:
    """Leave out leases and endings whose time is over."""
    return {
        name: value
        for name, value in tags.items()
        if not name.startswith((_LEASE, _ENDING)) or _seconds(value) > now
    }


def sweep_up(model: ModelVersion) -> None:
    """Stop an abandoned model, and take away what its dead processes wrote on it."""
    model.come_to_rest()
    names = [name for name in model.tags if name.startswith((_STARTED, _LEASE, _ENDING))]
    model.client.api.untag_resource(model.arn, names)


def is_abandoned(tags: Mapping[str, str], now: float) -> bool:
    """Whether a lease has started the model and no process uses it any more."""
    live = live_tags(tags, now)
    return any(name.startswith(_STARTED) for name in live) and not any(
        name.startswith(_LEASE) for name in live
    )


def started_at(tags: Mapping[str, str]) -> float | None:
    """When a lease has started the model, in seconds since the epoch; None when none has."""
    times = [_seconds(value) for name, value in tags.items() if name.startswith(_STARTED)]
    return min(times, default=None)


def _seconds(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return 0.0  # somebody edited the tag: nobody's word


def _leave_in_good_order(number: int, _: FrameType | None) -> None:
    """Let SIGTERM end the process as ``sys.exit`` does, through every ``with`` block."""
    raise SystemExit(128 + number)
