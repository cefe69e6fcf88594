"""What a service leaves behind when it is killed or closed, and what it does without file descriptors."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from rekolabels.errors import ServiceClosed
from rekolabels.local import LocalService

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")

# One attempt, and nothing that reads the body before it is sent.
ONCE = Config(
    retries={"total_max_attempts": 1},
    signature_version=UNSIGNED,
    request_checksum_calculation="when_required",
)


def run(program: str, *arguments: str, temporary: Path) -> subprocess.Popen[str]:
    """Start a program whose temporary files go to a folder of its own."""
    return subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, *(("-c", program) if program else ()), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )


# -- killed --------------------------------------------------------------------------------------------------

EMBEDDED = """
import sys
from rekolabels.local import LocalService
service = LocalService(engine="tiny")
service.client(bucket="puppies").create_project("puppies")
print(service.path, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("name", ["SIGHUP", "SIGQUIT", "SIGTERM", "SIGINT"])
def test_a_server_that_is_asked_to_end_removes_its_temporary_workspace(name: str, tmp_path: Path) -> None:
    """``rekolabels serve`` ends in order at every signal that asks for it."""
    server = run("", "-m", "rekolabels", "serve", temporary=tmp_path)
    assert server.stdout is not None
    assert server.stdout.readline().startswith("http://127.0.0.1:")
    assert len(list(tmp_path.iterdir())) == 1
    server.send_signal(getattr(signal, name))
    server.communicate(timeout=300)
    assert server.returncode == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["SIGHUP", "SIGQUIT", "SIGTERM", "SIGKILL"])
def test_the_next_service_removes_the_temporary_workspace_of_a_killed_one(name: str, tmp_path: Path) -> None:
    """Only what is provably dead and ours is removed."""
    killed, running = (run(EMBEDDED, temporary=tmp_path) for _ in range(2))
    assert killed.stdout is not None
    assert running.stdout is not None
    dead, alive = (Path(process.stdout.readline().strip()) for process in (killed, running) if process.stdout)
    copy = tmp_path / "rekolabels-copy"
    subprocess.run(["cp", "-r", dead, copy], check=True)  # noqa: S603, S607 - paths of this test
    (tmp_path / "rekolabels-mine").mkdir()
    (tmp_path / "rekolabels-link").symlink_to(copy)
    killed.send_signal(getattr(signal, name))
    killed.communicate(timeout=300)
    assert dead.exists()

    third = run(EMBEDDED, temporary=tmp_path)
    assert third.stdout is not None
    latest = Path(third.stdout.readline().strip())
    assert set(tmp_path.iterdir()) == {
        alive,
        latest,
        copy,
        tmp_path / "rekolabels-mine",
        tmp_path / "rekolabels-link",
    }
    third.communicate("", timeout=300)
    running.communicate("", timeout=300)
    assert not alive.exists()
    assert not latest.exists()


def test_the_files_of_killed_owners_are_removed(tmp_path: Path) -> None:
    """Also those of owners without any job."""
    program = (
        "import sys; from rekolabels.local import LocalService; service = LocalService(sys.argv[1])\n"
        "print(service.path, flush=True); sys.stdin.read()"
    )
    owners = tmp_path / "workspace" / "rekognition" / "owners"
    for _ in range(3):
        process = run(program, str(tmp_path / "workspace"), temporary=tmp_path)
        assert process.stdout is not None
        assert process.stdout.readline() == f"{tmp_path / 'workspace'}\n"
        process.kill()
        process.communicate(timeout=300)
    assert len(list(owners.iterdir())) == 1
    with LocalService(tmp_path / "workspace", engine="tiny"):
        assert len(list(owners.iterdir())) == 1
    assert list(owners.iterdir()) == []


@pytest.mark.parametrize("stage", ["made", "linked"])
def test_a_session_that_was_killed_between_two_steps(stage: str, tmp_path: Path) -> None:
    """Killed after its folder was made, or after a plain file was linked and before it was moved."""
    bodies = tmp_path / "workspace" / "s3" / ".rekolabels" / "bodies"
    with LocalService(tmp_path / "workspace", engine="tiny") as service:
        s3 = service.client(bucket="puppies").session.client("s3")
        s3.put_object(Bucket="puppies", Key="a", Body=b"dog")
        (own,) = bodies.iterdir()
    if stage == "made":
        (bodies / "0123456789ab").mkdir()
    else:
        (own / ("0" * 20)).write_bytes(b"dog")
    with LocalService(tmp_path / "workspace", engine="tiny") as service:
        files = [path.name for path in bodies.rglob("*") if path.is_file() and path.name != "lock"]
        assert len(files) == 1
        assert not (bodies / "0123456789ab").exists()
        (entry,) = service.session().client("s3").list_objects_v2(Bucket="puppies")["Contents"]
        assert entry["Size"] == 3


# -- closed during an upload ---------------------------------------------------------------------------------


class PausedBody:
    """A request body that stops in its middle until it may go on."""

    def __init__(self) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()
        self._parts = iter([b"new", b" dog"])

    def read(self, _size: int = -1) -> bytes:
        """Return the next part; wait before the second one."""
        part = next(self._parts, b"")
        if part == b" dog":
            self.reached.set()
            assert self.go_on.wait(300)
        return part


def upload_in_thread(s3: S3Client, body: Any) -> tuple[threading.Thread, list[object]]:
    """Put the object in a thread; its result, or its error, is added to the list."""
    results: list[object] = []

    def upload() -> None:
        try:
            results.append(s3.put_object(Bucket="puppies", Key="a", Body=body, ContentLength=7))
        except ClientError as error:
            results.append(error.response["Error"]["Code"])
        except BaseException as error:  # noqa: BLE001 - handed to the test
            results.append(error)

    thread = threading.Thread(target=upload, name="upload", daemon=True)
    thread.start()
    return thread, results


def test_a_service_that_is_closed_and_opened_again_during_an_upload(tmp_path: Path) -> None:
    """The upload fails, and the older object stays whole."""
    service = LocalService(tmp_path / "workspace", engine="tiny")
    s3 = service.client(bucket="puppies").session.client("s3", config=ONCE)
    s3.put_object(Bucket="puppies", Key="a", Body=b"old dog")
    body = PausedBody()
    thread, results = upload_in_thread(s3, body)
    assert body.reached.wait(300)
    service.close()
    with LocalService(tmp_path / "workspace", engine="tiny") as again:
        body.go_on.set()
        thread.join()
        assert [type(error) for error in results] == [ServiceClosed]
        again_s3 = again.session().client("s3")
        assert again_s3.get_object(Bucket="puppies", Key="a")["Body"].read() == b"old dog"
    with LocalService(tmp_path / "workspace", engine="tiny") as again:
        again_s3 = again.session().client("s3")
        assert again_s3.get_object(Bucket="puppies", Key="a")["Body"].read() == b"old dog"
    bodies = (tmp_path / "workspace" / "s3" / ".rekolabels" / "bodies").rglob("*")
    assert len([path for path in bodies if path.is_file() and path.name != "lock"]) == 1


def test_a_service_that_is_closed_and_opened_again_during_the_commit_of_an_upload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that has its connection already commits after all: the body of the object must still exist.

    SQLite is held up at the beginning of the writer's transaction, as by a busy disk or another writer.
    """
    reached, go_on = threading.Event(), threading.Event()

    class SlowConnection(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if sql.startswith("BEGIN IMMEDIATE") and threading.current_thread().name == "upload":
                reached.set()
                assert go_on.wait(300)
            return super().execute(sql, *values)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **kw: connect(*args, **kw, factory=SlowConnection))
    service = LocalService(tmp_path / "workspace", engine="tiny")
    s3 = service.client(bucket="puppies").session.client("s3", config=ONCE)
    s3.put_object(Bucket="puppies", Key="a", Body=b"old dog")
    thread, _ = upload_in_thread(s3, b"new dog")
    assert reached.wait(300)
    service.close()
    with LocalService(tmp_path / "workspace", engine="tiny") as again:
        go_on.set()
        thread.join()
        got = again.session().client("s3", config=ONCE).get_object(Bucket="puppies", Key="a")
        assert got["Body"].read() in {b"old dog", b"new dog"}
    with LocalService(tmp_path / "workspace", engine="tiny") as again:
        got = again.session().client("s3", config=ONCE).get_object(Bucket="puppies", Key="a")
        assert got["Body"].read() in {b"old dog", b"new dog"}


# -- without file descriptors --------------------------------------------------------------------------------

EXHAUSTED = """
import os, resource, sys
from rekolabels.local import LocalService

service = LocalService(sys.argv[1], engine="tiny")
client = service.client(bucket="puppies")
rekognition = client.session.client("rekognition")
arn = client.project("puppies").arn
rekognition.list_tags_for_resource(ResourceArn=arn)
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
taken = []
try:
    while True:
        taken.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
try:
    print(rekognition.describe_projects()["ProjectDescriptions"][0]["Status"], flush=True)
finally:
    for descriptor in taken:
        os.close(descriptor)
service.close()
"""


def test_a_process_without_file_descriptors_takes_nobody_for_dead(tmp_path: Path) -> None:
    """The job of a living neighbour goes on, although its lock's file cannot be opened."""
    with LocalService(tmp_path / "workspace", engine="tiny") as service:
        client = service.client(bucket="puppies")
        project = client.create_project("puppies")
        service._jobs.wait()
        with service._jobs.hold():
            client.session.client("rekognition").delete_project(ProjectArn=project.arn)
            process = run(EXHAUSTED, str(tmp_path / "workspace"), temporary=tmp_path)
            assert process.communicate(timeout=300)[0] == "DELETING\n"
            with contextlib.closing(
                sqlite3.connect(tmp_path / "workspace" / "rekognition" / "state.sqlite")
            ) as db:
                assert db.execute("SELECT kind FROM jobs").fetchall() == [("project.delete",)]
        service._jobs.wait()
        assert list(client.projects()) == []
