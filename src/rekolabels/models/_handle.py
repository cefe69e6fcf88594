"""Handle of a model version: describe, start, stop, delete and wait."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import attrs

from rekolabels import _progress
from rekolabels._aws._arns import parse_version_arn
from rekolabels._aws._connection import Connection
from rekolabels._aws._waiting import wait_until
from rekolabels._tags import TaggedResource
from rekolabels.errors import JobFailed, ResourceInUse, ResourceNotFound
from rekolabels.models._status import UNDERWAY, has_become, is_trained, timed_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from rekolabels.descriptions import ModelDescription

__all__ = ["ModelHandle"]

_log = logging.getLogger("rekolabels")


@attrs.frozen
class ModelHandle(TaggedResource):
    """What leases, sweeps, costs and copies need of a model version; users get a ``ModelVersion``."""

    _connection: Connection
    arn: str
    """ARN of the model version."""
    project_arn: str
    """ARN of its project; the service describes versions by it."""

    def __repr__(self) -> str:
        return f"client.model({self.arn!r})"

    @property
    def version_name(self) -> str:
        """Name of the version, unique in its project; part of the ARN."""
        return parse_version_arn(self.arn)[1]

    @property
    def status(self) -> str:
        """The status now, such as ``TRAINING_IN_PROGRESS`` or ``RUNNING``; asks the service each time."""
        return self.describe().status

    def describe(self) -> ModelDescription:
        """Return a new snapshot of everything that the service says of it (DescribeProjectVersions).

        Raises:
            ResourceNotFound: The version no longer exists.
        """
        found = self._describe_or_none()
        if found is None:
            raise ResourceNotFound(
                f"The model version {self.version_name!r} does not exist (any more): {self.arn}",
                operation="DescribeProjectVersions",
                code="ResourceNotFoundException",
            )
        return found

    def wait_until_trained(
        self,
        *,
        timeout: float | None = None,
        on_progress: Callable[[ModelDescription], object] | None = None,
    ) -> ModelDescription:
        """Wait until the training has ended well.

        Shows a bar in a terminal or notebook when the extra ``progress`` is installed.

        Args:
            timeout: Seconds; by default 26 hours, as the service may train for 24.
            on_progress: Called with each snapshot, instead of showing a bar.

        Raises:
            TrainingFailed: The training failed; with the service's message and, where it wrote a manifest
                summary, its codes.
            UnexpectedStatus: The version is being deleted, or gone.
            WaitTimedOut: The time is over; the training goes on.
        """
        return self._wait(
            "trained",
            lambda found: is_trained(self.arn, found, self._connection.s3),
            timeout=timeout,
            on_progress=on_progress,
            again="wait_until_trained()",
        )

    def wait_until_running(self, *, timeout: float | None = None) -> ModelDescription:
        """Wait until a model that was started can be used.

        Args:
            timeout: Seconds; by default 26 hours. A start usually takes some minutes.

        Raises:
            ModelFailed: It could not be started.
            UnexpectedStatus: It is neither starting nor running.
            WaitTimedOut: The time is over; the model goes on starting, and costs money once it runs.
        """
        return self._wait(
            "running",
            lambda found: has_become(self.arn, found, "RUNNING", underway="STARTING"),
            timeout=timeout,
            again="wait_until_running()",
        )

    def wait_until_stopped(self, *, timeout: float | None = None) -> ModelDescription:
        """Wait until a model that is being stopped has stopped, and costs no more.

        Args:
            timeout: Seconds; by default 26 hours.

        Raises:
            ModelFailed: It could not be stopped.
            UnexpectedStatus: It is neither stopping nor stopped.
            WaitTimedOut: The time is over; the model goes on stopping.
        """
        return self._wait(
            "stopped",
            lambda found: has_become(self.arn, found, "STOPPED", underway="STOPPING"),
            timeout=timeout,
            again="wait_until_stopped()",
        )

    def start(self, *, min_inference_units: int = 1, max_inference_units: int | None = None) -> None:
        """Start the model; returns at once (StartProjectVersion).

        A running model is billed by the inference unit and hour until it is stopped, used or not:
        :meth:`running` is the safe way.

        Args:
            min_inference_units: Units to start with; at least 1.
            max_inference_units: Upper bound for auto-scaling; None for none.

        Raises:
            ResourceInUse: It is not trained, or already starting, running or stopping.
            LimitExceeded: Too many running models or units for the account.
        """
        self._connection.rekognition.start_project_version(
            self.arn, self.project_arn, minimum=min_inference_units, maximum=max_inference_units
        )

    def stop(self) -> None:
        """Stop the model; returns at once (StopProjectVersion).

        Raises:
            ResourceInUse: It is not running.
        """
        self._connection.rekognition.stop_project_version(self.arn, self.project_arn)

    def delete(self, *, stop: bool = False, wait: bool = True, timeout: float | None = None) -> None:
        """Delete the version (DeleteProjectVersion); its files in S3 stay. This cannot be undone.

        Args:
            stop: Bring the version to rest first: stop it if it runs, and wait for a training to end, which
                the service cannot cancel.
            wait: Return when it is gone, rather than when the deletion has begun.
            timeout: Seconds for each of the waits.

        Raises:
            ResourceInUse: It is training, starting, running, stopping or being copied.
        """
        if stop:
            self._ensure_stopped(timeout=timeout)
        try:
            self._connection.rekognition.delete_project_version(self.arn, self.project_arn)
        except ResourceInUse as error:
            found = self._describe_or_none()
            if found is None or found.status != "DELETING":
                raise error.explained(
                    f"The model version {self.version_name!r} cannot be deleted while it is "
                    f"{found.status if found else 'vanishing'}: delete(stop=True) stops a running model "
                    "first, and waits for a training to end."
                ) from error
        except ResourceNotFound:
            if self._describe_or_none() is not None:
                raise
        if wait:
            wait_until(
                self._describe_or_none,
                lambda found: found is None,
                policy=self._connection.retry,
                timeout=timeout,
                timed_out=lambda last, waited: timed_out(self.arn, "gone", last, waited, "delete()"),
            )

    def _ensure_stopped(self, *, timeout: float | None = None) -> None:
        """Stop the model, whatever it is doing, and wait: what runs costs money.

        Waits for a training, copy or start that is under way, because the service cannot cancel one.

        Args:
            timeout: Seconds for each of the waits.
        """
        found = self._describe_or_none()
        try:
            if found is not None and found.status in UNDERWAY:
                found = self.wait_until_trained(timeout=timeout)
            if found is not None and found.status == "STARTING":
                # The service does not stop a model that is still starting.
                found = self.wait_until_running(timeout=timeout)
        except JobFailed as error:
            _log.debug("at rest: %s", error)
            return
        if found is not None and found.status == "RUNNING":
            try:
                self.stop()
            except ResourceInUse:
                # Somebody else was quicker; the wait below tells.
                found = self._describe_or_none()
        if found is not None and found.status in {"RUNNING", "STOPPING"}:
            self.wait_until_stopped(timeout=timeout)

    def _wait(
        self,
        goal: str,
        reached: Callable[[ModelDescription | None], bool],
        *,
        timeout: float | None,
        again: str,
        on_progress: Callable[[ModelDescription], object] | None = None,
    ) -> ModelDescription:
        with _progress.bar(f"{self.version_name}: waiting until {goal}", enabled=on_progress is None) as bar:

            def poll() -> ModelDescription | None:
                found = self._describe_or_none()
                if found is not None:
                    bar.set_postfix_str(found.status)
                    if on_progress is not None:
                        on_progress(found)
                return found

            ended = wait_until(
                poll,
                reached,
                policy=self._connection.retry,
                timeout=timeout,
                timed_out=lambda last, waited: timed_out(self.arn, goal, last, waited, again),
            )
        assert ended is not None  # noqa: S101 -- reached() raises for None
        return ended

    def _describe_or_none(self) -> ModelDescription | None:
        try:
            found = self._connection.rekognition.describe_project_versions(
                self.project_arn, [self.version_name]
            )
            return next((version for version in found if version.arn == self.arn), None)
        except ResourceNotFound:
            return None
