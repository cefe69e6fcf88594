"""``ModelVersion``: evaluation, detection, running, costs and copies; and ``RunningModel``."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import attrs

from rekolabels._arguments import (
    check_callable,
    check_flag,
    check_instance,
    check_number,
    check_optional_text,
    check_seconds,
    invalid,
)
from rekolabels._aws._arns import check_name, check_tags
from rekolabels._aws._connection import Connection, connection_of
from rekolabels._aws._s3 import check_location
from rekolabels.descriptions import S3Location
from rekolabels.errors import InvalidEvaluation, ResourceNotReady
from rekolabels.inference import Detects
from rekolabels.models._costs import run_cost, training_cost
from rekolabels.models._handle import ModelHandle, check_units
from rekolabels.models._lease import Lease
from rekolabels.models._result_files import ResultFile, Validation, read_image, training_snapshot
from rekolabels.models._status import is_trained, read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from rekolabels.costs import RunCost, TrainingCost
    from rekolabels.evaluation import EvaluationResult, SnapshotImage
    from rekolabels.projects import Project

__all__ = ["ModelVersion", "RunningModel"]


@attrs.frozen(repr=False)  # that of the handle
class ModelVersion(Detects, ModelHandle):
    """A version of a model; get one from a :class:`Project` or a :class:`Client`.

    A handle holds a connection and an ARN. Its methods call the service; :meth:`describe` returns a snapshot.
    """

    def evaluation(self) -> EvaluationResult:
        """Return the metrics of the model on the test dataset, from the evaluation summary in S3.

        The results of single test images (:attr:`EvaluationResult.images
        <rekolabels.evaluation.EvaluationResult.images>`) are fetched when they are first used.

        Raises:
            TrainingFailed: The training failed, so there is no evaluation.
            ResourceNotReady: The training has not ended.
            ObjectNotFound: The summary no longer exists in S3.
            InvalidEvaluation: The file is not an evaluation summary.
        """
        from rekolabels.evaluation import EvaluationResult

        found = self.describe()
        if found.evaluation_summary is None:
            if not is_trained(self.arn, found, self._connection.s3):
                raise ResourceNotReady(
                    f"Model version {self.version_name!r} has no evaluation yet ({found.status}). Call "
                    "wait_until_trained() first.",
                    operation="DescribeProjectVersions",
                    code="ResourceNotReadyException",
                )
            raise InvalidEvaluation(
                f"The service gives no evaluation summary for model version {self.version_name!r} "
                f"({found.status})."
            )
        s3 = self._connection.s3
        return EvaluationResult.from_summary(
            read_json(s3, found.evaluation_summary),
            snapshot=None if found.testing_snapshot is None else ResultFile(s3, found.testing_snapshot),
            read_image=partial(read_image, s3),
        )

    def validation(self) -> Validation:
        """Return the errors that the service found in the lines of the training and test manifests.

        Both files ("manifest with validation") exist for failed trainings too, unless a manifest could not be
        read at all. A file that does not exist has no lines.

        Examples:
            ::

                for line in model.validation().training_lines():
                    for issue in line.issues:
                        print(line.line, line.source, issue.code, issue.message)
        """
        found = self.describe()
        return Validation(self._connection.s3, found.training_validation, found.testing_validation)

    def training_images(self) -> Iterator[SnapshotImage]:
        """Yield the images that the training used, from the training snapshot in S3.

        Raises:
            ResourceNotReady: There is no training snapshot (yet).
            ObjectNotFound: The file no longer exists in S3.
            InvalidEvaluation: A line is invalid.
        """
        found = self.describe()
        if found.training_snapshot is None:
            raise ResourceNotReady(
                f"Model version {self.version_name!r} has no training snapshot ({found.status}).",
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
        check_units(min_inference_units, max_inference_units)
        check_flag("stop_joined", stop_joined)
        check_seconds("timeout", timeout)
        for name, limit, kind in (
            ("idle_timeout", idle_timeout, "a number of seconds"),
            ("max_duration", max_duration, "a number of seconds"),
            ("max_cost", max_cost, "a number of US dollars"),
        ):
            if limit is not None:
                check_number(name, limit, above=0, kind=kind, optional=True)
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
        """Return the cost of the training: estimated from its duration, and billed by AWS.

        Raises:
            ResourceNotFound: The version does not exist.
            InvalidInput: No prices are known for the Region.
        """
        return training_cost(self)

    def run_cost(self, since: datetime | None = None, until: datetime | None = None) -> RunCost:
        """Return the cost of running the model in a period: estimated, and measured by CloudWatch.

        CloudWatch values arrive some minutes late, and exist for models that were trained and started after
        August 2022. CloudWatch keeps one-minute values for 15 days, five-minute values for 63 days, and
        hourly values for 455 days. The embedded service has no CloudWatch: there ``actual`` is None.

        Args:
            since: Start of the period, a datetime with a time zone; by default when ``running()`` started the
                model.
            until: End of the period; by default now.

        Raises:
            InvalidInput: ``since`` is neither given nor known, has no time zone, or is not before ``until``;
                or no prices are known for the Region.
            AccessDenied: The caller lacks ``cloudwatch:GetMetricData``.
        """
        for name, moment in (("since", since), ("until", until)):
            if moment is not None:
                check_instance(name, moment, datetime, "a datetime with a time zone, or None")
        return run_cost(self, since, until)

    def copy_to(
        self,
        project: Project,
        version_name: str | None = None,
        *,
        output: str | S3Location | None = None,
        tags: Mapping[str, str] | None = None,
        kms_key_id: str | None = None,
        wait: bool = True,
        timeout: float | None = None,
    ) -> ModelVersion:
        """Copy the version to another project of the same Region (CopyProjectVersion).

        The project may belong to another client, in another account. Then a project policy that allows this
        copy is attached to the source project, and removed afterwards. Copies are free. With
        ``wait``, a failed copy is deleted.

        Args:
            project: Project of the copy. The account of its client makes and owns the copy.
            version_name: Name of the copy; by default that of this version.
            output: Where the result files are copied to, ``s3://bucket/prefix``; by default below the bucket
                of the project's client.
            tags: Tags of the copy. The tags of this version are not copied.
            kms_key_id: KMS key for the results.
            wait: Wait until the copy is complete. A copy to another account must be waited for.
            timeout: Seconds to wait; by default 72 hours.

        Returns:
            The copy, which can be started when it is complete.

        Raises:
            InvalidInput: An argument is not valid; or the project is in another Region; or it is in another
                account, and ``wait`` is False.
            ResourceInUse: A version with this name exists, or this version is not trained.
            LimitExceeded: The source project cannot have another policy.
            ModelFailed: The copy failed, and was deleted.
            WaitTimedOut: The copy did not end within ``timeout``; the service continues.
            AccessDenied: A policy of the source project denies the copy.
        """
        from rekolabels.models._copy import copy_model

        _check_project(project)
        name = self.version_name if version_name is None else check_name("version_name", version_name)
        check_optional_text("kms_key_id", kms_key_id, "the id or the ARN of a KMS key")
        check_flag("wait", wait)
        check_seconds("timeout", timeout)
        destination = connection_of(project)
        if output is None:
            place = S3Location(destination.require_bucket(), f"{destination.prefix}{project.name}/{name}")
        else:
            place = check_location("output", output)
        destination.check_buckets(place.bucket)
        arn = copy_model(
            self,
            destination,
            project.arn,
            name,
            output=place,
            tags=check_tags(tags),
            kms_key_id=kms_key_id,
            wait=wait,
            timeout=timeout,
        )
        return ModelVersion(destination, arn, project.arn)


def _check_project(project: object) -> None:
    """Check that a value is a Project, whose class is above this module."""
    if isinstance(getattr(project, "_connection", None), Connection) and hasattr(
        type(project), "train_dataset"
    ):
        return
    fix = "Use `client.project('name')`." if isinstance(project, str) else ""
    raise invalid("project", project, "a Project", fix)


class RunningModel(Detects):
    """A model that runs until its ``with model.running()`` block ends.

    Each call counts as use for the ``idle_timeout`` of the block. After the block has ended, or one of its
    limits has stopped the model, calls raise :class:`~rekolabels.errors.LeaseEnded`.

    Examples:
        ::

            with model.running(idle_timeout=600) as running:
                detections = running.detect("dog.jpg")
    """

    def __init__(
        self,
        model: ModelVersion,
        before_call: Callable[[], None],
        using: Callable[[], AbstractContextManager[None]],
    ) -> None:
        check_instance(
            "model", model, ModelVersion, "a ModelVersion", "Use `with model.running() as running:`."
        )
        check_callable("before_call", before_call, "a function")
        check_callable("using", using, "a function")
        self.model = model
        """The model version."""
        self.arn = model.arn
        """ARN of the model version."""
        self._connection = connection_of(model)
        self._require_held = before_call
        self._using = using

    def __repr__(self) -> str:
        return f"<RunningModel {self.arn}>"

    def _before_call(self) -> None:
        self._require_held()

    def _during_call(self) -> AbstractContextManager[None]:
        return self._using()
