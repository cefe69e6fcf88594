"""Client for Amazon Rekognition Custom Labels."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, TypedDict

from rekolabels._arguments import (
    check_choice,
    check_flag,
    check_items,
    check_limit,
    check_seconds,
    check_text,
)
from rekolabels._aws._arns import (
    check_name,
    check_tags,
    parse_dataset_arn,
    parse_project_arn,
    parse_version_arn,
)
from rekolabels._aws._connection import Connection, check_region_name
from rekolabels._aws._retry import RetryPolicy
from rekolabels.datasets import Dataset
from rekolabels.errors import ResourceInUse, ResourceNotFound
from rekolabels.models import ModelVersion
from rekolabels.models._sweep import running_models, sweep
from rekolabels.projects import Project
from rekolabels.regions import check_region

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Self

    import boto3
    from botocore.config import Config

    from rekolabels.costs import Prices, RunningCost
    from rekolabels.descriptions import ProjectDescription

__all__ = ["Client"]


class ClientOptions(TypedDict, total=False):
    """Options of :class:`Client`, except session and bucket."""

    prefix: str
    region_name: str | None
    config: Config | None
    prices: Prices | None
    retry: RetryPolicy
    upload_processes: int


class Client:
    """Client for Custom Labels, on AWS or on the embedded service.

    On AWS, ``Client()`` finds credentials and Region like any boto3 program. For the embedded service, use
    ``LocalService().client()``; all further code is the same.

    Args:
        session: The boto3 session; by default a new one with boto3's credential chain.
        bucket: The S3 bucket for images, manifests and training results, in the Region of the client.
            ``create_datasets`` creates it if it does not exist. Without a bucket, methods that need one raise
            ``InvalidInput``.
        prefix: Prefix of all keys in the bucket, such as ``"team-a/"``.
        region_name: The AWS Region, one of :data:`rekolabels.regions.KNOWN_REGIONS`; by default that of the
            session.
        config: A ``botocore.config.Config`` with further settings, such as proxies and time-outs.
        prices: Prices of training and inference, for estimates and cost limits; by default the known prices
            of the Region.
        retry: How calls are retried and jobs are polled.
        upload_processes: Number of processes that upload images, including this one. Each sends 32 images at
            a time. More than one is faster on a fast network, for several hundred images or more. The other
            processes make their own sessions from profile, Region and environment. If the credentials were
            given in code, or the embedded service runs in this process, only this process uploads.

    Raises:
        NoRegion: No Region is set.
        NoCredentials: The profile of the session does not exist.
        InvalidInput: ``bucket`` is not a valid bucket name, the Region has no Custom Labels, or
            ``upload_processes`` is less than 1.

    Clients and handles can be pickled, except those of an embedded service in this process. A pickle contains
    no credentials: the other process finds its own, through boto3.

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
        # Not in Connection: a process that unpickles one may not know the Regions that were added here.
        check_region(self._connection.region_name, argument="region_name")

    @classmethod
    def _from_connection(cls, connection: Connection) -> Self:
        client = cls.__new__(cls)
        client._connection = connection  # noqa: SLF001 -- its own
        return client

    def __repr__(self) -> str:
        return self._connection.client_repr()

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the connection, so that clients and handles that are pickled together share it again.
        return (Client._from_connection, (self._connection,))

    @property
    def session(self) -> boto3.Session:
        """The boto3 session, for other AWS services."""
        return self._connection.session

    @property
    def bucket(self) -> str | None:
        """The S3 bucket for images, manifests and training results; None if none was given."""
        return self._connection.bucket

    @property
    def prefix(self) -> str:
        """Prefix of all keys in the bucket."""
        return self._connection.prefix

    @property
    def region_name(self) -> str:
        """The AWS Region."""
        return self._connection.region_name

    @property
    def retry(self) -> RetryPolicy:
        """How calls are retried and jobs are polled."""
        return self._connection.retry

    def ensure_bucket(self) -> str:
        """Create the client's bucket if it does not exist, and return its name (CreateBucket).

        ``project.create_datasets(images)`` does the same before it uploads images.

        Raises:
            InvalidInput: The client has no bucket, or S3 allows no bucket of this name.
            WrongRegion: The bucket is in another Region.
            AccessDenied: The bucket belongs to another account, or the caller may not create it.
        """
        return self._connection.ensure_bucket()

    def create_project(
        self,
        name: str,
        *,
        tags: Mapping[str, str] | None = None,
        auto_update: bool | None = None,
        feature: str | None = None,
        exist_ok: bool = False,
    ) -> Project:
        """Create a project (CreateProject).

        Args:
            name: 1 to 255 letters, digits, ``_``, ``.`` and ``-``; unique in the account and Region.
            tags: Tags of the project.
            auto_update: Whether AWS retrains an adapter when its base model changes; required for adapters,
                not allowed otherwise.
            feature: ``"CUSTOM_LABELS"`` (the default) or ``"CONTENT_MODERATION"``.
            exist_ok: Return the project if one with this name exists, instead of raising an error.

        Raises:
            InvalidInput: An argument is not valid.
            ResourceInUse: A project with this name exists.
            LimitExceeded: The account cannot have another project.
        """
        check_name("name", name)
        check_flag("exist_ok", exist_ok)
        if feature is not None:
            check_choice("feature", feature, ("CUSTOM_LABELS", "CONTENT_MODERATION"))
        try:
            arn = self._connection.rekognition.create_project(
                name,
                tags=check_tags(tags),
                auto_update=None if auto_update is None else check_flag("auto_update", auto_update),
                feature=feature,
            )
        except ResourceInUse as error:
            found = self._find(name)
            if found is not None and found.status == "DELETING":
                raise error.explained(
                    f"Project {name!r} is being deleted. The name becomes available when deletion finishes."
                ) from error
            if found is None or not exist_ok:
                raise error.explained(
                    f"Project {name!r} already exists. Use client.project({name!r}) or "
                    "client.create_project(..., exist_ok=True), or choose another name."
                ) from error
            arn = found.arn
        return Project(self._connection, arn)

    def project(self, name_or_arn: str) -> Project:
        """Return the project with this name or ARN; only a name is looked up (DescribeProjects).

        Raises:
            InvalidInput: It is not a valid name or ARN.
            ResourceNotFound: No project has this name.
        """
        if check_text("name_or_arn", name_or_arn, "the name or the ARN of a project").startswith("arn:"):
            parse_project_arn(name_or_arn)
            return Project(self._connection, name_or_arn)
        found = self._find(check_name("name_or_arn", name_or_arn))
        if found is None:
            raise ResourceNotFound(
                f"Project {name_or_arn!r} does not exist in {self._connection.region_name}. "
                f"Create it with client.create_project({name_or_arn!r}).",
                operation="DescribeProjects",
                code="ResourceNotFoundException",
            )
        return Project(self._connection, found.arn)

    def projects(self, *, limit: int | None = None) -> Iterator[Project]:
        """Yield the projects of the Region; pages are fetched as needed (DescribeProjects).

        Args:
            limit: Yield at most this many.
        """
        found = self._connection.rekognition.describe_projects()
        return (
            Project(self._connection, project.arn)
            for project in itertools.islice(found, check_limit("limit", limit))
        )

    def dataset(self, arn: str) -> Dataset:
        """Return the dataset with this ARN, without a call to the service.

        Raises:
            InvalidInput: It is not the ARN of a dataset.
        """
        parse_dataset_arn(arn)
        return Dataset(self._connection, arn)

    def model(self, arn: str) -> ModelVersion:
        """Return the model version with this ARN, for example to wait for a training of another process.

        The project is looked up (DescribeProjects), because the ARN of a version does not contain all of the
        ARN of its project.

        Raises:
            InvalidInput: It is not the ARN of a model version.
            ResourceNotFound: Its project does not exist.
        """
        project_name, _ = parse_version_arn(arn)
        return ModelVersion(self._connection, arn, self.project(project_name).arn)

    def running_models(self, *, regions: Iterable[str] | None = None) -> Iterator[RunningCost[ModelVersion]]:
        """Yield the models that are billed now: those that are starting, running or stopping.

        The service does not report when a model was started. For models that ``model.running()`` started, the
        time and the cost so far come from their tags. For others they come from CloudWatch, if it can be
        read: to within five minutes, and for the last 63 days.

        Args:
            regions: The Regions to search; by default the client's.
        """
        return itertools.chain.from_iterable(map(running_models, self._connections(regions)))

    def sweep(
        self, *, regions: Iterable[str] | None = None, wait: bool = True, timeout: float | None = None
    ) -> list[ModelVersion]:
        """Stop the models that killed processes left running, and return them.

        Stops models that ``model.running()`` started and that no live process uses, at the latest 15 minutes
        after their process was killed. Models that were started by other means are not stopped. Call it every
        15 minutes, from cron or a Lambda function (``examples/sweep_lambda.py``).

        If a model was stopped by other means after its process was killed, the tags of that process are
        removed. Therefore the tags of every trained model version are read; AWS allows ten such requests per
        second.

        Args:
            regions: The Regions to sweep; by default the client's.
            wait: Wait until the models have stopped, and for models that are still starting, which the
                service cannot stop. Otherwise return when the service has accepted the stops, and leave
                models that are starting to the next sweep.
            timeout: Seconds for each of the waits.

        Raises:
            SweepIncomplete: A Region or model failed; all others were swept.
        """
        connections = self._connections(regions)
        return sweep(connections, wait=check_flag("wait", wait), timeout=check_seconds("timeout", timeout))

    def prices(self) -> Prices:
        """Return the prices that estimates and cost limits use.

        Raises:
            InvalidInput: No prices were given, and none are known for the Region.
        """
        return self._connection.prices()

    def _connections(self, regions: Iterable[str] | None) -> list[Connection]:
        if regions is None:
            return [self._connection]
        names = check_items("regions", regions, str, "a list of Regions")
        for position, name in enumerate(names):
            check_region_name(f"regions[{position}]", name)
            check_region(name, argument=f"regions[{position}]")
        return [self._connection.in_region(name) for name in names]

    def _find(self, name: str) -> ProjectDescription | None:
        return next(self._connection.rekognition.describe_projects([name]), None)
