"""What every operation works with, and for whom."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from rekolabels.local._core._arns import Arn, Kind, parse_arn
from rekolabels.local._core._clock import Durations
from rekolabels.local._core._exceptions import ServiceException
from rekolabels.local._core._job_runner import Jobs
from rekolabels.local._core._models import ModelCache
from rekolabels.local._core._store import Store
from rekolabels.local._core._throttling import Limits
from rekolabels.local._engine import EngineName

if TYPE_CHECKING:
    from sqlite3 import Connection, Row

__all__ = ["Call", "Context", "Quotas"]

_WORDS = {"project": "project", "dataset": "dataset", "version": "project version"}


@attrs.frozen
class Quotas:
    """How much one account may have in one Region; the defaults are those of a new AWS account."""

    projects: int = 100
    """Projects."""
    versions_per_project: int = 100
    """Model versions of a project, in any status."""
    trainings: int = 2
    """Trainings in progress."""
    running_models: int = 2
    """Models that are starting or running."""
    inference_units: int = 5
    """Inference units of one model."""
    images_per_dataset: int = 250_000
    """Lines of a manifest, and entries of a dataset."""
    tags_per_resource: int = 200
    """Tags of a project, dataset or model version."""
    policies_per_project: int = 5
    """Policies of a project."""
    copies: int = sys.maxsize
    """Copies in progress. AWS has such a quota, but publishes no number: none by default."""
    media_jobs: int = 20
    """Media analysis jobs in progress."""

    @classmethod
    def off(cls) -> Quotas:
        """No quotas at all.

        >>> Quotas.off().projects > 10**9
        True
        """
        return cls(**{field.name: sys.maxsize for field in attrs.fields(cls)})


@attrs.frozen(eq=False)
class Context:
    """One service: its memory, its workers, its clock, its limits and its S3."""

    store: Store
    jobs: Jobs
    clock: Callable[[], float]
    quotas: Quotas
    folder: Path
    """Where models and intermediate files lie."""
    s3: Callable[[], Any]
    """Brings the boto3 S3 client for images, manifests and results; it is made at the first use."""
    models: ModelCache
    """The models that are loaded."""
    limits: Limits
    """How many requests a second are taken."""
    durations: Durations = attrs.field(factory=Durations)
    """How long the work takes."""
    seed: int = 0
    """Makes splits and trainings repeatable."""
    engine: EngineName = "network"
    """What learns."""


@attrs.frozen(eq=False)
class Call:
    """One request: the service, and the account and Region that asks."""

    context: Context
    account: str
    region: str

    def new_arn(self, db: Connection, project: str, kind: Kind, name: str = "") -> Arn:
        """The ARN of something that is made now."""
        number = self.context.store.tick(db, self.context.clock())
        return Arn(
            region=self.region, account=self.account, project=project, kind=kind, name=name, number=number
        )

    def project(self, db: Connection, arn: str) -> Row:
        """The project of an ARN.

        Raises:
            ServiceException: ``ResourceNotFoundException``.
        """
        return self._row(db, "project", arn, "SELECT * FROM projects WHERE arn = ?")

    def dataset(self, db: Connection, arn: str) -> Row:
        """The dataset of an ARN.

        Raises:
            ServiceException: ``ResourceNotFoundException``.
        """
        return self._row(db, "dataset", arn, "SELECT * FROM datasets WHERE arn = ?")

    def version(self, db: Connection, arn: str) -> Row:
        """The model version of an ARN.

        Raises:
            ServiceException: ``ResourceNotFoundException``.
        """
        return self._row(db, "version", arn, "SELECT * FROM versions WHERE arn = ?")

    def _row(self, db: Connection, kind: Kind, arn: str, query: str) -> Row:
        parts = parse_arn(arn)
        found: Row | None = None
        # What lies in another account or Region is as good as not there.
        if parts is not None and (parts.account, parts.region, parts.kind) == (
            self.account,
            self.region,
            kind,
        ):
            found = db.execute(query, (arn,)).fetchone()
        if found is None:
            raise ServiceException.not_found(_WORDS[kind], arn)
        return found
