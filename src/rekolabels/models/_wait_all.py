"""``wait_all``: wait for several trainings at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from rekolabels._arguments import check_callable, check_items, check_seconds
from rekolabels._aws._connection import connection_of
from rekolabels._aws._waiting import wait_until
from rekolabels.descriptions import ModelDescription
from rekolabels.errors import TrainingFailed, WaitTimedOut
from rekolabels.models._model_version import ModelVersion
from rekolabels.models._status import is_trained

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["wait_all"]

_NAMES_PER_CALL = 10


def wait_all(
    models: Iterable[ModelVersion],
    *,
    timeout: float | None = None,
    on_progress: Callable[[Sequence[ModelDescription]], object] | None = None,
) -> list[ModelDescription]:
    """Wait until all trainings have ended.

    Polls up to ten versions of a project with one call (DescribeProjectVersions).

    Args:
        models: Model versions of one client, from any of its projects.
        timeout: Seconds for all trainings together; by default 72 hours.
        on_progress: Called after each poll with the snapshots of all versions.

    Returns:
        The last snapshot of each version, in the order of ``models``.

    Raises:
        InvalidInput: ``models`` is a single model, or one of them is not a model version.
        TrainingFailed: One or more trainings failed. Raised after all have ended, and names each of them.
        UnexpectedStatus: A version is being deleted or does not exist.
        WaitTimedOut: The trainings did not end within ``timeout``; the service continues.
    """
    fix = "Use `wait_all(project.models())`." if hasattr(type(models), "models") else ""
    given = check_items("models", models, ModelVersion, "a list of model versions", fix)
    check_seconds("timeout", timeout)
    if on_progress is not None:
        check_callable("on_progress", on_progress, "a function that accepts a list of descriptions, or None")
    trainings = _Trainings({model.arn: model for model in given}, on_progress)
    if not trainings.models:
        return []
    wait_until(
        trainings.poll,
        trainings.have_ended,
        policy=connection_of(next(iter(trainings.models.values()))).retry,
        timeout=timeout,
        timed_out=trainings.timed_out,
    )
    trainings.raise_failures()
    return [trainings.ended[arn] for arn in trainings.models]


@attrs.frozen(eq=False, repr=False)
class _Trainings:
    """State of ``wait_all`` between polls."""

    models: Mapping[str, ModelVersion]
    on_progress: Callable[[Sequence[ModelDescription]], object] | None
    ended: dict[str, ModelDescription] = attrs.field(factory=dict[str, ModelDescription])
    failures: list[TrainingFailed] = attrs.field(factory=list[TrainingFailed])

    def poll(self) -> dict[str, ModelDescription]:
        found = dict(self.ended)
        for project_arn, waiting in _by_project(self._waiting()):
            for first in range(0, len(waiting), _NAMES_PER_CALL):
                names = [model.version_name for model in waiting[first : first + _NAMES_PER_CALL]]
                versions = connection_of(waiting[0]).rekognition.describe_project_versions(project_arn, names)
                found.update((version.arn, version) for version in versions)
        if self.on_progress is not None:
            self.on_progress([found[arn] for arn in self.models if arn in found])
        return found

    def have_ended(self, found: Mapping[str, ModelDescription]) -> bool:
        for model in self._waiting():
            try:
                if not is_trained(model.arn, found.get(model.arn), connection_of(model).s3):
                    continue
            except TrainingFailed as error:
                self.failures.append(error)
            self.ended[model.arn] = found[model.arn]
        return len(self.ended) == len(self.models)

    def timed_out(self, _: object, waited: float) -> WaitTimedOut:
        waiting = self._waiting()
        names = ", ".join(model.version_name for model in waiting)
        return WaitTimedOut(
            f"{len(waiting)} of {len(self.models)} trainings have not ended after {waited:.0f} s; the "
            f"service continues: {names}. To go on waiting, call wait_all with them again.",
            arn=waiting[0].arn,
            status="TRAINING_IN_PROGRESS",
            waited=waited,
        )

    def raise_failures(self) -> None:
        if len(self.failures) == 1:
            raise self.failures[0]
        if self.failures:
            first = self.failures[0]
            raise TrainingFailed(
                f"{len(self.failures)} of {len(self.models)} trainings failed: "
                + "; ".join(map(str, self.failures)),
                arn=first.arn,
                status=first.status,
                status_message=first.status_message,
                codes=tuple(dict.fromkeys(code for error in self.failures for code in error.codes)),
                summary=first.summary,
            )

    def _waiting(self) -> list[ModelVersion]:
        return [model for arn, model in self.models.items() if arn not in self.ended]


def _by_project(models: Iterable[ModelVersion]) -> list[tuple[str, list[ModelVersion]]]:
    groups: dict[str, list[ModelVersion]] = {}
    for model in models:
        groups.setdefault(model.project_arn, []).append(model)
    return list(groups.items())
