"""The door: a client for Amazon Rekognition Custom Labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from rekolabels._aws._arns import parse_dataset_arn, parse_project_arn, parse_version_arn
from rekolabels._aws._connection import Connection
from rekolabels._aws._retry import RetryPolicy
from rekolabels.datasets import Dataset
from rekolabels.errors import BucketNotFound, ResourceInUse, ResourceNotFound
from rekolabels.models import ModelVersion
from rekolabels.models._sweep import running_models, sweep
from rekolabels.projects import Project

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Self

    import boto3
    from botocore.config import Config

    from rekolabels.costs import Prices, RunningCost
    from rekolabels.descriptions import ProjectDescription

__all__ = ["Client"]


class ClientOptions(TypedDict, total=False):
    """What a :class:`Client` takes besides its session and bucket."""

    prefix: str
    region_name: str | None
    config: Config | None
    prices: Prices | None
    retry: RetryPolicy
    upload_processes: int


class Client:
    """A client for Custom Labels, on AWS or on the embedded service.

    On AWS, ``Client()`` finds credentials and Region as every boto3 program does. The embedded service gives
    its own client: ``LocalService().client()``; what is done with it is the same.

    Args:
        session: The boto3 session to use; by default a new one, with boto3's own credential chain.
        bucket: The S3 bucket for uploaded images, manifests and results of trainings. It must lie in the
            Region of the client. Without it, only work that needs no bucket can be done.
        prefix: What the keys in the bucket begin with, such as ``"team-a/"``.
        region_name: The AWS Region; by default the session's.
        config: A ``botocore.config.Config`` with further settings, such as proxies and time-outs.
        prices: What training and running cost, for estimates and limits; by default what is known for the
            Region.
        retry: How calls are repeated and jobs are waited for.
        upload_processes: Processes that send images, this one included; each sends 32 at once. More than one
            pays on a fast line, from some hundreds of images on. The others make sessions of their own, from
            profile, Region and environment: with credentials given in code, and with the embedded service in
            process, there is one.

    Raises:
        NoRegion: No Region is set.
        NoCredentials: The profile of the session does not exist.
        InvalidInput: ``bucket`` is no name of a bucket, or ``upload_processes`` is less than 1.

    Clients and handles can be pickled: in another process they are made again from profile, Region and the
    settings above, with the credentials that boto3 finds there. The pickle holds none. A client of an
    embedded service in the same process cannot be pickled.

    >>> from rekolabels.local import LocalService
    >>> with LocalService() as service:
    ...     client = service.client(bucket="puppies")
    ...     project = client.create_project("PuppyChallenge")
    ...     [found.name for found in client.projects()]
    ['PuppyChallenge']
    """

    def __init__(
        self,
        session: boto3.Session | None = None,
        *,
        bucket: str | None = None,
        prefix: str = "",
        region_name: str | None = None,
        config: Config | None = None,
        prices: Prices | None = None,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 -- frozen, so that sharing it is harmless
        upload_processes: int = 1,
    ) -> None:
        self._connection = Connection(
            session,
            bucket=bucket,
            prefix=prefix,
            region_name=region_name,
            config=config,
            prices=prices,
            retry=retry,
            upload_processes=upload_processes,
        )

    @classmethod
    def _from_connection(cls, connection: Connection) -> Self:
        client = cls.__new__(cls)
        client._connection = connection  # noqa: SLF001 -- its own
        return client

    def __repr__(self) -> str:
        return self._connection.client_repr()

    def __reduce__(self) -> tuple[Any, ...]:
        # By its connection, so that a client and handles that are pickled together share one afterwards.
        return (Client._from_connection, (self._connection,))

    @property
    def session(self) -> boto3.Session:
        """The boto3 session, for whatever else you do with AWS."""
        return self._connection.session

    @property
    def bucket(self) -> str | None:
        """The bucket for images, manifests and results."""
        return self._connection.bucket

    @property
    def prefix(self) -> str:
        """What the keys in the bucket begin with."""
        return self._connection.prefix

    @property
    def region_name(self) -> str:
        """The AWS Region."""
        return self._connection.region_name

    @property
    def retry(self) -> RetryPolicy:
        """How calls are repeated and jobs are waited for."""
        return self._connection.retry

    def ensure_bucket(self) -> str:
        """Make the client's bucket if it does not exist, and return its name.

        Raises:
            InvalidInput: The client has no bucket.
            WrongRegion: The bucket lies in another Region.
            AccessDenied: The bucket belongs to somebody else.
        """
        bucket = self._connection.require_bucket()
        try:
            self._connection.s3.check_bucket(bucket, self._connection.region_name)
        except BucketNotFound:
            self._connection.s3.create_bucket(bucket, self._connection.region_name)
        return bucket

    def create_project(
        self,
        name: str,
        *,
        tags: Mapping[str, str] | None = None,
        auto_update: str | None = None,
        feature: str | None = None,
        exist_ok: bool = False,
    ) -> Project:
        """Create a project (CreateProject).

        Args:
            name: 1 to 255 letters, digits, ``_``, ``.`` and ``-``; unique in the account and Region.
            tags: Tags of the project.
            auto_update: ``"ENABLED"`` or ``"DISABLED"``; for adapters only, and required for them.
            feature: ``"CUSTOM_LABELS"`` (the default) or ``"CONTENT_MODERATION"``.
            exist_ok: Return the project of that name when there is one.

        Raises:
            ResourceInUse: A project of that name exists.
            LimitExceeded: The account has no room for another project.
        """
        try:
            arn = self._connection.rekognition.create_project(
                name, tags=tags, auto_update=auto_update, feature=feature
            )
        except ResourceInUse as error:
            found = self._find(name)
            if found is not None and found.status == "DELETING":
                raise error.explained(
                    f"The project {name!r} is being deleted; its name is free again in some moments."
                ) from error
            if found is None or not exist_ok:
                raise error.explained(
                    f"A project named {name!r} exists: take it with client.project({name!r}) or "
                    "create_project(..., exist_ok=True), or choose another name."
                ) from error
            arn = found.arn
        return Project(self._connection, arn)

    def project(self, name_or_arn: str) -> Project:
        """Return the project of a name or ARN; a name is looked up (DescribeProjects).

        Raises:
            ResourceNotFound: There is no project of that name.
        """
        if name_or_arn.startswith("arn:"):
            parse_project_arn(name_or_arn)
            return Project(self._connection, name_or_arn)
        found = self._find(name_or_arn)
        if found is None:
            raise ResourceNotFound(
                f"There is no project named {name_or_arn!r} in {self._connection.region_name}; "
                f"client.create_project({name_or_arn!r}) makes it.",
                operation="DescribeProjects",
                code="ResourceNotFoundException",
            )
        return Project(self._connection, found.arn)

    def projects(self) -> Iterator[Project]:
        """Yield all projects, fetched page by page as they are asked for (DescribeProjects)."""
        for found in self._connection.rekognition.describe_projects():
            yield Project(self._connection, found.arn)

    def dataset(self, arn: str) -> Dataset:
        """Return the dataset of an ARN, without asking the service."""
        parse_dataset_arn(arn)
        return Dataset(self._connection, arn)

    def model(self, arn: str) -> ModelVersion:
        """Return the model version of an ARN, for example to wait for a training of another process.

        The ARN of a version does not hold the whole ARN of its project, so the project is looked up
        (DescribeProjects).

        Raises:
            ResourceNotFound: Its project does not exist.
        """
        project_name, _ = parse_version_arn(arn)
        return ModelVersion(self._connection, arn, self.project(project_name).arn)

    def running_models(self, *, regions: Iterable[str] | None = None) -> Iterator[RunningCost[ModelVersion]]:
        """Yield everything that costs money now: models that are starting, running or stopping.

        Since when, and how much so far, is known of models that ``model.running()`` started, by their tags.
        The service itself does not say; of the others CloudWatch is asked (to within five minutes, for the
        last 63 days), where it may be and where there is one.

        Args:
            regions: The Regions to look at; by default the client's.
        """
        for connection in self._connections(regions):
            yield from running_models(connection)

    def sweep(
        self, *, regions: Iterable[str] | None = None, wait: bool = True, timeout: float | None = None
    ) -> list[ModelVersion]:
        """Stop the models that a killed process left running, and return them.

        Stopped are models that ``model.running()`` started and no living process uses any more: at the latest
        15 minutes after its process was killed. Models that were started by other means are left alone. To be
        called every quarter of an hour, from cron or from a Lambda function (``examples/sweep_lambda.py``).

        A model that somebody has stopped by hand after its process was killed is given back to everybody: the
        tags of the dead process are taken from it. That is why the tags of every trained model version are
        read; AWS allows ten such requests a second.

        Args:
            regions: The Regions to look at; by default the client's.
            wait: Return when the models have stopped, and wait for those that are still starting, which the
                service does not stop; otherwise return when it has taken the orders, and leave what is
                starting to the next sweep.
            timeout: Seconds for each of the waits.

        Raises:
            SweepIncomplete: A Region or model failed; all others are swept.
        """
        return sweep(self._connections(regions), wait=wait, timeout=timeout)

    def prices(self) -> Prices:
        """Return the prices that estimates and limits use.

        Raises:
            InvalidInput: None were given, and none are known for the Region.
        """
        return self._connection.prices()

    def _connections(self, regions: Iterable[str] | None) -> Iterator[Connection]:
        if regions is None:
            yield self._connection
            return
        for region in regions:
            yield self._connection.in_region(region)

    def _find(self, name: str) -> ProjectDescription | None:
        return next(self._connection.rekognition.describe_projects([name]), None)
