"""Model versions: training, evaluation, starting, stopping."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import attrs

from rekolabels._aws._connection import connection_of
from rekolabels.descriptions import S3Location
from rekolabels.errors import InvalidEvaluation, ResourceNotReady
from rekolabels.inference import Detects
from rekolabels.models._costs import run_cost, training_cost
from rekolabels.models._handle import ModelHandle
from rekolabels.models._lease import Lease
from rekolabels.models._result_files import ResultFile, Validation, read_image, training_snapshot
from rekolabels.models._status import is_trained, read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime

    from rekolabels.costs import RunCost, TrainingCost
    from rekolabels.evaluation import EvaluationResult, SnapshotImage
    from rekolabels.projects import Project

__all__ = ["ModelVersion", "RunningModel"]


@attrs.frozen(repr=False)  # that of the handle
class ModelVersion(Detects, ModelHandle):
    """A version of a model: a handle that holds client and ARN, and asks the service for the rest."""

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
            if not is_trained(self.arn, found, self._connection.s3):
                raise ResourceNotReady(
                    f"The model version {self.version_name!r} has no evaluation yet, it is {found.status}: "
                    "wait_until_trained() first.",
                    operation="DescribeProjectVersions",
                    code="ResourceNotReadyException",
                )
            raise InvalidEvaluation(
                f"The service names no evaluation summary for {self.version_name!r}, which is {found.status}."
            )
        storage = self._connection.s3
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
        return Validation(self._connection.s3, found.training_validation, found.testing_validation)

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
        return training_snapshot(self._connection.s3, found.training_snapshot)

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
            partial(RunningModel, self),
            min_inference_units=min_inference_units,
            max_inference_units=max_inference_units,
            idle_timeout=idle_timeout,
            max_duration=max_duration,
            max_cost=None if max_cost is None else (max_cost, self._connection.prices()),
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
        destination = connection_of(project)
        if output is None:
            place = S3Location(destination.require_bucket(), f"{destination.prefix}{project.name}/{name}")
        else:
            place = S3Location.parse(output) if isinstance(output, str) else output
        arn = copy_model(
            self,
            destination,
            project.arn,
            name,
            output=place,
            tags=tags,
            kms_key_id=kms_key_id,
            timeout=timeout,
        )
        return ModelVersion(destination, arn, project.arn)


class RunningModel(Detects):
    """A model that runs until its ``with model.running()`` block ends.

    Each call counts as use for the ``idle_timeout`` of the block. After the block has ended, or one of its
    limits has stopped the model, calls raise :class:`~rekolabels.errors.LeaseEnded`.

    Examples:
        ::

            with model.running(idle_timeout=600) as running:
                detections = running.detect("dog.jpg")
    """

    def __init__(self, model: ModelVersion, before_call: Callable[[], None]) -> None:
        self.model = model
        """The model version."""
        self.arn = model.arn
        """ARN of the model version."""
        self._connection = connection_of(model)
        self._record_use = before_call

    def __repr__(self) -> str:
        return f"<RunningModel {self.arn}>"

    def _before_call(self) -> None:
        self._record_use()
