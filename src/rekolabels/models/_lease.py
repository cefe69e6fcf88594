"""``Lease``: the context manager behind ``model.running()``, which starts, watches and stops a model."""

from __future__ import annotations

import logging
import os
import threading
import uuid
from contextlib import contextmanager, suppress
from enum import Enum, auto
from importlib import import_module
from typing import TYPE_CHECKING, Final, Generic, NoReturn, TypeVar

from rekolabels._aws._connection import connection_of
from rekolabels._aws._waiting import wait_until
from rekolabels.errors import (
    ConnectionFailed,
    InvalidInput,
    LeaseEnded,
    RekolabelsError,
    ResourceInUse,
    ResourceNotFound,
    ServiceClosed,
    ServiceFault,
    WaitTimedOut,
)
from rekolabels.models._exit_signals import deferring_signals, register, unregister
from rekolabels.models._lease_tags import (
    ACTIVE_STATUSES,
    LEASE_TTL,
    MAX_ATTEMPTS,
    LeaseTags,
    remove_started,
    stop_unless_used,
    wait_until_settled,
    wait_while,
    write_lease,
)
from rekolabels.models._status import model_failed

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from contextlib import AbstractContextManager
    from types import TracebackType

    from rekolabels.costs import Prices
    from rekolabels.descriptions import ModelDescription
    from rekolabels.models._handle import ModelHandle

__all__ = ["Lease", "LeaseState"]

_RENEWAL_INTERVAL = LEASE_TTL / 5
"""Seconds; at three minutes, a lease is valid everywhere even if two machines' clocks differ by ten."""
_MAX_CHECK_INTERVAL = 60.0
"""Seconds."""
_BLOCK_LEFT = "its block was left"
_STOPPED_ELSEWHERE = "the model was stopped by another process or user"
_SERVICE_CLOSED = "the embedded service was closed"
_UNCERTAIN_ERRORS = (ConnectionFailed, ServiceFault)
"""Errors after which the service may or may not have carried out the call."""

R = TypeVar("R")
"""What the block gets; a ``RunningModel``."""

_log = logging.getLogger("rekolabels")


class LeaseState(Enum):
    """Where a lease is between entering its block and having released the model."""

    NEW = "not entered"
    """The block has not been entered."""
    JOINING = "waiting for the model to run"
    """The block was entered. The lease writes its tag, and starts the model or joins a running one."""
    STARTING = "start requested"
    """A start was requested, and is not answered or not yet visible in the tags."""
    RUNNING = "running"
    """The model runs, and the limits of the block apply."""
    RELEASING = "being released"
    """The lease removes its tags, and stops the model unless another process uses it. Retried on errors."""
    RELEASING_UNCERTAIN = "being released; a start has no answer"
    """As ``RELEASING``, but a requested start has no answer: wait and see whether the model starts."""
    STOPPING = "released; the model was told to stop"
    """Final. The tags are removed and the service has accepted the stop; each release waits for its end."""
    RELEASED = "released"
    """Final. The tags are removed and this process does not stop the model."""


class _Event(Enum):
    """What moves a lease to another state."""

    ENTER = auto()
    """The block is entered."""
    REFUSE = auto()
    """The lease tag was refused, so that there is nothing to release."""
    REQUEST_START = auto()
    """A start is about to be requested."""
    ANSWER_START = auto()
    """The service has refused the request; or it has accepted it, and the tags show that."""
    RUN = auto()
    """The model has the status RUNNING."""
    RELEASE = auto()
    """The block ends, a limit is reached, or the interpreter exits; again for each retry."""
    STOP = auto()
    """The service has accepted the stop."""
    LEAVE = auto()
    """The tags are removed, and the model is left as it is."""


_TRANSITIONS: Final[Mapping[_Event, Mapping[LeaseState, LeaseState]]] = {
    _Event.ENTER: {LeaseState.NEW: LeaseState.JOINING},
    _Event.REFUSE: {LeaseState.JOINING: LeaseState.RELEASED},
    _Event.REQUEST_START: {LeaseState.JOINING: LeaseState.STARTING},
    _Event.ANSWER_START: {LeaseState.STARTING: LeaseState.JOINING},
    _Event.RUN: {LeaseState.JOINING: LeaseState.RUNNING},
    _Event.RELEASE: {
        LeaseState.NEW: LeaseState.RELEASING,
        LeaseState.JOINING: LeaseState.RELEASING,
        LeaseState.STARTING: LeaseState.RELEASING_UNCERTAIN,
        LeaseState.RUNNING: LeaseState.RELEASING,
        LeaseState.RELEASING: LeaseState.RELEASING,
        LeaseState.RELEASING_UNCERTAIN: LeaseState.RELEASING_UNCERTAIN,
        LeaseState.STOPPING: LeaseState.STOPPING,
        LeaseState.RELEASED: LeaseState.RELEASED,
    },
    _Event.STOP: {
        LeaseState.RELEASING: LeaseState.STOPPING,
        LeaseState.RELEASING_UNCERTAIN: LeaseState.STOPPING,
    },
    _Event.LEAVE: {
        LeaseState.RELEASING: LeaseState.RELEASED,
        LeaseState.RELEASING_UNCERTAIN: LeaseState.RELEASED,
    },
}
"""The state that follows each event; an event is not possible in the states that it does not list."""


class Lease(Generic[R]):
    """The right of this process to use a running model, from entering to leaving a ``with`` block.

    ``model.running()`` returns a lease. It is entered once, and gives what ``make_running`` makes.

    Args:
        model: The model version.
        make_running: Makes the value of the ``with`` block from a function that raises an error after the
            lease has ended, and a context manager for each use of the model.
        min_inference_units: Units to start with.
        max_inference_units: Upper bound for auto-scaling.
        idle_timeout: Seconds without a call.
        max_duration: Seconds since the model was started or joined.
        max_cost: US dollars, and the prices to compute them with.
        stop_joined: Stop also a model that was not started by ``running()``.
        timeout: Seconds to wait for the start, and again for the stop.
    """

    def __init__(
        self,
        model: ModelHandle,
        make_running: Callable[[Callable[[], None], Callable[[], AbstractContextManager[None]]], R],
        *,
        min_inference_units: int,
        max_inference_units: int | None,
        idle_timeout: float | None,
        max_duration: float | None,
        max_cost: tuple[float, Prices] | None,
        stop_joined: bool,
        timeout: float | None,
    ) -> None:
        self._model = model
        self._make_running = make_running
        self._units = (min_inference_units, max_inference_units)
        self._idle_timeout = idle_timeout
        self._limits = {} if max_duration is None else {"max_duration was reached": max_duration}
        self._max_cost = max_cost
        self._stop_joined = stop_joined
        self._timeout = timeout
        self._policy = connection_of(model).retry
        self._id = uuid.uuid4().hex[:12]
        self._pid = os.getpid()
        self._lock = threading.Lock()  # held while the state or the tags of this lease change
        self._released = threading.Event()
        self._state = LeaseState.NEW
        # Set before a release waits for the lock, so that no other thread writes a tag or starts the model.
        self._end_reason: str | None = None
        self._began_at = self._used_at = self._renewed_at = self._policy.clock()
        self._uses = 0  # calls in progress
        self._uses_lock = threading.Lock()
        # When this lease requested a start that was not refused, in seconds since the epoch.
        self._started_at: float | None = None

    def detect(self, *_: object, **__: object) -> NoReturn:
        """Raise the error for a block that was not entered.

        Raises:
            InvalidInput: Always.
        """
        raise InvalidInput(
            f"{self!r} is used without `with`. Use `with model.running() as running: running.detect(image)`; "
            "the end of the block stops the model."
        )

    detect_many = detect

    def __repr__(self) -> str:
        return f"<Lease of model version {self._model.version_name!r}: {self._state.value}>"

    def _apply(self, event: _Event) -> None:
        self._state = _TRANSITIONS[event][self._state]

    @deferring_signals  # between the calls, nothing would release the model or make the watchdog do it
    def __enter__(self) -> R:
        self._enter_once()
        # The stop needs tenacity. A signal during an import would leave it half loaded, and the model could
        # not be stopped, so import it while there is nothing to stop.
        import_module("tenacity")

        register(self._release)
        try:
            self._write_lease()
            # Start renewing now: startup may outlast the lease TTL.
            threading.Thread(target=self._watch, name="rekolabels-lease", daemon=True).start()
            self._start_or_join()
            return self._make_running(self._require_held, self._using)
        except BaseException:
            # Includes Ctrl-C during startup, which would leave the model running without a user.
            self._log_errors(self._release)
            raise

    @deferring_signals
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_reason = self._end_reason or _BLOCK_LEFT
        try:
            if error is None:
                self._release()
            else:
                self._log_errors(self._release)  # raise the error of the block rather than one of the stop
        except (KeyboardInterrupt, SystemExit):
            # A signal interrupted the release. What follows, such as the end of an embedded service around
            # this block, may leave the watchdog no time to repeat it.
            self._log_errors(self._stop_or_leave)
            raise

    def _enter_once(self) -> None:
        with self._lock:
            if self._state is not LeaseState.NEW:
                raise InvalidInput(
                    "A running() block can be entered only once. Call model.running() again for a new one."
                )
            self._apply(_Event.ENTER)

    def _write_lease(self) -> None:
        """Tag the model as used by this process; without the tag it is not started."""
        with self._lock:
            if self._end_reason is not None:
                raise self._ended()
            try:
                write_lease(self._model, self._id)
            except RekolabelsError as error:
                if not isinstance(error, _UNCERTAIN_ERRORS):
                    self._apply(_Event.REFUSE)
                    unregister(self._release)
                raise
        self._renewed_at = self._policy.clock()

    def _start_or_join(self) -> None:
        """Start or join the model. Tags are read before the status, as explained in ``_lease_tags``."""
        for _ in range(MAX_ATTEMPTS):
            is_stopping = bool(LeaseTags.fetch(self._model).stopping)
            status = self._model.status
            if is_stopping and status in {"STARTING", "RUNNING"}:
                self._wait_for_other_stop()
                continue
            self._began_at = self._policy.clock()
            if status == "STOPPING":
                wait_while(self._model, "STOPPING", timeout=self._timeout)
            elif status in {"STARTING", "RUNNING"} or self._start():
                self._begin(self._model.wait_until_running(timeout=self._timeout))
                return
        raise ResourceInUse(
            f"Could not start model version {self._model.version_name!r}: other processes keep starting and "
            "stopping it.",
            operation="StartProjectVersion",
            code="ResourceInUseException",
        )

    def _start(self) -> bool:
        """Start the model; return False if another process was faster."""
        with self._lock:
            if self._end_reason is not None:
                raise self._ended()
            self._write_start()
            self._apply(_Event.REQUEST_START)  # before the request, which Ctrl-C may interrupt
            try:
                self._model.start(min_inference_units=self._units[0], max_inference_units=self._units[1])
            except RekolabelsError as error:
                if isinstance(error, _UNCERTAIN_ERRORS):
                    raise  # it may start, and this process then has to stop it
                self._apply(_Event.ANSWER_START)
                self._started_at = None
                # With the tag, a sweep could later stop a model that another user has started.
                remove_started(self._model, self._id)
                if isinstance(error, ResourceInUse) and self._model.status in ACTIVE_STATUSES:
                    return False
                raise
        wait_until_settled(self._model, self._id, self._write_tags)
        with self._lock:
            if self._end_reason is None:
                self._apply(_Event.ANSWER_START)
        return True

    def _write_start(self) -> None:
        """Tag the model as started by this lease. Repeat that if the process has slept meanwhile."""
        for _ in range(MAX_ATTEMPTS):
            self._started_at = self._policy.time()
            write_lease(self._model, self._id, self._started_at)
            if self._policy.time() - self._started_at < _RENEWAL_INTERVAL:
                return

    def _write_tags(self) -> None:
        """Write the tags of this lease.

        Raises:
            LeaseEnded: The lease has ended.
        """
        with self._lock:
            if self._end_reason is not None:
                raise self._ended()
            write_lease(self._model, self._id, self._started_at)

    def _wait_for_other_stop(self) -> None:
        """Wait until no other process is about to stop the model, or it no longer runs."""
        wait_until(
            lambda: LeaseTags.fetch(self._model),
            lambda tags: not tags.stopping or self._model.status not in {"STARTING", "RUNNING"},
            policy=self._policy,
            timeout=self._timeout,
            timed_out=lambda _, waited: WaitTimedOut(
                f"Could not start model version {self._model.version_name!r}: another process has been "
                f"stopping it for {waited:.0f} s.",
                arn=self._model.arn,
                status="RUNNING",
                waited=waited,
            ),
        )

    def _begin(self, found: ModelDescription) -> None:
        """Apply the limits to the running model, which has other units than requested if it was joined."""
        units = found.min_inference_units or self._units[0]
        if units < self._units[0]:
            _log.warning(
                "%s is already running with %d inference unit%s (requested %d).",
                self._model.version_name,
                units,
                "s" * (units != 1),
                self._units[0],
            )
        if self._max_cost is not None:
            dollars, prices = self._max_cost
            hourly = prices.running(3600, found.max_inference_units or units)
            if hourly:
                # Replaced rather than changed, because the watchdog may be iterating over it.
                self._limits = {**self._limits, "max_cost was reached": 3600 * dollars / hourly}
        self._used_at = self._policy.clock()
        with self._lock:
            if self._end_reason is None:
                self._apply(_Event.RUN)

    def _require_held(self) -> None:
        """Check that the model may be used.

        Raises:
            LeaseEnded: The lease has ended.
        """
        if self._end_reason is not None:
            raise self._ended()

    @contextmanager
    def _using(self) -> Generator[None]:
        """Keep the model from being idle during a call.

        Raises:
            LeaseEnded: The lease has ended.
        """
        self._require_held()
        with self._uses_lock:
            self._uses += 1
        try:
            yield
        finally:
            with self._uses_lock:
                self._uses -= 1
                self._used_at = self._policy.clock()

    def _ended(self) -> LeaseEnded:
        return LeaseEnded(
            f"The lease of model version {self._model.version_name!r} has ended: {self._end_reason}. "
            "Use the model in a new `with model.running() as running:` block."
        )

    def _check(self) -> None:
        """Release the model if a limit is reached, and renew the lease if it is due."""
        if self._end_reason is not None:
            self._release()  # retry a stop that failed
            return
        reason = self._limit_reached() if self._state is LeaseState.RUNNING else None
        if reason is None and self._policy.clock() - self._renewed_at >= _RENEWAL_INTERVAL:
            reason = self._renew()
        if reason is not None:
            self._end_reason = reason
            if reason == _STOPPED_ELSEWHERE:
                self._started_at = None  # a later start is not ours
            level = logging.DEBUG if reason == _SERVICE_CLOSED else logging.WARNING
            _log.log(level, "Stopping %s: %s.", self._model.version_name, reason)
            self._release()

    def _limit_reached(self) -> str | None:
        now = self._policy.clock()
        if self._idle_timeout is not None and not self._uses and now - self._used_at >= self._idle_timeout:
            return f"the model was not used for {self._idle_timeout:g} s"
        return next((reason for reason, limit in self._limits.items() if now - self._began_at >= limit), None)

    def _renew(self) -> str | None:
        """Renew the lease; return the reason if the model was stopped elsewhere."""
        with self._lock:
            if self._end_reason is not None:
                return None
            try:
                write_lease(self._model, self._id, self._started_at)
                stopped = self._state is LeaseState.RUNNING and self._model.status not in {
                    "STARTING",
                    "RUNNING",
                }
            except ServiceClosed:
                return _SERVICE_CLOSED
            except ResourceNotFound:
                stopped = True
            self._renewed_at = self._policy.clock()
        return _STOPPED_ELSEWHERE if stopped else None

    def _watch(self) -> None:
        """Check the lease periodically until it is released; runs in a thread of its own."""
        while not self._released.wait(self._check_interval()):
            self._log_errors(self._check)

    def _check_interval(self) -> float:
        """Return the seconds between two checks, short enough to keep each limit to within a tenth."""
        limits = [*self._limits.values(), *([self._idle_timeout] if self._idle_timeout else [])]
        return min([_MAX_CHECK_INTERVAL, *(max(0.05, limit / 10) for limit in limits)])

    def _log_errors(self, action: Callable[[], None]) -> None:
        """Run an action and log its error, which must neither end the watchdog nor hide another error."""
        try:
            action()
        except Exception as error:  # noqa: BLE001 -- a watchdog that dies leaves a model running
            if self._end_reason is None:
                message = "Could not renew the lease of %s (%s). Retrying while this process runs."
            elif self._state is LeaseState.STOPPING:
                message = "The service accepted the stop of %s, but it was not confirmed (%s)."
            else:
                message = (
                    "Could not stop %s (%s). Retrying while this process runs; afterwards client.sweep() "
                    "stops it."
                )
            _log.warning(
                message,
                self._model.version_name,
                error,
                exc_info=not isinstance(error, RekolabelsError),
            )

    def _release(self) -> None:
        """Release the lease, and stop the model unless another process uses it. Idempotent."""
        self._stop_or_leave()
        if self._state is LeaseState.STOPPING and os.getpid() == self._pid:
            with suppress(ServiceClosed):
                found = wait_while(self._model, "STOPPING", timeout=self._timeout)
                if found is not None and found.status == "FAILED":
                    raise model_failed(found)

    def _stop_or_leave(self) -> None:
        """Release the lease without waiting for the end of a stop. Idempotent."""
        if os.getpid() != self._pid:
            return  # a fork does not hold the lease of its parent
        self._end_reason = self._end_reason or _BLOCK_LEFT
        with self._lock:
            self._apply(_Event.RELEASE)
            if self._state in {LeaseState.STOPPING, LeaseState.RELEASED}:
                unregister(self._release)  # the watchdog cannot restore the signal handlers
                return
            try:
                is_stopping = stop_unless_used(
                    self._model,
                    self._id,
                    started_at=self._started_at,
                    start_uncertain=self._state is LeaseState.RELEASING_UNCERTAIN,
                    stop_joined=self._stop_joined,
                    timeout=self._timeout,
                )
            except ServiceClosed:
                is_stopping = False  # nothing runs in a closed embedded service
            self._apply(_Event.STOP if is_stopping else _Event.LEAVE)
            self._released.set()
            unregister(self._release)
