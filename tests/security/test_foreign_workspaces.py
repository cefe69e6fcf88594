"""A workspace that came from elsewhere cannot reach files outside of it.

The attacker writes the workspace: rows of both databases, symbolic links, file names. The victim opens it.
Whatever the service then reads, writes, renames or removes is inside the workspace, or the workspace is
refused.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from rekolabels.errors import InvalidInput
from rekolabels.local import LocalService

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights on Windows")

SECRET = b"the victim's own file"


@pytest.fixture(scope="module", name="template")
def template_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A healthy workspace with a bucket, an object and a project."""
    folder = tmp_path_factory.mktemp("template") / "workspace"
    with LocalService(folder, engine="tiny") as service:
        client = service.client(bucket="puppies")
        client.create_project("puppies")
        s3 = client.session.client("s3")
        s3.put_object(Bucket="puppies", Key="train/dog.txt", Body=b"a dog")
    return folder


@pytest.fixture(name="workspace")
def workspace_fixture(template: Path, tmp_path: Path) -> Path:
    """A copy to be tampered with, and outside of it what the attacker wants."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_bytes(SECRET)
    (tmp_path / "outside" / "123").mkdir()
    (tmp_path / "outside" / "123" / "kept.txt").write_bytes(SECRET)
    return Path(shutil.copytree(template, tmp_path / "deep" / "down" / "workspace", symlinks=True))


def outside(workspace: Path) -> dict[str, bytes]:
    """Everything beside and above the workspace, with its content."""
    top = workspace.parents[2]
    return {
        str(path.relative_to(top)): path.read_bytes()
        for path in sorted(top.rglob("*"))
        if path.is_file() and workspace not in path.parents
    }


def s3_index(workspace: Path) -> Path:
    """The database of S3."""
    return workspace / "s3" / ".rekolabels" / "index.sqlite"


def state(workspace: Path) -> Path:
    """The database of the control plane."""
    return workspace / "rekognition" / "state.sqlite"


def tamper(path: Path, *statements: tuple[str, tuple[object, ...]]) -> None:
    """Run SQL in a database of the workspace."""
    db = sqlite3.connect(path)
    with db:
        for statement, values in statements:
            db.execute(statement, values)
    db.close()


def use(workspace: Path) -> list[bytes]:
    """Open the workspace as a victim would, and do a little of everything; what GetObject returns."""
    found: list[bytes] = []
    with LocalService(workspace, engine="tiny") as service:
        s3 = service.session().client("s3")
        for bucket in s3.list_buckets()["Buckets"]:
            with contextlib.suppress(Exception):
                for item in s3.list_objects_v2(Bucket=bucket["Name"]).get("Contents", []):
                    with contextlib.suppress(Exception):
                        found.append(s3.get_object(Bucket=bucket["Name"], Key=item["Key"])["Body"].read())
                    with contextlib.suppress(Exception):
                        s3.put_object(Bucket=bucket["Name"], Key=item["Key"], Body=b"new")
                    with contextlib.suppress(Exception):
                        s3.delete_object(Bucket=bucket["Name"], Key=item["Key"])
        with contextlib.suppress(Exception):
            s3.put_object(Bucket="puppies", Key="train/cat.txt", Body=b"a cat")
        client = service.client(bucket="puppies")
        for project in list(client.projects()):
            with contextlib.suppress(Exception):
                project.delete(cascade=True)
    return found


def hostile_bucket(workspace: Path) -> None:
    """A bucket named ``../..`` whose object would be shown as a file above the workspace."""
    tamper(
        s3_index(workspace),
        ("INSERT INTO buckets VALUES (?, ?, ?)", ("../../..", "us-east-1", 0)),
        (
            """INSERT INTO objects SELECT '../../..', CAST('outside/secret.txt' AS BLOB), body, size, etag,
            modified, headers, checksums, parts, 0 FROM objects LIMIT 1""",
            (),
        ),
        ("INSERT INTO stale VALUES ('../../..', CAST('outside/secret.txt' AS BLOB), 1)", ()),
    )


def hostile_garbage(workspace: Path) -> None:
    """A body to be removed has a path that leads up."""
    tamper(
        s3_index(workspace),
        ("INSERT INTO garbage VALUES (?)", ("../../../../../../outside/secret.txt",)),
    )


def absolute_garbage(workspace: Path) -> None:
    """A body to be removed has an absolute path."""
    victim = workspace.parents[2] / "outside" / "secret.txt"
    tamper(s3_index(workspace), ("INSERT INTO garbage VALUES (?)", (str(victim),)))


def hostile_body(workspace: Path) -> None:
    """The body of an object has a path that leads up."""
    tamper(
        s3_index(workspace),
        (
            "UPDATE objects SET body = ?, size = ?, checksums = '{}'",
            ("../../../../../../outside/secret.txt", len(SECRET)),
        ),
    )


def linked_body(workspace: Path) -> None:
    """The body of an object is a symbolic link to a file outside."""
    folder = workspace / "s3" / ".rekolabels" / "bodies"
    (body,) = [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]
    body.unlink()
    body.symlink_to(workspace.parents[2] / "outside" / "secret.txt")
    tamper(s3_index(workspace), ("UPDATE objects SET size = ?, checksums = '{}'", (len(SECRET),)))


def linked_bodies(workspace: Path) -> None:
    """The folder of all bodies is a symbolic link."""
    folder = workspace / "s3" / ".rekolabels" / "bodies"
    shutil.rmtree(folder)
    folder.symlink_to(workspace.parents[2] / "outside")


def linked_bucket(workspace: Path) -> None:
    """The folder of a bucket is a symbolic link."""
    shutil.rmtree(workspace / "s3" / "puppies")
    (workspace / "s3" / "puppies").symlink_to(workspace.parents[2] / "outside")


def linked_s3(workspace: Path) -> None:
    """The folder of S3 is a symbolic link."""
    shutil.move(workspace / "s3", workspace.parents[2] / "outside" / "s3")
    (workspace / "s3").symlink_to(workspace.parents[2] / "outside" / "s3")


def linked_index(workspace: Path) -> None:
    """The database of S3 is a symbolic link."""
    index = s3_index(workspace)
    shutil.copy(index, workspace.parents[2] / "outside" / "other.sqlite")
    index.unlink()
    index.symlink_to(workspace.parents[2] / "outside" / "other.sqlite")


def linked_state(workspace: Path) -> None:
    """The database of the control plane is a symbolic link."""
    database = state(workspace)
    shutil.copy(database, workspace.parents[2] / "outside" / "state.sqlite")
    database.unlink()
    database.symlink_to(workspace.parents[2] / "outside" / "state.sqlite")


def linked_versions(workspace: Path) -> None:
    """Every folder in the target of the link would be removed as that of a version that is gone."""
    folder = workspace / "rekognition" / "versions"
    shutil.rmtree(folder, ignore_errors=True)
    folder.symlink_to(workspace.parents[2] / "outside")


def linked_owners(workspace: Path) -> None:
    """The folder of the owners is a symbolic link, and a job has a dead owner there."""
    folder = workspace / "rekognition" / "owners"
    shutil.rmtree(folder, ignore_errors=True)
    folder.symlink_to(workspace.parents[2] / "outside")
    tamper(
        state(workspace),
        ("INSERT INTO jobs (kind, arn, owner) SELECT 'project.delete', arn, 'secret.txt' FROM projects", ()),
    )


def hostile_owner(workspace: Path) -> None:
    """The owner of a job has a path that leads up."""
    tamper(
        state(workspace),
        (
            "INSERT INTO jobs (kind, arn, owner) SELECT 'project.delete', arn, ? FROM projects",
            ("../../../../../outside/secret.txt",),
        ),
    )


def linked_sessions(workspace: Path) -> None:
    """A session of bodies is a link to a folder outside of the workspace."""
    link = workspace / "s3" / ".rekolabels" / "bodies" / "0123456789ab"
    (workspace.parents[2] / "outside" / "lock").touch()
    link.symlink_to(workspace.parents[2] / "outside")


def linked_lock(workspace: Path) -> None:
    """The lock of a session is a symbolic link."""
    session = workspace / "s3" / ".rekolabels" / "bodies" / "0123456789ab"
    session.mkdir()
    (session / "lock").symlink_to(workspace.parents[2] / "outside" / "secret.txt")


def linked_shard(workspace: Path) -> None:
    """A shard of bodies is a symbolic link."""
    session = workspace / "s3" / ".rekolabels" / "bodies" / "0123456789ab"
    session.mkdir()
    (session / "lock").touch()
    (session / "00").symlink_to(workspace.parents[2] / "outside" / "123")


def linked_shard_without_lock(workspace: Path) -> None:
    """The same in a session that was cleaned up already, whose shards are not listed at the start."""
    linked_shard(workspace)
    (workspace / "s3" / ".rekolabels" / "bodies" / "0123456789ab" / "lock").unlink()
    tamper(s3_index(workspace), ("INSERT INTO garbage VALUES (?)", (f"0123456789ab/00/{'0' * 20}",)))


def linked_model(workspace: Path) -> None:
    """A file of a model is a symbolic link."""
    folder = workspace / "rekognition" / "versions" / "7" / "model"
    folder.mkdir(parents=True)
    (folder / "model.json").symlink_to(workspace.parents[2] / "outside" / "secret.txt")


def linked_features(workspace: Path) -> None:
    """The cache of features, which is made again when it is damaged, is a symbolic link."""
    (workspace / "rekognition" / "features.sqlite").symlink_to(
        workspace.parents[2] / "outside" / "secret.txt"
    )


def linked_log(workspace: Path) -> None:
    """The write-ahead log of a database is a symbolic link."""
    Path(f"{state(workspace)}-wal").symlink_to(workspace.parents[2] / "outside" / "secret.txt")


def hostile_number(workspace: Path) -> None:
    """The number of a model version, which names its folder, has a path that leads up."""
    tamper(
        state(workspace),
        (
            """INSERT INTO versions (arn, number, project, name, created, status, request)
            SELECT arn || '/version/v', ?, arn, 'v', 0, 'TRAINING_FAILED', '{}' FROM projects""",
            ("../../../../../outside/123",),
        ),
    )


def hostile_trigger(workspace: Path) -> None:
    """A trigger adds a path that leads up after the workspace was checked."""
    tamper(
        s3_index(workspace),
        (
            """CREATE TRIGGER later AFTER INSERT ON objects BEGIN
            INSERT INTO garbage VALUES ('../../../../../../outside/secret.txt'); END""",
            (),
        ),
    )


def hostile_view(workspace: Path) -> None:
    """A table is a view that calculates its rows."""
    tamper(
        s3_index(workspace),
        ("DROP TABLE garbage", ()),
        ("CREATE VIEW garbage AS SELECT '../../../../../../outside/secret.txt' AS body", ()),
    )


def hostile_nul(workspace: Path) -> None:
    """A valid name, then NUL and a path that leads up: SQLite's own functions read texts to the first NUL."""
    name = f"0123456789ab/00/{'0' * 20}\0/../../../../../../../outside/secret.txt"
    tamper(s3_index(workspace), ("INSERT INTO garbage VALUES (?)", (name,)))


def broken_key(workspace: Path) -> None:
    """A key is not UTF-8."""
    tamper(s3_index(workspace), ("INSERT INTO stale VALUES ('puppies', CAST(x'ff' AS BLOB), 1)", ()))


def unknown_job(workspace: Path) -> None:
    """A job is of a kind that does not exist."""
    tamper(
        state(workspace),
        ("INSERT INTO jobs (kind, arn, owner) SELECT 'run', arn, ? FROM projects", ("0" * 32,)),
    )


def pipes(workspace: Path) -> None:
    """A body is a pipe: to open it would wait for ever."""
    folder = workspace / "s3" / ".rekolabels" / "bodies"
    (body,) = [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]
    body.unlink()
    os.mkfifo(body)


def hostile_journal(workspace: Path) -> None:
    """A rollback journal names a "super-journal" outside, which SQLite removes after playing it back.

    Its format is described at https://www.sqlite.org/fileformat2.html#the_rollback_journal. By the source of
    SQLite, it ends in the number of an unused page, the name, its length and checksum, and the magic number.
    """
    database = state(workspace)
    db = sqlite3.connect(database)
    db.execute("PRAGMA journal_mode = DELETE")
    (page_size,) = db.execute("PRAGMA page_size").fetchone()
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.close()
    magic = bytes.fromhex("d9d505f920a163d7")
    header = magic + struct.pack(">IIIII", 0, 1, pages, 512, page_size)
    name = os.fsencode(workspace.parents[2] / "outside" / "secret.txt")
    locked_page = (1 << 30) // page_size + 1
    end = struct.pack(">I", locked_page) + name + struct.pack(">II", len(name), sum(name)) + magic
    Path(f"{database}-journal").write_bytes(header.ljust(512, b"\0") + end)


REFUSED: list[Callable[[Path], None]] = [
    hostile_bucket,
    hostile_garbage,
    absolute_garbage,
    hostile_body,
    hostile_nul,
    hostile_trigger,
    hostile_view,
    hostile_owner,
    hostile_number,
    hostile_journal,
    broken_key,
    unknown_job,
    pipes,
    linked_body,
    linked_bodies,
    linked_s3,
    linked_index,
    linked_state,
    linked_log,
    linked_features,
    linked_versions,
    linked_model,
    linked_owners,
    linked_sessions,
    linked_lock,
    linked_shard,
    linked_shard_without_lock,
]


@pytest.mark.parametrize("attack", REFUSED, ids=lambda attack: attack.__name__)
def test_a_hostile_workspace_is_refused(attack: Callable[[Path], None], workspace: Path) -> None:
    """Nothing outside is read or changed, and the error names what leads there."""
    attack(workspace)
    before = outside(workspace)

    read: list[bytes] = []
    refusal = ""
    try:
        read = use(workspace)
    except InvalidInput as error:
        refusal = str(error)

    assert before == outside(workspace)
    assert SECRET not in read
    assert refusal.startswith("Cannot use ")
    assert str(workspace) in refusal


def test_a_linked_bucket_is_left_alone(workspace: Path) -> None:
    """Folders of buckets belong to the user, who may move one elsewhere: objects are then not shown there."""
    linked_bucket(workspace)
    before = outside(workspace)
    assert use(workspace) == [b"a dog"]
    assert before == outside(workspace)


@pytest.mark.parametrize("name", ["", "s3", "s3/.rekolabels", "s3/.rekolabels/bodies", "s3/puppies/train"])
def test_a_folder_that_is_replaced_later(name: str, workspace: Path) -> None:
    """A folder becomes a symbolic link while the service runs: what it leads to stays as it is."""
    top = workspace.parents[2]
    with LocalService(workspace, engine="tiny") as service:
        s3 = service.session().client("s3", config=Config(retries={"total_max_attempts": 1}))
        folder = workspace / name if name else workspace
        folder.rename(top / "moved")
        shutil.copytree(top / "moved", top / "outside" / "copy")
        folder.symlink_to(top / "outside" / "copy")
        elsewhere = {path: path.read_bytes() for path in outside_of_databases(top / "outside")}
        with contextlib.suppress(ClientError):
            s3.put_object(Bucket="puppies", Key="train/dog.txt", Body=b"another dog")
        with contextlib.suppress(ClientError):
            s3.put_object(Bucket="puppies", Key="train/cat.txt", Body=b"a cat")
        with contextlib.suppress(ClientError):
            s3.delete_object(Bucket="puppies", Key="train/dog.txt")
        assert elsewhere == {path: path.read_bytes() for path in outside_of_databases(top / "outside")}


def outside_of_databases(folder: Path) -> list[Path]:
    """The files in a folder without SQLite's, which SQLite opens by their paths."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and ".sqlite" not in path.name]


@pytest.mark.parametrize("steps", [0, 1])
def test_a_shard_that_is_replaced_later(steps: int, workspace: Path) -> None:
    """The folder of a body, or the one above, becomes a symbolic link while the service runs."""
    (body,) = [
        path
        for path in (workspace / "s3" / ".rekolabels" / "bodies").rglob("*")
        if path.is_file() and path.name != "lock"
    ]
    folder = body.parents[steps]
    with LocalService(workspace, engine="tiny") as service:
        s3 = service.session().client("s3", config=Config(retries={"total_max_attempts": 1}))
        body.unlink()
        body.write_bytes(SECRET[:5])
        target = workspace.parents[2] / "outside" / "copy"
        folder.rename(target)
        folder.symlink_to(target)
        with pytest.raises(ClientError):
            s3.get_object(Bucket="puppies", Key="train/dog.txt")
        with contextlib.suppress(ClientError):
            s3.delete_object(Bucket="puppies", Key="train/dog.txt")
        assert [path.read_bytes() for path in target.rglob("*") if path.name == body.name] == [SECRET[:5]]


def test_new_files_are_private(tmp_path: Path) -> None:
    """Only the user can read a workspace, whatever the umask says."""
    old = os.umask(0o022)
    try:
        with LocalService(tmp_path / "workspace", engine="tiny") as service:
            client = service.client(bucket="puppies")
            client.create_project("puppies")
            client.session.client("s3").put_object(Bucket="puppies", Key="a/b.txt", Body=b"x")
            modes = {
                str(path.relative_to(tmp_path)): stat.S_IMODE(path.lstat().st_mode)
                for path in [tmp_path / "workspace", *(tmp_path / "workspace").rglob("*")]
            }
    finally:
        os.umask(old)
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}
