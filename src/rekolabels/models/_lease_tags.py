"""Lease tags: how processes that share a running model see each other, and how the last one stops it.

The service does not report who started a model or why, and stops it for any caller. So each lease has an id,
and its process writes tags with that id on the model version:

* ``rekolabels:started:<id>``: the process started the model, and when. Leases and sweeps stop only models
  that have such a tag.
* ``rekolabels:lease:<id>``: the process uses the model; the value is the time at which the lease expires. The
  process renews it while it runs.
* ``rekolabels:ending:<id>``: the process no longer uses the model and is about to stop it.

The order of writes and reads keeps a model from being stopped under a process that has just joined it. A
process that leaves writes its ``ending`` tag before it reads the leases of others. A process that joins
writes its ``lease`` tag before it reads the ``ending`` tags of others. So at least one of the two sees the
tag of the other and yields: the leaving process does not stop the model, the joining process waits.

A process may sleep (a suspended laptop, SIGSTOP) until its tags have expired and a sweep has removed them,
and then start the model. So it writes its tags again after the start, and then reads all tags until its own
are there and no other process is about to remove tags. A sweep writes an ``ending`` tag before it reads the
tags that it removes. The process also remembers that it started the model, whatever the tags say.

The times in the tags are those of each machine. AWS rejects requests whose clock is off by more than five
minutes, so that the clocks of two machines differ by at most ten. A lease is valid for fifteen minutes and is
renewed every three, so that all machines see the lease of a running process as valid. A tag whose time is
more than an hour ahead was not written by a lease, and has expired.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

import attrs

from rekolabels._aws._connection import connection_of
from rekolabels._aws._waiting import wait_until
from rekolabels.errors import (
    RekolabelsError,
    ResourceInUse,
    ResourceNotFound,
    ServiceClosed,
    WaitTimedOut,
)
from rekolabels.models._status import timed_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rekolabels.descriptions import ModelDescription
    from rekolabels.models._handle import ModelHandle

__all__ = [
    "ACTIVE_STATUSES",
    "LEASE_TTL",
    "MAX_ATTEMPTS",
    "LeaseTags",
    "announce_stop",
    "remove_announcement",
    "remove_started",
    "remove_tags",
    "stop_unless_used",
    "wait_until_settled",
    "wait_while",
    "write_lease",
]

LEASE_TTL = 900.0
"""Seconds for which a lease is valid after it was written or renewed."""
MAX_ATTEMPTS = 10
"""Attempts to start or stop a model while other processes start and stop it as well."""
_MAX_AHEAD = 3600.0
"""Seconds; a tag with a time further ahead than this was not written by a lease, and has expired."""
ACTIVE_STATUSES = frozenset({"STARTING", "RUNNING", "STOPPING"})
"""Statuses of a model that is billed or about to be."""

_STARTED = "rekolabels:started:"
_LEASE = "rekolabels:lease:"
_STOPPING = "rekolabels:ending:"

_SILENT_WAIT = 2.0
"""Seconds that a process which ends waits for a start before it says so."""
_START_DELAY = 30.0
"""Seconds after which a request of another process, or one that had no answer, is no longer expected."""

_log = logging.getLogger("rekolabels")


@attrs.frozen
class LeaseTags:
    """The lease tags of a model at one moment."""

    started: bool
    """Whether a lease started the model."""
    started_at: float | None
    """When a lease started the model, in seconds since the epoch; None if unknown."""
    holders: frozenset[str]
    """Ids of the leases that are valid and use the model."""
    stopping: frozenset[str]
    """Ids of the leases that are about to stop the model."""
    expired: tuple[str, ...]
    """Names of the tags whose time has passed."""
    names: tuple[str, ...]
    """Names of all lease tags."""

    @classmethod
    def fetch(cls, model: ModelHandle) -> LeaseTags:
        """Return the lease tags of a model (ListTagsForResource)."""
        return cls.parse(model.tags, connection_of(model).retry.time())

    @classmethod
    def parse(cls, tags: Mapping[str, str], now: float) -> LeaseTags:
        """Return the lease tags among all tags of a model; ``now`` is in seconds since the epoch."""
        times = {
            name: _seconds(value, now)
            for name, value in tags.items()
            if name.startswith((_STARTED, _LEASE, _STOPPING))
        }
        started = [time for name, time in times.items() if name.startswith(_STARTED)]
        leases = {name: time for name, time in times.items() if name.startswith(_LEASE)}
        endings = {name: time for name, time in times.items() if name.startswith(_STOPPING)}
        stopping = frozenset(name.removeprefix(_STOPPING) for name, until in endings.items() if until > now)
        holders = frozenset(name.removeprefix(_LEASE) for name, until in leases.items() if until > now)
        return cls(
            started=bool(started),
            # A stop removes the tag of its start, so older tags are of starts that never succeeded.
            started_at=max(started, default=0.0) or None,
            holders=holders - stopping,
            stopping=stopping,
            expired=tuple(name for name, until in {**leases, **endings}.items() if until <= now),
            names=tuple(times),
        )

    def stopping_tags_of_others(self, holder_id: str) -> tuple[str, ...]:
        """Return the names of the tags of other leases that are about to stop the model."""
        return tuple(_STOPPING + other for other in self.stopping - {holder_id})

    @property
    def abandoned(self) -> bool:
        """Whether a lease started the model and no lease uses it any more."""
        return self.started and not self.holders


def write_lease(model: ModelHandle, holder_id: str, started_at: float | None = None) -> None:
    """Write or renew a lease, which is then valid for ``LEASE_TTL`` seconds.

    Args:
        model: The model version.
        holder_id: Id of the lease.
        started_at: When the lease started the model, in seconds since the epoch; None if it did not.
    """
    _write(model, _LEASE + holder_id, holder_id, started_at)


def wait_until_settled(model: ModelHandle, holder_id: str, renew: Callable[[], None]) -> None:
    """Write the tags of a lease that has started the model until no other process may remove them.

    Gives up after ``_START_DELAY`` seconds, because the other process may have been killed.

    Args:
        model: The model version.
        holder_id: Id of the lease.
        renew: Writes the tags.
    """

    def is_settled() -> bool:
        renew()
        tags = LeaseTags.fetch(model)
        return tags.started and holder_id in tags.holders and not tags.stopping_tags_of_others(holder_id)

    try:
        wait_until(
            is_settled,
            bool,
            policy=connection_of(model).retry,
            timeout=_START_DELAY,
            timed_out=lambda _, waited: WaitTimedOut(
                f"Another process has been about to remove the lease tags of {model.version_name!r} for "
                f"{waited:.0f} s.",
                arn=model.arn,
                status=None,
                waited=waited,
            ),
        )
    except WaitTimedOut as error:
        _log.warning("%s The lease continues, and renews its tags.", error)


def remove_started(model: ModelHandle, holder_id: str) -> None:
    """Remove the record of a start that did not succeed."""
    remove_tags(model, [_STARTED + holder_id])


def remove_tags(model: ModelHandle, names: Iterable[str]) -> None:
    """Remove tags by name (UntagResource); other tags stay."""
    unique = list(dict.fromkeys(names))
    if not unique:
        return
    try:
        model.untag(*unique)
    except ResourceNotFound:
        _log.debug("Model version %s was deleted, and its tags with it.", model.version_name)


def stop_unless_used(
    model: ModelHandle,
    holder_id: str,
    *,
    started_at: float | None = None,
    start_uncertain: bool = False,
    stop_joined: bool = False,
    timeout: float | None = None,
) -> bool:
    """Release a model, and stop it if a lease started it and no other lease uses it.

    Returns when the service has accepted the stop, without waiting for its end. The tags are settled then.

    Args:
        model: The model version.
        holder_id: Id of the lease that is released.
        started_at: When that lease started the model, in seconds since the epoch; None if it did not.
        start_uncertain: The lease requested a start that has no answer, so that the model may start soon.
        stop_joined: Stop the model even if it was not started by a lease.
        timeout: Seconds to wait for a start in progress, which the service cannot interrupt.

    Returns:
        Whether the model is stopping now.

    Raises:
        ResourceInUse: Other processes keep starting and stopping the model.
    """
    for _ in range(MAX_ATTEMPTS):
        try:
            announce_stop(model, holder_id, started_at)
            tags = LeaseTags.fetch(model)
            status = model.status
        except ResourceNotFound:
            # The model was deleted; or it is not described yet, and no process must wait for our tags.
            remove_tags(model, [_LEASE + holder_id, _STOPPING + holder_id])
            return False
        is_ours = tags.started or stop_joined or started_at is not None
        if tags.holders - {holder_id} or not is_ours:
            remove_tags(model, [_LEASE + holder_id, _STOPPING + holder_id, *tags.expired])
            return False
        if start_uncertain and status not in ACTIVE_STATUSES:
            if _starts_late(model):
                continue
            # The "started" tag stays, so that a sweep finds the model if it should start even later.
            remove_tags(model, [_LEASE + holder_id, _STOPPING + holder_id, *tags.expired])
            return False
        if status == "STARTING":
            _wait_for_start(model, timeout=timeout)
            continue
        if status == "RUNNING":
            try:
                model.stop()
            except ResourceInUse:
                continue  # the status has just changed
            status = "STOPPING"
        remove_tags(model, set(tags.names).difference(tags.stopping_tags_of_others(holder_id)))
        return status == "STOPPING"
    raise ResourceInUse(
        f"Could not stop model version {model.version_name!r}: other processes keep starting and stopping "
        "it.",
        operation="StopProjectVersion",
        code="ResourceInUseException",
    )


def wait_while(
    model: ModelHandle, status: Literal["STARTING", "STOPPING"], *, timeout: float | None
) -> ModelDescription | None:
    """Wait until the model has left a status, whichever status follows.

    Returns:
        The first description with another status; None if the model was deleted.

    Raises:
        WaitTimedOut: The status did not change in ``timeout`` seconds.
    """

    def poll() -> ModelDescription | None:
        try:
            return model.describe()
        except ResourceNotFound:
            return None

    goal = {"STARTING": "running", "STOPPING": "stopped"}[status]
    return wait_until(
        poll,
        lambda found: found is None or found.status != status,
        policy=connection_of(model).retry,
        timeout=timeout,
        timed_out=lambda last, waited: timed_out(model.arn, goal, last, waited, f"wait_until_{goal}()"),
    )


def _wait_for_start(model: ModelHandle, *, timeout: float | None) -> None:
    """Wait for a start in progress, which the service cannot interrupt, and log a wait that takes a while."""
    try:
        wait_while(model, "STARTING", timeout=_SILENT_WAIT if timeout is None else min(timeout, _SILENT_WAIT))
    except WaitTimedOut:
        if timeout is not None and timeout <= _SILENT_WAIT:
            raise
        _log.warning("Waiting until %s has started, in order to stop it.", model.version_name)
        wait_while(model, "STARTING", timeout=timeout)


def _starts_late(model: ModelHandle) -> bool:
    """Wait for a start request without an answer; return whether the service carried it out."""
    _log.warning("Waiting to see whether %s starts, because the request had no answer.", model.version_name)
    try:
        wait_until(
            lambda: model.status,
            ACTIVE_STATUSES.__contains__,
            policy=connection_of(model).retry,
            timeout=_START_DELAY,
            timed_out=lambda status, waited: WaitTimedOut(
                f"Model version {model.version_name!r} did not start in {waited:.0f} s.",
                arn=model.arn,
                status=status,
                waited=waited,
            ),
        )
    except WaitTimedOut:
        return False
    return True


def announce_stop(model: ModelHandle, holder_id: str, started_at: float | None = None) -> None:
    """Write that a lease is about to stop the model, and once more when it started it."""
    try:
        _write(model, _STOPPING + holder_id, holder_id, started_at)
    except (ResourceNotFound, ServiceClosed):
        raise
    except RekolabelsError as error:
        # Stop all the same: a model left running costs more than the rare race with a joining process.
        _log.warning("Stopping %s without an announcement to other processes: %s", model.version_name, error)


def remove_announcement(model: ModelHandle, holder_id: str) -> None:
    """Remove what ``announce_stop`` wrote, because the model is not stopped."""
    remove_tags(model, [_STOPPING + holder_id])


def _write(model: ModelHandle, name: str, holder_id: str, started_at: float | None) -> None:
    tags = {name: str(int(connection_of(model).retry.time() + LEASE_TTL))}
    if started_at is not None:
        # Rounded down, so that a start is never recorded later than the model runs.
        tags[_STARTED + holder_id] = str(int(started_at))
    model.tag(tags)


def _seconds(value: str, now: float) -> float:
    """Return the time in a tag, in seconds since the epoch; 0 (expired) if no lease has written it."""
    try:
        seconds = float(value)
    except ValueError:
        return 0.0
    return seconds if 0.0 <= seconds <= now + _MAX_AHEAD else 0.0
