"""Model versions: training, evaluation, starting, stopping."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import attrs

from rekolabels import _progress
from rekolabels._aws._arns import parse_version_arn
from rekolabels._aws._waiting import wait_until
from rekolabels._tags import Tagged
from rekolabels.descriptions import S3Location
from rekolabels.errors import (
    InvalidEvaluation,
    JobFailed,
    ResourceInUse,
    ResourceNotFound,
    ResourceNotReady,
)
from rekolabels.inference import Detects
from rekolabels.models._costs import run_cost, training_cost
from rekolabels.models._lease import Lease
from rekolabels.models._result_files import ResultFile, Validation, read_image, training_snapshot
from rekolabels.models._status import UNDERWAY, has_become, is_trained, read_json, timed_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime

    from rekolabels.client import Client  # noqa: TC004 -- a client makes handles, a handle holds its client
    from rekolabels.costs import RunCost, TrainingCost
    from rekolabels.descriptions import ModelDescription
    from rekolabels.evaluation import EvaluationResult, SnapshotImage
    from rekolabels.models._running import RunningModel
    from rekolabels.projects import Project

__all__ = ["ModelVersion"]


_log = logging.getLogger("rekolabels")


@attrs.frozen
class ModelVersion(Detects, Tagged):
    """A version of a model: a handle that holds client and ARN, and asks the service for the rest."""

    client: Client
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
            lambda found: is_trained(self.arn, found, self.client.storage),
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

    def evaluation(self) -> EvaluationResult:
        """Return how well the model did on the test dataset (the evaluation summary file in S3).

        The test images themselves (:attr:`EvaluationResult.images
        <rekolabels.evaluation.EvaluationResult.images>`) are fetched when something asks for them.

        Raises:
            TrainingFailed: There is no evaluation, because the training failed.
            ResourceNotReady: The training has not ended.
            ObjectNotFound: The summary file is gone from S3.
            InvalidEvaluation: The file is no evaluation summary.
        """
        from rekolabels.evaluation import EvaluationResult

        found = self.describe()
        if found.evaluation_summary is None:
            if not is_trained(self.arn, found, self.client.storage):
                raise ResourceNotReady(
                    f"The model version {self.version_name!r} has no evaluation yet, it is {found.status}: "
                    "wait_until_trained() first.",
                    operation="DescribeProjectVersions",
                    code="ResourceNotReadyException",
                )
            raise InvalidEvaluation(
                f"The service names no evaluation summary for {self.version_name!r}, which is {found.status}."
            )
        storage = self.client.storage
        return EvaluationResult.from_summary(
            read_json(storage, found.evaluation_summary),
            snapshot=None if found.testing_snapshot is None else ResultFile(storage, found.testing_snapshot),
            read_image=partial(read_image, storage),
        )

    def validation(self) -> Validation:
        """Return what the service found wrong with the lines of the training and of the test dataset.

        Both files ("manifest with validation") are there for failed trainings too, unless a manifest could
        not be read at all; a file that the service does not name has no lines.

        Examples:
            ::

                for line in model.validation().training:
                    for issue in line.issues:
                        print(line.line, line.source, issue.code, issue.message)
        """
        found = self.describe()
        return Validation(self.client.storage, found.training_validation, found.testing_validation)

    def training_images(self) -> Iterator[SnapshotImage]:
        """Stream the images that the model was really trained with (the training snapshot in S3).

        Raises:
            ResourceNotReady: The service names no such file (yet).
            ObjectNotFound: The file is gone from S3.
            InvalidEvaluation: A line is not what the service writes.
        """
        found = self.describe()
        if found.training_snapshot is None:
            raise ResourceNotReady(
                f"The model version {self.version_name!r} has no training snapshot; it is {found.status}.",
                operation="DescribeProjectVersions",
                code="ResourceNotReadyException",
            )
        return training_snapshot(self.client.storage, found.training_snapshot)

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
        self.client.api.start_project_version(
            self.arn, self.project_arn, minimum=min_inference_units, maximum=max_inference_units
        )

    def stop(self) -> None:
        """Stop the model; returns at once (StopProjectVersion).

        Raises:
            ResourceInUse: It is not running.
        """
        self.client.api.stop_project_version(self.arn, self.project_arn)

    def running(
        self,
        *,
        min_inference_units: int = 1,
        max_inference_units: int | None = None,
        idle_timeout: float | None = None,
        max_duration: float | None = None,
        max_cost: float | None = None,
        stop_joined: bool = False,
        timeout: float | None = None,
    ) -> AbstractContextManager[RunningModel]:
        """Run the model for the length of a ``with`` block.

        Entering the block starts the model and waits until it runs. Leaving it (by its end, an error, Ctrl-C,
        SIGTERM, SIGHUP or the exit of the interpreter) stops the model and waits until it has stopped. If the
        process is killed, :meth:`Client.sweep <rekolabels.Client.sweep>` finds the model by its lease tags
        and stops it.

        If the model is already running, the block joins it. Of several processes that use the model in this
        way, the last one to leave stops it. A model that was started by other means is not stopped.

        Signals are handled if the block is entered in the main thread and the program has no handlers of its
        own; such a handler should end in ``sys.exit``. A fork of the process may use the model but does not
        stop it.

        Args:
            min_inference_units: Units to start with; at least 1.
            max_inference_units: Upper bound for auto-scaling; None for no auto-scaling.
            idle_timeout: Stop the model after this many seconds without a call.
            max_duration: Stop the model this many seconds after it was started or joined.
            max_cost: Stop the model when it has cost this many US dollars since it was started or joined,
                by the client's prices and the most units that it may scale to. All limits are kept to within
                a tenth, or within a minute if that is shorter.
            stop_joined: Stop the model even if it was started by other means.
            timeout: Seconds to wait for the start, and again for the stop.

        Returns:
            A context manager that gives a :class:`RunningModel`; it can be entered once.

        Raises:
            ModelFailed: The model could not be started or stopped.
            LimitExceeded: Too many running models or inference units for the account.
            InvalidInput: A limit is not more than 0; or ``max_cost`` is given and no prices are known for the
                Region.
        """
        return Lease(
            self,
            min_inference_units=min_inference_units,
            max_inference_units=max_inference_units,
            idle_timeout=idle_timeout,
            max_duration=max_duration,
            max_cost=None if max_cost is None else (max_cost, self.client.prices()),
            stop_joined=stop_joined,
            timeout=timeout,
        )

    def training_cost(self) -> TrainingCost:
        """Return what the training has cost: by the clock, and as AWS bills it.

        Raises:
            ResourceNotFound: The version no longer exists.
            InvalidInput: No prices are known for the Region.
        """
        return training_cost(self)

    def run_cost(self, since: datetime | None = None, until: datetime | None = None) -> RunCost:
        """Return what running the model has cost in a span of time: estimated, and measured by CloudWatch.

        Values of CloudWatch come some minutes late, and exist for models that were trained and started after
        August 2022. It keeps minutes for 15 days, five minutes for 63, and hours for 455. The embedded
        service measures nothing: there ``actual`` is None.

        Args:
            since: Begin, a datetime with a time zone; by default when ``running()`` started the model.
            until: End; by default now.

        Raises:
            InvalidInput: ``since`` is not given and not known, has no time zone, or is not before ``until``;
                or no prices are known for the Region.
            AccessDenied: The caller lacks ``cloudwatch:GetMetricData``.
        """
        return run_cost(self, since, until)

    def copy_to(
        self,
        project: Project,
        version_name: str | None = None,
        *,
        output: str | S3Location | None = None,
        tags: Mapping[str, str] | None = None,
        kms_key_id: str | None = None,
        timeout: float | None = None,
    ) -> ModelVersion:
        """Copy the version into another project, and wait (CopyProjectVersion).

        The project may be that of another client, in another account: a project policy that allows this one
        copy is attached to the source project, and removed again whatever happens. A copy that fails is
        deleted. Nothing is charged for a copy; the Region must be the same.

        Args:
            project: Where to. Its client's account makes the copy and owns it.
            version_name: Name of the copy; by default that of this version.
            output: Where the result files are copied to, ``s3://bucket/prefix``; by default below the bucket
                of the project's client.
            tags: Tags of the copy; those of this version are not copied.
            kms_key_id: Key that encrypts the results.
            timeout: Seconds to wait at most.

        Returns:
            The copy, ready to run.

        Raises:
            InvalidInput: The project lies in another Region.
            ResourceInUse: The name is taken, or this version is not trained.
            LimitExceeded: The source project has no room for another policy.
            ModelFailed: The copy failed; what there was of it is deleted.
            WaitTimedOut: The time is over; the service goes on copying.
            AccessDenied: A policy of the source project denies it.
        """
        from rekolabels.models._copy import copy_model

        name = version_name or self.version_name
        if output is None:
            place = S3Location(project.client.need_bucket(), f"{project.client.prefix}{project.name}/{name}")
        else:
            place = S3Location.parse(output) if isinstance(output, str) else output
        return copy_model(
            self, project, name, output=place, tags=tags, kms_key_id=kms_key_id, timeout=timeout
        )

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
            self.come_to_rest(timeout=timeout)
        try:
            self.client.api.delete_project_version(self.arn, self.project_arn)
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
                policy=self.client.retry,
                timeout=timeout,
                timed_out=lambda last, waited: timed_out(self.arn, "gone", last, waited, "delete()"),
            )

    # waiting

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
                policy=self.client.retry,
                timeout=timeout,
                timed_out=lambda last, waited: timed_out(self.arn, goal, last, waited, again),
            )
        assert ended is not None  # noqa: S101 -- reached() raises for None
        return ended

    def come_to_rest(self, *, timeout: float | None = None) -> None:
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

    def _describe_or_none(self) -> ModelDescription | None:
        try:
            found = self.client.api.describe_project_versions(self.project_arn, [self.version_name])
            return next((version for version in found if version.arn == self.arn), None)
        except ResourceNotFound:
            return None
