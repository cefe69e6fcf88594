"""Who uses a running model: the tags that processes write on it, and how the last of them stops it.

The service does not say who started a model or why, and stops it for whoever asks. So each process that runs
a model has an id, and writes tags with it:

* ``rekolabels:started:<id>``: this process has started the model, and when. Only a model with such a tag is
  ever stopped by a lease or a sweep.
* ``rekolabels:lease:<id>``: the process uses the model, and until when its word is good. The tag is renewed
  while the process lives.
* ``rekolabels:ending:<id>``: the process is about to stop the model, and no longer uses it.

Two rules keep a model from being stopped under somebody who has just come. Who leaves writes its ending
before it reads the leases of the others; who comes writes its lease before it reads the endings. So of the
two at least one sees the other, and that one gives way: who leaves does not stop, who comes waits.

The times in the tags are those of the machines. AWS refuses requests of a clock that is off by more than five
minutes, so two machines differ by ten at the most: a living lease is good for fifteen minutes and renewed
every three, and so is taken for living everywhere.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

import attrs

from rekolabels._aws._waiting import wait_until
from rekolabels.errors import RekolabelsError, ResourceInUse, ResourceNotFound, WaitTimedOut
from rekolabels.models._status import timed_out

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rekolabels.descriptions import ModelDescription
    from rekolabels.models._model_version import ModelVersion

__all__ = [
    "GOOD_FOR",
    "ROUNDS",
    "Marks",
    "forget",
    "stop_unless_used",
    "take_back_started",
    "wait_while",
    "write_lease",
    "write_started",
]

GOOD_FOR = 900.0
"""Seconds after which the word of a process that was killed is no longer taken."""
ROUNDS = 10
"""How often a model is looked at again when others start and stop it at the same time."""

_STARTED = "rekolabels:started:"
_LEASE = "rekolabels:lease:"
_ENDING = "rekolabels:ending:"

_SETTLES = 30.0
"""Seconds after which a request that had no answer is no longer carried out."""
_BUSY = frozenset({"STARTING", "RUNNING", "STOPPING"})

_log = logging.getLogger("rekolabels")


@attrs.frozen
class Marks:
    """What the tags of a model say, at one moment."""

    started_at: float | None
    """When a process has started the model, in seconds since the epoch; None when none has."""
    users: frozenset[str]
    """Ids of the living processes that use it."""
    leavers: frozenset[str]
    """Ids of the living processes that are about to stop it."""
    dead: tuple[str, ...]
    """Names of tags whose word is no longer good."""
    names: tuple[str, ...]
    """Names of all tags of ours."""

    @classmethod
    def of(cls, model: ModelVersion) -> Marks:
        """Read the tags of a model (ListTagsForResource)."""
        return cls.read(model.tags, model.client.retry.time())

    @classmethod
    def read(cls, tags: Mapping[str, str], now: float) -> Marks:
        """Understand tags; those of others are left out."""
        started = [_seconds(value) for name, value in tags.items() if name.startswith(_STARTED)]
        leases = {name: _seconds(value) for name, value in tags.items() if name.startswith(_LEASE)}
        endings = {name: _seconds(value) for name, value in tags.items() if name.startswith(_ENDING)}
        leavers = frozenset(name.removeprefix(_ENDING) for name, until in endings.items() if until > now)
        users = frozenset(name.removeprefix(_LEASE) for name, until in leases.items() if until > now)
        return cls(
            # An older one is of a start that did not come about: a start that ended took its tag with it.
            started_at=max(started, default=None),
            users=users - leavers,
            leavers=leavers,
            dead=tuple(name for name, until in {**leases, **endings}.items() if until <= now),
            names=tuple(name for name in tags if name.startswith((_STARTED, _LEASE, _ENDING))),
        )

    def of_others(self, who: str) -> tuple[str, ...]:
        """Names of the tags by which others say that they are about to stop: who comes must wait for them."""
        return tuple(_ENDING + other for other in self.leavers - {who})

    @property
    def abandoned(self) -> bool:
        """Whether a process of ours has started the model, and none uses it any more."""
        return self.started_at is not None and not self.users


def write_lease(model: ModelVersion, who: str) -> None:
    """Say that a process uses the model, for the next fifteen minutes."""
    _write(model, _LEASE + who, GOOD_FOR)


def write_started(model: ModelVersion, who: str) -> None:
    """Say that a process starts the model now."""
    _write(model, _STARTED + who, 0)


def take_back_started(model: ModelVersion, who: str) -> None:
    """Say that a process has not started the model after all."""
    forget(model, [_STARTED + who])


def forget(model: ModelVersion, names: Iterable[str]) -> None:
    """Remove tags; none of the others is touched."""
    wanted = list(dict.fromkeys(names))
    if not wanted:
        return
    try:
        model.client.api.untag_resource(model.arn, wanted)
    except ResourceNotFound:
        _log.debug("the model is gone, and its tags with it")


def stop_unless_used(
    model: ModelVersion,
    who: str,
    *,
    in_doubt: bool = False,
    stop_joined: bool = False,
    timeout: float | None = None,
) -> bool:
    """Leave a model, and stop it if it is ours and nobody else uses it.

    Returns when the service has taken the order to stop, and does not wait for its end: what is said by the
    tags is settled then.

    Args:
        model: The model version.
        who: Id of the process that leaves.
        in_doubt: The process has asked for a start and had no answer: it may begin in the next moments.
        stop_joined: Stop it also when somebody else has started it.
        timeout: Seconds to wait for a start that is under way, which the service cannot break off.

    Returns:
        Whether the model is stopping now.
    """
    for _ in range(ROUNDS):
        try:
            _announce(model, who)
            marks = Marks.of(model)
            status = model.status
        except ResourceNotFound:
            # It was deleted, and nothing runs; or it is not described yet, and others must not wait for us.
            forget(model, [_LEASE + who, _ENDING + who])
            return False
        if marks.users - {who} or not (stop_joined or marks.started_at is not None):
            forget(model, [_LEASE + who, _ENDING + who, *marks.dead])
            return False
        if in_doubt and status not in _BUSY:
            if _starts_after_all(model):
                continue
            # A sweep finds the model by our first tag, should it start still later.
            forget(model, [_LEASE + who, _ENDING + who, *marks.dead])
            return False
        if status == "STARTING":
            _log.warning("waiting until %s has started, in order to stop it", model.version_name)
            wait_while(model, "STARTING", timeout=timeout)
            continue
        if status == "RUNNING":
            try:
                model.stop()
            except ResourceInUse:
                continue  # it changed in this moment
            status = "STOPPING"
        forget(model, set(marks.names).difference(marks.of_others(who)))
        return status == "STOPPING"
    raise ResourceInUse(
        f"The model version {model.version_name!r} is started and stopped by others all the time.",
        operation="StopProjectVersion",
        code="ResourceInUseException",
    )


def wait_while(
    model: ModelVersion, status: Literal["STARTING", "STOPPING"], *, timeout: float | None
) -> ModelDescription | None:
    """Wait until the model has left a status; others may decide where to.

    Returns:
        The first snapshot with another status; None when the model is gone.

    Raises:
        WaitTimedOut: The time is over.
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
        policy=model.client.retry,
        timeout=timeout,
        timed_out=lambda last, waited: timed_out(model.arn, goal, last, waited, f"wait_until_{goal}()"),
    )


def _starts_after_all(model: ModelVersion) -> bool:
    _log.warning("waiting to see whether the start of %s came through", model.version_name)
    try:
        wait_until(
            lambda: model.status,
            _BUSY.__contains__,
            policy=model.client.retry,
            timeout=_SETTLES,
            timed_out=lambda status, waited: WaitTimedOut(
                "It does not start.", arn=model.arn, status=status, waited=waited
            ),
        )
    except WaitTimedOut:
        return False
    return True


def _announce(model: ModelVersion, who: str) -> None:
    try:
        _write(model, _ENDING + who, GOOD_FOR)
    except ResourceNotFound:
        raise
    except RekolabelsError as error:
        # A model that stays running costs more than the small chance that somebody comes in this moment.
        _log.warning("leaving %s without a word: %s", model.version_name, error)


def _write(model: ModelVersion, name: str, ahead: float) -> None:
    value = str(int(model.client.retry.time() + ahead))  # never a time that is still ahead of a run
    model.client.api.tag_resource(model.arn, {name: value})


def _seconds(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return 0.0  # somebody edited the tag: nobody's word
