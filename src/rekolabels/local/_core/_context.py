"""Context of an operation: the service it runs in, and the account and Region of its caller."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from rekolabels._arguments import check_integer, check_text
from rekolabels.errors import InvalidInput
from rekolabels.local._core._arns import Arn, Kind, parse_arn
from rekolabels.local._core._clock import Durations
from rekolabels.local._core._credentials import user_arn
from rekolabels.local._core._exceptions import ServiceException
from rekolabels.local._core._job_runner import JobRunner
from rekolabels.local._core._models import ModelCache
from rekolabels.local._core._store import Store
from rekolabels.local._core._throttling import Throttle
from rekolabels.local._engine import EngineName

if TYPE_CHECKING:
    from sqlite3 import Connection, Row

__all__ = ["Call", "Context", "Quotas", "check_process"]

# Amazon Rekognition endpoints and quotas (AWS General Reference), read in 2026.
_TRAININGS = {"ap-southeast-2": 1}
_MEDIA_JOBS = {"us-east-1": 20, "us-west-2": 20, "eu-west-1": 20}
_NAMES = {"project": "project", "dataset": "dataset", "version": "project version"}


@attrs.frozen(repr=False)
class Quotas:
    """Quotas of one account in one Region; the defaults are those of a new AWS account."""

    projects: int = 100
    """Projects."""
    versions_per_project: int = 100
    """Model versions of a project, in any status."""
    trainings: int | None = None
    """Trainings in progress; None for AWS's number in the Region: 2, and 1 in ap-southeast-2."""
    running_models: int = 2
    """Models that are starting or running."""
    inference_units: int = 5
    """Inference units of one model."""
    images_per_dataset: int = 250_000
    """Lines of a manifest, and entries of a dataset."""
    tags_per_resource: int = 50
    """Tags of a project, dataset or model version."""
    policies_per_project: int = 5
    """Policies of a project."""
    copies: int = sys.maxsize
    """Copies in progress. No limit by default: AWS has such a quota but does not publish it."""
    media_jobs: int | None = None
    """Media analysis jobs in progress; None for AWS's number in the Region: 20 in us-east-1, us-west-2 and
    eu-west-1, and 5 elsewhere. AWS closed these jobs (bulk analysis) to new customers on 2026-04-30."""

    def __attrs_post_init__(self) -> None:
        for field in attrs.fields(type(self)):
            value, optional = getattr(self, field.name), field.default is None
            if not (value is None and optional):
                check_integer(f"Quotas.{field.name}", value, at_least=0, optional=optional)

    @classmethod
    def off(cls) -> Quotas:
        """Return quotas without any limits.

        >>> Quotas.off().projects > 10**9
        True
        """
        return cls(**{field.name: sys.maxsize for field in attrs.fields(cls)})

    def trainings_in(self, region: str) -> int:
        """Return the number of trainings in progress that are allowed in a Region."""
        check_text("region", region, "a Region")
        return _TRAININGS.get(region, 2) if self.trainings is None else self.trainings

    def media_jobs_in(self, region: str) -> int:
        """Return the number of media analysis jobs in progress that are allowed in a Region."""
        check_text("region", region, "a Region")
        return _MEDIA_JOBS.get(region, 5) if self.media_jobs is None else self.media_jobs

    def __repr__(self) -> str:
        if self == Quotas.off():
            return "Quotas.off()"
        changed = {
            field.name: value
            for field in attrs.fields(Quotas)
            if (value := getattr(self, field.name)) != field.default
        }
        return f"Quotas({', '.join(f'{name}={value!r}' for name, value in changed.items())})"


@attrs.frozen(eq=False)
class Context:
    """The parts of one service that its operations and jobs use."""

    store: Store
    jobs: JobRunner
    clock: Callable[[], float]
    quotas: Quotas
    folder: Path
    """Folder of the models and intermediate files."""
    s3: Callable[[], Any]
    """Returns the boto3 S3 client for images, manifests and results; the first call makes it."""
    models: ModelCache
    """The models in memory."""
    throttle: Throttle
    """The request rate limits."""
    durations: Durations = attrs.field(factory=Durations)
    """How long jobs take."""
    seed: int = 0
    """Makes splits and trainings repeatable."""
    engine: EngineName = "network"
    """What trains."""
    process: int = attrs.field(factory=os.getpid)
    """The process that the service belongs to."""


def check_process(process: int) -> None:
    """Check that this process is the one that created the service, and not a fork of it.

    Raises:
        InvalidInput: It is a fork. The service's threads, locks and connections stayed in its own process.
    """
    if process != os.getpid():
        raise InvalidInput(
            f"This embedded service belongs to process {process}, and this is its fork {os.getpid()}. Create "
            "a new LocalService in each process, or share one by service.serve()."
        )


@attrs.frozen(eq=False)
class Call:
    """One request: the service, and the account and Region of the caller."""

    context: Context
    account: str
    region: str

    @property
    def user(self) -> str:
        """The ARN of the caller."""
        return user_arn(self.account)

    def new_arn(self, db: Connection, project: str, kind: Kind, name: str = "") -> Arn:
        """Return a unique ARN for a resource that is created now."""
        number = self.context.store.next_timestamp(db, self.context.clock())
        return Arn(
            region=self.region, account=self.account, project=project, kind=kind, name=name, number=number
        )

    def project(self, db: Connection, arn: str) -> Row:
        """Return the row of the project with this ARN.

        Raises:
            ServiceException: ``ResourceNotFoundException``.
        """
        return self._row(db, "project", arn, "SELECT * FROM projects WHERE arn = ?")

    def dataset(self, db: Connection, arn: str) -> Row:
        """Return the row of the dataset with this ARN.

        Raises:
            ServiceException: ``ResourceNotFoundException``.
        """
        return self._row(db, "dataset", arn, "SELECT * FROM datasets WHERE arn = ?")

    def version(self, db: Connection, arn: str) -> Row:
        """Return the row of the model version with this ARN.

        Raises:
            ServiceException: ``ResourceNotFoundException``.
        """
        return self._row(db, "version", arn, "SELECT * FROM versions WHERE arn = ?")

    def _row(self, db: Connection, kind: Kind, arn: str, query: str) -> Row:
        parts = parse_arn(arn)
        found: Row | None = None
        # To a caller, the resources of other accounts and Regions do not exist.
        if parts is not None and (parts.account, parts.region, parts.kind) == (
            self.account,
            self.region,
            kind,
        ):
            found = db.execute(query, (arn,)).fetchone()
        if found is None:
            raise ServiceException.not_found(_NAMES[kind], arn)
        return found
