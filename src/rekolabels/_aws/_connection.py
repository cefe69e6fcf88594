"""Connection to AWS: a boto3 session, its settings, and the gateways that the handles share."""

from __future__ import annotations

import logging
import re
import threading
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, cast

import attrs

from rekolabels._arguments import check_instance, check_integer, invalid
from rekolabels._aws._cloudwatch import CloudWatch
from rekolabels._aws._rekognition import Rekognition
from rekolabels._aws._retry import RetryPolicy
from rekolabels._aws._s3 import S3, S3Settings, check_bucket_name, other_region
from rekolabels._aws._session import (
    SessionSettings,
    check_session,
    has_given_credentials,
    make_client,
    make_session,
    settings_of,
)
from rekolabels.costs import Prices, prices_for
from rekolabels.errors import BucketNotFound, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    import boto3
    from botocore.config import Config
    from mypy_boto3_rekognition import RekognitionClient


__all__ = ["Connection", "check_region_name", "connection_of", "made_by_client"]

_REGION = r"[a-z]+(-[a-z]+)+-\d+"

_LOOK_UP_SECONDS = 3
"""Time-outs of a look-up that the call does not depend on."""

_log = logging.getLogger("rekolabels")


class Connection:
    """A boto3 session with its settings, and the gateways to Rekognition, S3 and CloudWatch.

    A :class:`~rekolabels.Client` wraps one, and its handles share it. A pickle contains no credentials:
    another process makes the connection from profile, Region and settings, with the credentials that it
    finds.

    Args:
        session: The boto3 session; None for a new one with boto3's credential chain.
        bucket: S3 bucket for images, manifests and training results; None for no bucket.
        prefix: Prefix of all keys in the bucket.
        region_name: AWS Region; None for that of the session.
        config: Further settings of botocore.
        prices: Prices of the Region; None for the known ones.
        retry: How calls are retried and jobs are polled.
        upload_processes: Number of processes that upload images, including this one.

    Raises:
        NoRegion: No Region is set.
        InvalidInput: ``bucket`` is not a valid bucket name, ``region_name`` is empty, or ``upload_processes``
            is less than 1.
    """

    def __init__(
        self,
        session: boto3.Session | None,
        *,
        bucket: str | None = None,
        prefix: str = "",
        region_name: str | None = None,
        config: Config | None = None,
        prices: Prices | None = None,
        retry: RetryPolicy,
        upload_processes: int = 1,
    ) -> None:
        check_session(session)
        self.bucket = None if bucket is None else check_bucket_name(bucket)
        self.prefix = _check_prefix(prefix)
        self.retry = check_instance(
            "retry", retry, RetryPolicy, "a RetryPolicy", "Use `RetryPolicy(attempts=...)`."
        )
        self._config = _check_config(config)
        self._prices = None if prices is None else check_instance("prices", prices, Prices, "Prices, or None")
        self._upload_processes = check_integer("upload_processes", upload_processes, at_least=1)
        if region_name is not None:
            check_region_name("region_name", region_name)
        self.session = session if session is not None else make_session(SessionSettings(None, region_name))
        # Not lazy like the other gateways: botocore resolves the Region when it makes a client.
        rekognition: RekognitionClient = make_client(
            self.session, "rekognition", region_name=region_name, config=config
        )
        self.region_name = rekognition.meta.region_name
        self.rekognition = Rekognition(rekognition, retry)
        self._bucket_regions: dict[str, str | None] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Connection of {self.client_repr()}>"

    def __reduce__(self) -> tuple[Any, ...]:
        settings = settings_of(self.session)
        if settings is None:
            raise InvalidInput(
                f"Cannot pickle {self.client_repr()}: its session exists in this process only. To use the "
                "embedded service from another process, call `server = service.serve()` and set "
                "`server.environment` there."
            )
        options = {
            "bucket": self.bucket,
            "prefix": self.prefix,
            "region_name": self.region_name,
            "config": self._config,
            "prices": self._prices,
            "retry": self.retry,
            "upload_processes": self._upload_processes,
        }
        return (_reconnect, (settings, options))

    def client_repr(self) -> str:
        """Return the call that makes an equal client, or a description if there is no such call."""
        settings = settings_of(self.session)
        bucket = f"bucket={self.bucket!r}, " if self.bucket else ""
        prefix = f"prefix={self.prefix!r}, " if self.prefix else ""
        if settings is None:
            return f"<Client {bucket}{prefix}of a {type(self.session).__name__}>"
        session = f"boto3.Session(profile_name={settings.profile_name!r}), " if settings.profile_name else ""
        return f"Client({session}{bucket}{prefix}region_name={self.region_name!r})"

    @cached_property
    def s3(self) -> S3:
        """The gateway to Amazon S3."""
        client = make_client(self.session, "s3", region_name=self.region_name, config=self._config)
        return S3(client, self.retry, self._s3_settings(), self._upload_processes)

    @cached_property
    def cloudwatch(self) -> CloudWatch:
        """The gateway to Amazon CloudWatch."""
        client = make_client(self.session, "cloudwatch", region_name=self.region_name, config=self._config)
        return CloudWatch(client, self.retry)

    def _s3_settings(self) -> S3Settings | None:
        """Return the settings for upload workers; None if they would not find the same credentials."""
        session = settings_of(self.session)
        if session is None or has_given_credentials(self.session):
            return None
        policy = attrs.evolve(
            self.retry, on_retry=None, sleep=time.sleep, clock=time.monotonic, time=time.time
        )
        return S3Settings(session, self.region_name, self._config, policy)

    def require_bucket(self) -> str:
        """Return the bucket.

        Raises:
            InvalidInput: The client has no bucket.
        """
        if self.bucket is None:
            raise InvalidInput(
                "The client has no bucket for images, manifests and results. Give one: "
                "`Client(bucket='my-bucket')`."
            )
        return self.bucket

    def ensure_bucket(self) -> str:
        """Create the bucket if it does not exist, and return its name.

        Raises:
            InvalidInput: The client has no bucket.
            WrongRegion: The bucket is in another Region.
            AccessDenied: The bucket belongs to another account, or the caller may not create it.
        """
        bucket = self.require_bucket()
        try:
            self.s3.check_bucket(bucket, self.region_name)
        except BucketNotFound:
            self.s3.create_bucket(bucket, self.region_name)
            _log.info("Created bucket %s in %s.", bucket, self.region_name)
        self._bucket_regions[bucket] = self.region_name
        return bucket

    def check_buckets(self, *buckets: str) -> None:
        """Check that buckets are in the Region of the client, before Rekognition is to use them.

        Each is looked up once (HeadBucket).

        Raises:
            WrongRegion: A bucket is in another Region.
        """
        for bucket in buckets:
            with self._lock:
                if bucket not in self._bucket_regions:
                    self._bucket_regions[bucket] = self._quick_s3.bucket_region(bucket)
            found = self._bucket_regions[bucket]
            if found is not None and found != self.region_name:
                raise other_region(bucket, self.region_name, found)

    @cached_property
    def _quick_s3(self) -> S3:
        """A gateway for look-ups that must not delay a call, such as where S3 cannot be reached."""
        from botocore.config import Config

        quick = Config(connect_timeout=_LOOK_UP_SECONDS, read_timeout=_LOOK_UP_SECONDS)
        config = quick if self._config is None else self._config.merge(quick)
        client = make_client(self.session, "s3", region_name=self.region_name, config=config)
        return S3(client, self.retry)

    def prices(self) -> Prices:
        """Return the prices given, or the known prices of the Region.

        Raises:
            InvalidInput: No prices were given, and none are known for the Region.
        """
        return self._prices or prices_for(self.region_name)

    def in_region(self, region_name: str) -> Connection:
        """Return a connection of the same session to another Region, without a bucket."""
        prices = self._prices if self._prices and self._prices.region == region_name else None
        return Connection(
            self.session, region_name=region_name, config=self._config, prices=prices, retry=self.retry
        )


def made_by_client(handle: object, _: object, value: Connection) -> None:
    """Check the connection of a handle, for attrs.

    Raises:
        InvalidInput: The handle was not made by a client.
    """
    given = cast("object", value)
    if not isinstance(given, Connection):
        raise invalid(
            f"The connection of a {type(handle).__name__}",
            given,
            "that of a client",
            "Use client.project(name), client.dataset(arn) or client.model(arn).",
        )


class _Connected(Protocol):
    @property
    def _connection(self) -> Connection: ...


def connection_of(owner: _Connected) -> Connection:
    """Return the connection of a client or handle, which users do not see but this package shares."""
    return owner._connection  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] -- the one place


def _reconnect(settings: SessionSettings, options: Mapping[str, Any]) -> Connection:
    """Unpickle a connection, with the credentials of this process."""
    return Connection(make_session(settings), **options)


def _check_config(config: Config | None) -> Config | None:
    if config is not None:
        from botocore.config import Config

        check_instance("config", config, Config, "a botocore.config.Config, or None", "Use `Config(...)`.")
    return config


def _check_prefix(prefix: object) -> str:
    if isinstance(prefix, str) and "://" not in prefix and prefix.isprintable():
        return prefix
    raise invalid("prefix", prefix, "the beginning of all keys in the bucket, such as 'team-a/'")


def check_region_name(argument: str, name: object) -> str:
    """Check that a value has the form of a Region's name."""
    if isinstance(name, str) and re.fullmatch(_REGION, name):
        return name
    tidy = re.sub(r"[\s_]+|(?<=[a-z])(?=\d)", "-", name.strip().lower()) if isinstance(name, str) else ""
    fix = f"Did you mean {tidy!r}?" if re.fullmatch(_REGION, tidy) else ""
    raise invalid(argument, name, "a Region such as 'us-east-1'", fix)
