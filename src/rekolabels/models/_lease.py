"""Running a model without leaving a bill behind."""

from __future__ import annotations

import logging
import os
import threading
import uuid
from importlib import import_module
from typing import TYPE_CHECKING

from rekolabels._aws._waiting import wait_until
from rekolabels.errors import (
    ConnectionFailed,
    InvalidInput,
    LeaseEnded,
    RekolabelsError,
    ResourceInUse,
    ResourceNotFound,
    ServiceFault,
    WaitTimedOut,
)
from rekolabels.inference import Detects
from rekolabels.models._exit_signals import guard, unguard
from rekolabels.models._lease_tags import (
    GOOD_FOR,
    ROUNDS,
    Marks,
    stop_unless_used,
    take_back_started,
    wait_while,
    write_lease,
    write_started,
)
from rekolabels.models._status import model_failed

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from rekolabels.costs import Prices
    from rekolabels.descriptions import ModelDescription
    from rekolabels.models._model_version import ModelVersion

__all__ = ["Lease", "RunningModel"]

_RENEWED_EVERY = GOOD_FOR / 5
"""Seconds; three minutes leave room for machines whose clocks differ by ten."""
_WATCHED_EVERY = 60.0
_IN_DOUBT = (ConnectionFailed, ServiceFault)
"""Errors after which nobody can say whether the call has done its work."""

_log = logging.getLogger("rekolabels")


class Lease:
    """The time for which a model runs; a context manager that gives a :class:`RunningModel`, once.

    Args:
        model: The model version.
        min_inference_units: Units to start with.
        max_inference_units: Upper bound for auto-scaling.
        idle_timeout: Seconds without a call.
        max_duration: Seconds from the start of the model, or from joining it.
        max_cost: US dollars, and the prices to reckon with.
        stop_joined: Stop also a model that somebody else has started.
        timeout: Seconds to wait for the start, and again for the stop.
    """

    def __init__(
        self,
        model: ModelVersion,
        *,
        min_inference_units: int,
        max_inference_units: int | None,
        idle_timeout: float | None,
        max_duration: float | None,
        max_cost: tuple[float, Prices] | None,
        stop_joined: bool,
        timeout: float | None,
    ) -> None:
        _more_than_nothing("idle_timeout", idle_timeout)
        _more_than_nothing("max_duration", max_duration)
        _more_than_nothing("max_cost", max_cost[0] if max_cost else None)
        self._model = model
        self._units = (min_inference_units, max_inference_units)
        self._idle_timeout = idle_timeout
        self._limits = {} if max_duration is None else {"max_duration is reached": max_duration}
        self._max_cost = max_cost
        self._stop_joined = stop_joined
        self._timeout = timeout
        self._policy = model.client.retry
        self._id = uuid.uuid4().hex[:12]
        self._pid = os.getpid()
        self._changing = threading.Lock()
        self._over = threading.Event()
        self._in_doubt = self._running = self._leaving = self._left = self._stopping = False
        self._reason: str | None = None
        self._began = self._used = self._renewed = self._policy.clock()

    # the block

    def __enter__(self) -> RunningModel:
        if self._leaving:
            raise InvalidInput("A block is entered once: ask for another with model.running().")
        # The stop waits by it. A signal in the middle of an import leaves a library half loaded for good: so
        # it is loaded while there is nothing to stop.
        import_module("tenacity")

        guard(self._release)
        try:
            self._come()
            # Now and not when the model runs: a start may take longer than the word of a process is good.
            threading.Thread(target=self._watch, name="rekolabels-lease", daemon=True).start()
            self._take()
        except BaseException:
            # Also Ctrl-C while the model starts: it would run for nobody.
            self._try(self._release)
            raise
        return RunningModel(self._model, self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._release()
        else:
            self._try(self._release)  # what went wrong in the block is what the caller must know

    # the beginning

    def _come(self) -> None:
        """Say that we use the model; without that nothing is started."""
        # The interpreter may end while another thread is here: what is given back is not said after that.
        with self._changing:
            if self._leaving:
                raise self._ended()
            try:
                write_lease(self._model, self._id)
            except RekolabelsError as error:
                if not isinstance(error, _IN_DOUBT):
                    self._left = True  # there is nothing to give back
                    unguard(self._release)
                raise
        self._renewed = self._policy.clock()

    def _take(self) -> None:
        """Make the model run, or join it where it runs; tags are read before the status, see _marks."""
        for _ in range(ROUNDS):
            if Marks.of(self._model).leavers:
                self._wait_for_the_leaver()
                continue
            status = self._model.status
            self._began = self._policy.clock()
            if status == "STOPPING":
                wait_while(self._model, "STOPPING", timeout=self._timeout)
            elif status in {"STARTING", "RUNNING"} or self._start():
                self._set_out(self._model.wait_until_running(timeout=self._timeout))
                return
        raise ResourceInUse(
            f"The model version {self._model.version_name!r} is started and stopped by others all the time.",
            operation="StartProjectVersion",
            code="ResourceInUseException",
        )

    def _start(self) -> bool:
        """Start the model; False when somebody was quicker."""
        with self._changing:  # the same: what is given back is not started after that
            if self._leaving:
                raise self._ended()
            return self._is_started()

    def _is_started(self) -> bool:
        write_started(self._model, self._id)
        self._in_doubt = True  # until there is an answer; Ctrl-C may come before it
        try:
            self._model.start(min_inference_units=self._units[0], max_inference_units=self._units[1])
        except RekolabelsError as error:
            if isinstance(error, _IN_DOUBT):
                raise  # perhaps it starts: then it is ours
            self._in_doubt = False
            # It does not start by our doing: whoever stops it later must not take it for ours.
            take_back_started(self._model, self._id)
            if isinstance(error, ResourceInUse) and self._model.status in {"STARTING", "RUNNING", "STOPPING"}:
                return False
            raise
        self._in_doubt = False
        return True

    def _wait_for_the_leaver(self) -> None:
        wait_until(
            lambda: Marks.of(self._model),
            lambda marks: not marks.leavers or self._model.status not in {"STARTING", "RUNNING"},
            policy=self._policy,
            timeout=self._timeout,
            timed_out=lambda _, waited: WaitTimedOut(
                f"Another process has been stopping {self._model.version_name!r} for {waited:.0f} s.",
                arn=self._model.arn,
                status="RUNNING",
                waited=waited,
            ),
        )

    def _set_out(self, found: ModelDescription) -> None:
        """Note what runs: a model that was joined may have other units than were asked for."""
        units = found.min_inference_units or self._units[0]
        if units < self._units[0]:
            _log.warning(
                "%s runs already, with %d inference units and not %d",
                self._model.version_name,
                units,
                self._units[0],
            )
        if self._max_cost is not None:
            dollars, prices = self._max_cost
            hourly = prices.running(3600, found.max_inference_units or units)
            if hourly:
                # A new one: the watchdog may be reading the old one.
                self._limits = {**self._limits, "max_cost is reached": 3600 * dollars / hourly}
        self._used = self._policy.clock()
        self._running = True

    # while it runs

    def touch(self) -> None:
        """Note that the model is used.

        Raises:
            LeaseEnded: The lease has ended.
        """
        if self._reason is not None:
            raise self._ended()
        self._used = self._policy.clock()

    def _ended(self) -> LeaseEnded:
        return LeaseEnded(f"The lease of {self._model.version_name!r} has ended: {self._reason}.")

    def check(self) -> None:
        """Look at the limits, renew the lease, and end it where a limit is reached."""
        if self._leaving:
            self._release()  # a stop that failed is tried again
            return
        reason = self._reached() if self._running else None
        if reason is None and self._policy.clock() - self._renewed >= _RENEWED_EVERY:
            reason = self._renew()
        if reason is not None:
            self._reason = reason
            _log.warning("stopping %s: %s", self._model.version_name, reason)
            self._release()

    def _reached(self) -> str | None:
        now = self._policy.clock()
        if self._idle_timeout is not None and now - self._used >= self._idle_timeout:
            return f"the model was not used for {self._idle_timeout:g} s"
        return next((reason for reason, limit in self._limits.items() if now - self._began >= limit), None)

    def _renew(self) -> str | None:
        """Give our word again; a reason to end when the model was stopped behind our back."""
        with self._changing:
            if self._leaving:
                return None
            try:
                write_lease(self._model, self._id)
                gone = self._running and self._model.status not in {"STARTING", "RUNNING"}
            except ResourceNotFound:
                gone = True
            self._renewed = self._policy.clock()
        return "somebody else has stopped the model" if gone else None

    def _watch(self) -> None:
        while not self._over.wait(self._period()):
            self._try(self.check)

    def _period(self) -> float:
        """Seconds between two looks: a limit is kept to within a tenth."""
        limits = [*self._limits.values(), *([self._idle_timeout] if self._idle_timeout else [])]
        return min([_WATCHED_EVERY, *(max(0.05, limit / 10) for limit in limits)])

    def _try(self, action: Callable[[], None]) -> None:
        """Do what must not end the watchdog, nor hide another error."""
        try:
            action()
        except Exception as error:  # noqa: BLE001 -- whatever it is: a watchdog that dies costs money
            _log.warning(
                "%s may still be running: %s. It is tried again while this process lives; client.sweep() "
                "stops it after that.",
                self._model.version_name,
                error,
                exc_info=not isinstance(error, RekolabelsError),
            )

    # the end

    def _release(self) -> None:
        """Give the lease back, and stop the model if nobody else has one; what was done is not done again."""
        if os.getpid() != self._pid:
            return  # a fork of the process that holds the lease
        self._reason = self._reason or "its block was left"
        self._leaving = True
        with self._changing:
            if not self._left:
                self._stopping = stop_unless_used(
                    self._model,
                    self._id,
                    in_doubt=self._in_doubt,
                    stop_joined=self._stop_joined,
                    timeout=self._timeout,
                )
                self._left = True
                self._over.set()
                unguard(self._release)
        if self._stopping:
            found = wait_while(self._model, "STOPPING", timeout=self._timeout)
            if found is not None and found.status == "FAILED":
                raise model_failed(found)


def _more_than_nothing(name: str, value: float | None) -> None:
    if value is not None and not value > 0:
        raise InvalidInput(f"{name} is {value!r}; expected more than 0, or None for no limit.")


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
