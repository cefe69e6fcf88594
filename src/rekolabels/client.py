"""The door: a client for Amazon Rekognition Custom Labels."""

from __future__ import annotations

import re
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypedDict

import attrs

from rekolabels._aws._arns import parse_dataset_arn, parse_project_arn, parse_version_arn
from rekolabels._aws._cloudwatch import Metrics
from rekolabels._aws._rekognition import Rekognition
from rekolabels._aws._retry import RetryPolicy
from rekolabels._aws._s3 import Storage, StorageSettings
from rekolabels._aws._session import (
    SessionSettings,
    has_given_credentials,
    make_client,
    make_session,
    settings_of,
)
from rekolabels.costs import prices_for
from rekolabels.datasets import Dataset
from rekolabels.errors import BucketNotFound, InvalidInput, ResourceInUse, ResourceNotFound
from rekolabels.models import ModelVersion
from rekolabels.models._sweep import running_models, sweep
from rekolabels.projects import Project

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import boto3
    from botocore.config import Config
    from mypy_boto3_rekognition import RekognitionClient

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
        if upload_processes < 1:
            raise InvalidInput(f"upload_processes is {upload_processes!r}; expected 1 or more.")
        self._upload_processes = upload_processes
        self._config = config
        self._retry = retry
        self._bucket = None if bucket is None else _bucket_name(bucket)
        self._prefix = prefix
        self._prices = prices
        self._session = session if session is not None else make_session(SessionSettings(None, region_name))
        rekognition: RekognitionClient = make_client(
            self._session, "rekognition", region_name=region_name, config=config
        )
        self._region_name = rekognition.meta.region_name
        self._api = Rekognition(rekognition, retry)

    def __repr__(self) -> str:
        settings = settings_of(self._session)
        bucket = f"bucket={self._bucket!r}, " if self._bucket else ""
        prefix = f"prefix={self._prefix!r}, " if self._prefix else ""
        if settings is None:
            return f"<Client {bucket}{prefix}of a {type(self._session).__name__}>"
        session = f"boto3.Session(profile_name={settings.profile_name!r}), " if settings.profile_name else ""
        return f"Client({session}{bucket}{prefix}region_name={self._region_name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Handles hold their client, so it must travel with them; credentials stay where they are.
        settings = settings_of(self._session)
        if settings is None:
            raise InvalidInput(
                f"{self!r} works in this process only, because its session does. Other processes reach an "
                "embedded service by service.serve() and the environment of the server that it returns."
            )
        given = {
            "bucket": self._bucket,
            "prefix": self._prefix,
            "region_name": self._region_name,
            "config": self._config,
            "prices": self._prices,
            "retry": self._retry,
            "upload_processes": self._upload_processes,
        }
        return (_attach, (settings, given))

    @property
    def session(self) -> boto3.Session:
        """The boto3 session, for whatever else you do with AWS."""
        return self._session

    @property
    def bucket(self) -> str | None:
        """The bucket for images, manifests and results."""
        return self._bucket

    @property
    def prefix(self) -> str:
        """What the keys in the bucket begin with."""
        return self._prefix

    @property
    def region_name(self) -> str:
        """The AWS Region."""
        return self._region_name

    @property
    def retry(self) -> RetryPolicy:
        """How calls are repeated and jobs are waited for."""
        return self._retry

    @property
    def api(self) -> Rekognition:
        """The gateway to Rekognition; for the handles."""
        return self._api

    @cached_property
    def storage(self) -> Storage:
        """The gateway to S3; for the handles."""
        s3 = make_client(self._session, "s3", region_name=self._region_name, config=self._config)
        return Storage(s3, self._retry, self._storage_settings(), self._upload_processes)

    def _storage_settings(self) -> StorageSettings | None:
        """What other processes open the storage by; None where they would not find the same credentials."""
        session = settings_of(self._session)
        if session is None or has_given_credentials(self._session):
            return None
        policy = attrs.evolve(
            self._retry, on_retry=None, sleep=time.sleep, clock=time.monotonic, time=time.time
        )
        return StorageSettings(session, self._region_name, self._config, policy)

    @cached_property
    def metrics(self) -> Metrics:
        """The gateway to CloudWatch; for the handles."""
        cloudwatch = make_client(
            self._session, "cloudwatch", region_name=self._region_name, config=self._config
        )
        return Metrics(cloudwatch, self._retry)

    def need_bucket(self) -> str:
        """Return the bucket.

        Raises:
            InvalidInput: The client has none.
        """
        if self._bucket is None:
            raise InvalidInput(
                "This needs a bucket for images, manifests and results: Client(bucket='my-bucket')"
            )
        return self._bucket

    def ensure_bucket(self) -> str:
        """Make the client's bucket if it does not exist, and return its name.

        Raises:
            InvalidInput: The client has no bucket.
            WrongRegion: The bucket lies in another Region.
            AccessDenied: The bucket belongs to somebody else.
        """
        bucket = self.need_bucket()
        try:
            self.storage.check_bucket(bucket, self._region_name)
        except BucketNotFound:
            self.storage.create_bucket(bucket, self._region_name)
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
            arn = self._api.create_project(name, tags=tags, auto_update=auto_update, feature=feature)
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
        return Project(self, arn)

    def project(self, name_or_arn: str) -> Project:
        """Return the project of a name or ARN; a name is looked up (DescribeProjects).

        Raises:
            ResourceNotFound: There is no project of that name.
        """
        if name_or_arn.startswith("arn:"):
            parse_project_arn(name_or_arn)
            return Project(self, name_or_arn)
        found = self._find(name_or_arn)
        if found is None:
            raise ResourceNotFound(
                f"There is no project named {name_or_arn!r} in {self._region_name}; "
                f"client.create_project({name_or_arn!r}) makes it.",
                operation="DescribeProjects",
                code="ResourceNotFoundException",
            )
        return Project(self, found.arn)

    def projects(self) -> Iterator[Project]:
        """Yield all projects, fetched page by page as they are asked for (DescribeProjects)."""
        for found in self._api.describe_projects():
            yield Project(self, found.arn)

    def dataset(self, arn: str) -> Dataset:
        """Return the dataset of an ARN, without asking the service."""
        parse_dataset_arn(arn)
        return Dataset(self, arn)

    def model(self, arn: str) -> ModelVersion:
        """Return the model version of an ARN, for example to wait for a training of another process.

        The ARN of a version does not hold the whole ARN of its project, so the project is looked up
        (DescribeProjects).

        Raises:
            ResourceNotFound: Its project does not exist.
        """
        project_name, _ = parse_version_arn(arn)
        return ModelVersion(self, arn, self.project(project_name).arn)

    def running_models(self, *, regions: Iterable[str] | None = None) -> Iterator[RunningCost]:
        """Yield everything that costs money now: models that are starting, running or stopping.

        Since when, and how much so far, is known of models that ``model.running()`` started, by their tags.
        The service itself does not say; of the others CloudWatch is asked (to within five minutes, for the
        last 63 days), where it may be and where there is one.

        Args:
            regions: The Regions to look at; by default the client's.
        """
        for client in self._in_regions(regions):
            yield from running_models(client)

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
        return sweep(self._in_regions(regions), wait=wait, timeout=timeout)

    def prices(self) -> Prices:
        """Return the prices that estimates and limits use.

        Raises:
            InvalidInput: None were given, and none are known for the Region.
        """
        return self._prices or prices_for(self._region_name)

    def _in_regions(self, regions: Iterable[str] | None) -> Iterator[Client]:
        if regions is None:
            yield self
            return
        for region in regions:
            prices = self._prices if self._prices and self._prices.region == region else None
            yield Client(
                self._session, region_name=region, config=self._config, prices=prices, retry=self._retry
            )

    def _find(self, name: str) -> ProjectDescription | None:
        return next(self._api.describe_projects([name]), None)


def _attach(settings: SessionSettings, given: Mapping[str, Any]) -> Client:
    """Make a client that was pickled anew, with the credentials of this process."""
    return Client(make_session(settings), **given)


def _bucket_name(name: str) -> str:
    # Old buckets have names that S3 gives no longer: capitals, underscores, more than 63 characters.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]", name):
        raise InvalidInput(
            f"bucket is {name!r}; expected the name of a bucket alone, at least 3 letters, digits, dots and "
            "hyphens, without s3:// and without a path: what keys begin with is given by prefix='...'."
        )
    return name
