"""``ModelHandle``: describe, start, stop, delete and wait for a model version."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

import attrs

from rekolabels import _progress
from rekolabels._arguments import check_callable, check_flag, check_integer, check_seconds
from rekolabels._aws._arns import arn_of, parse_project_arn, parse_version_arn
from rekolabels._aws._connection import Connection, made_by_client
from rekolabels._aws._tags import TaggedResource
from rekolabels._aws._waiting import wait_until
from rekolabels.errors import JobFailed, RekolabelsError, ResourceInUse, ResourceNotFound
from rekolabels.models._status import IN_PROGRESS, has_reached, is_trained, timed_out

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rekolabels.descriptions import ModelDescription

__all__ = ["ModelHandle", "check_units"]

_BEFORE_START = {
    "TRAINING_IN_PROGRESS": "First call `model.wait_until_trained()`.",
    "COPYING_IN_PROGRESS": "First call `model.wait_until_trained()`.",
    "TRAINING_FAILED": "The training failed: train another version.",
    "STARTING": "It is starting already: call `model.wait_until_running()`.",
    "RUNNING": "It is running already: call `model.detect(image)`.",
    "STOPPING": "First call `model.wait_until_stopped()`.",
}
_BEFORE_STOP = {
    "TRAINING_IN_PROGRESS": "It is training, and is not billed as a running model.",
    "STARTING": "First call `model.wait_until_running()`.",
    "STOPPING": "It is stopping already: call `model.wait_until_stopped()`.",
    "STOPPED": "It is stopped already.",
    "TRAINING_COMPLETED": "It was never started.",
}
"""What to do about a model with a status that does not allow a start or a stop."""

_log = logging.getLogger("rekolabels")


@attrs.frozen
class ModelHandle(TaggedResource):
    """The part of a model version that leases, sweeps, costs and copies use.

    Users get a ``ModelVersion``, which adds evaluation, detection and ``running`` to it.
    """

    _connection: Connection = attrs.field(validator=made_by_client)
    arn: str = attrs.field(validator=arn_of(parse_version_arn))
    """ARN of the model version."""
    project_arn: str = attrs.field(validator=arn_of(parse_project_arn))
    """ARN of the project."""

    def __repr__(self) -> str:
        return f"client.model({self.arn!r})"

    @property
    def version_name(self) -> str:
        """Name of the version, unique in its project; from the ARN."""
        return parse_version_arn(self.arn)[1]

    @property
    def status(self) -> str:
        """The current status, such as ``TRAINING_IN_PROGRESS`` or ``RUNNING``.

        Each access calls the service (DescribeProjectVersions).
        """
        return self.describe().status

    def describe(self) -> ModelDescription:
        """Return a snapshot of status, times, result files and inference units (DescribeProjectVersions).

        Raises:
            ResourceNotFound: The version does not exist.
        """
        found = self._describe_or_none()
        if found is None:
            raise ResourceNotFound(
                f"Model version {self.version_name!r} does not exist or was deleted: {self.arn}.",
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
        """Wait until the training has succeeded.

        Shows a progress bar in a terminal or notebook if the extra ``progress`` is installed.

        Args:
            timeout: Seconds; by default 72 hours. A training usually takes 30 minutes to 24 hours, but 34
                hours are on record.
            on_progress: Called with each snapshot, instead of showing a bar.

        Raises:
            TrainingFailed: The training failed. The error has the service's message, and the error codes of
                the manifest summary if there is one.
            UnexpectedStatus: The version is being deleted or does not exist.
            WaitTimedOut: The training did not end within ``timeout``; the service continues.
        """
        return self._wait(
            "trained",
            lambda found: is_trained(self.arn, found, self._connection.s3),
            timeout=timeout,
            on_progress=on_progress,
            resume_call="wait_until_trained()",
        )

    def wait_until_running(self, *, timeout: float | None = None) -> ModelDescription:
        """Wait until a model that is starting can be used.

        Args:
            timeout: Seconds; by default 72 hours. A start usually takes several minutes.

        Raises:
            ModelFailed: The model could not be started.
            UnexpectedStatus: The model is neither starting nor running.
            WaitTimedOut: The model did not start within ``timeout``. It continues to start, and is billed
                when it runs.
        """
        return self._wait(
            "running",
            lambda found: has_reached(self.arn, found, "RUNNING", in_progress="STARTING"),
            timeout=timeout,
            resume_call="wait_until_running()",
        )

    def wait_until_stopped(self, *, timeout: float | None = None) -> ModelDescription:
        """Wait until a model that is stopping has stopped and is no longer billed.

        Args:
            timeout: Seconds; by default 72 hours.

        Raises:
            ModelFailed: The model could not be stopped.
            UnexpectedStatus: The model is neither stopping nor stopped.
            WaitTimedOut: The model did not stop within ``timeout``; it continues to stop.
        """
        return self._wait(
            "stopped",
            lambda found: has_reached(self.arn, found, "STOPPED", in_progress="STOPPING"),
            timeout=timeout,
            resume_call="wait_until_stopped()",
        )

    def start(self, *, min_inference_units: int = 1, max_inference_units: int | None = None) -> None:
        """Start the model, without waiting for it (StartProjectVersion).

        A running model is billed per inference unit and hour until it is stopped, whether it is used or not.
        :meth:`ModelVersion.running <rekolabels.ModelVersion.running>` stops it for you.

        Args:
            min_inference_units: Units to start with; at least 1.
            max_inference_units: Upper bound for auto-scaling; None for no auto-scaling.

        Raises:
            InvalidInput: A number of units is not valid.
            ResourceInUse: The model is not trained, or is already starting, running or stopping.
            LimitExceeded: Too many running models or inference units for the account.
        """
        check_units(min_inference_units, max_inference_units)
        try:
            self._connection.rekognition.start_project_version(
                self.arn, self.project_arn, minimum=min_inference_units, maximum=max_inference_units
            )
        except ResourceInUse as error:
            raise error.explained(
                self._refusal("start", "it must be trained and stopped", _BEFORE_START)
            ) from error

    def stop(self) -> None:
        """Stop the model, without waiting for it (StopProjectVersion).

        Raises:
            ResourceInUse: The model is not running.
        """
        try:
            self._connection.rekognition.stop_project_version(self.arn, self.project_arn)
        except ResourceInUse as error:
            raise error.explained(self._refusal("stop", "it must be running", _BEFORE_STOP)) from error

    def _refusal(self, verb: str, rule: str, next_steps: Mapping[str, str]) -> str:
        """Return why the service does not start or stop the model, and what to do."""
        status: str | None = None
        with contextlib.suppress(RekolabelsError):  # the caller needs the error that it is explained for
            status = self.status
        has = f" with status {status}" if status else ""
        step = next_steps.get(status or "", "")
        return f"Cannot {verb} model version {self.version_name!r}{has}: {rule}.{step and ' '}{step}"

    def delete(self, *, stop: bool = False, wait: bool = True, timeout: float | None = None) -> None:
        """Delete the version (DeleteProjectVersion). This cannot be undone.

        The result files in S3 are not deleted.

        Args:
            stop: First stop the model if it is running, and wait for a training, which the service cannot
                cancel.
            wait: Wait until the version is gone.
            timeout: Seconds for each of the waits.

        Raises:
            ResourceInUse: The version is training, starting, running, stopping or being copied.
        """
        check_seconds("timeout", timeout)
        check_flag("wait", wait)
        if check_flag("stop", stop):
            self._ensure_stopped(timeout=timeout)
        try:
            self._connection.rekognition.delete_project_version(self.arn, self.project_arn)
        except ResourceInUse as error:
            found = self._describe_or_none()
            if found is None or found.status != "DELETING":
                raise error.explained(
                    f"Cannot delete model version {self.version_name!r} with status "
                    f"{found.status if found else 'unknown'}. `model.delete(stop=True)` first stops a "
                    "running model, and waits for a training to end."
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
        """Stop the model, from any status, and wait until it has stopped.

        Waits for a training, copy or start that is in progress, because the service cannot cancel one.

        Args:
            timeout: Seconds for each of the waits.
        """
        found = self._describe_or_none()
        try:
            if found is not None and found.status in IN_PROGRESS:
                found = self.wait_until_trained(timeout=timeout)
            if found is not None and found.status == "STARTING":
                # The service does not stop a model that is still starting.
                found = self.wait_until_running(timeout=timeout)
        except JobFailed as error:
            _log.debug("Model version %s is not running: %s", self.version_name, error)
            return
        if found is not None and found.status == "RUNNING":
            try:
                self.stop()
            except ResourceInUse:
                # Another process was faster.
                found = self._describe_or_none()
        if found is not None and found.status in {"RUNNING", "STOPPING"}:
            self.wait_until_stopped(timeout=timeout)

    def _wait(
        self,
        goal: str,
        reached: Callable[[ModelDescription | None], bool],
        *,
        timeout: float | None,
        resume_call: str,
        on_progress: Callable[[ModelDescription], object] | None = None,
    ) -> ModelDescription:
        if on_progress is not None:
            check_callable("on_progress", on_progress, "a function that accepts a ModelDescription, or None")
        with _progress.bar(f"{self.version_name}: waiting until {goal}", enabled=on_progress is None) as bar:

            def poll() -> ModelDescription | None:
                found = self._describe_or_none()
                if found is not None:
                    bar.set_postfix_str(found.status, refresh=False)
                    bar.update(0)
                    if on_progress is not None:
                        on_progress(found)
                return found

            ended = wait_until(
                poll,
                reached,
                policy=self._connection.retry,
                timeout=timeout,
                timed_out=lambda last, waited: timed_out(self.arn, goal, last, waited, resume_call),
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


def check_units(minimum: object, maximum: object) -> None:
    """Check the inference units that a model is started with."""
    least = check_integer("min_inference_units", minimum, at_least=1)
    if maximum is not None:
        check_integer("max_inference_units", maximum, at_least=least, optional=True)
