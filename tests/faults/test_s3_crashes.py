"""The S3 directory under concurrent processes, and after crashes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.config import Config

from rekolabels.local._http._in_process import make_session
from rekolabels.local._s3 import S3Directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

KIB = 1024
# Each version of an object repeats one byte, so that a mixture of two versions is detected.
WRITER = """
import sys
from pathlib import Path
from rekolabels.local._s3 import S3Directory
from rekolabels.local._http._in_process import make_session

root, kind, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
s3 = make_session(S3Directory(root), account="123456789012", region="us-east-1").client("s3")
print("ready", flush=True)
number = seed
while True:
    number += 1
    body = bytes([number % 251]) * (1024 * (1 + number % 300))
    key = f"shared/{number % 3}"
    if kind == "parts":
        upload = s3.create_multipart_upload(Bucket="dogs", Key=key)["UploadId"]
        where = {"Bucket": "dogs", "Key": key, "UploadId": upload}
        etag = s3.upload_part(**where, PartNumber=1, Body=body)["ETag"]
        parts = [{"PartNumber": 1, "ETag": etag}]
        s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    elif number % 11 == 0:
        s3.delete_object(Bucket="dogs", Key=key)
    else:
        s3.put_object(Bucket="dogs", Key=key, Body=body)
    print(number, flush=True)
"""


@contextlib.contextmanager
def _writer(root: Path, kind: str, seed: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and script
        [sys.executable, "-c", WRITER, str(root), kind, str(seed)], stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def _client(app: S3Directory) -> S3Client:
    # Without retries: an error that a retry would hide is still an error.
    once = Config(retries={"total_max_attempts": 1})
    client: S3Client = make_session(app, account="123456789012", region="us-east-1").client("s3", config=once)
    return client


def _check(s3: S3Client, key: str) -> None:
    """Check that one read returns one version: bytes, length and ETag belong together."""
    try:
        got = s3.get_object(Bucket="dogs", Key=key)
    except s3.exceptions.NoSuchKey:
        return
    body = got["Body"].read()
    digest = hashlib.md5(body, usedforsecurity=False)
    if "-" in got["ETag"]:
        digest = hashlib.md5(digest.digest(), usedforsecurity=False)
    assert got["ContentLength"] == len(body)
    assert len(set(body)) == 1
    assert got["ETag"].strip('"').partition("-")[0] == digest.hexdigest()


def _check_folder(root: Path, s3: S3Client) -> None:
    """Check that the plain files equal the objects, and that there are no unreferenced bodies."""
    listed: Any = s3.list_objects_v2(Bucket="dogs").get("Contents", [])
    plain = {str(path.relative_to(root / "dogs")) for path in (root / "dogs").rglob("*") if path.is_file()}
    assert plain == {entry["Key"] for entry in listed}
    for key in plain:
        assert (root / "dogs" / key).read_bytes() == s3.get_object(Bucket="dogs", Key=key)["Body"].read()
    for upload in s3.list_multipart_uploads(Bucket="dogs").get("Uploads", []):
        s3.abort_multipart_upload(Bucket="dogs", Key=upload["Key"], UploadId=upload["UploadId"])
    bodies = [
        path
        for path in (root / ".rekolabels" / "bodies").rglob("*")
        if path.is_file() and path.name != "lock"
    ]
    assert len(bodies) == len(listed)


def test_readers_see_whole_versions_while_processes_overwrite(tmp_path: Path) -> None:
    """Two processes overwrite, upload and delete the same objects while four threads read."""
    app = S3Directory(tmp_path)
    s3 = _client(app)
    s3.create_bucket(Bucket="dogs")
    failures: list[BaseException] = []
    reads = 0

    def read(until: float) -> None:
        nonlocal reads
        chosen = random.Random(0)  # noqa: S311 - no secrets
        try:
            while time.monotonic() < until:
                _check(s3, f"shared/{chosen.randrange(3)}")
                reads += 1
        except BaseException as error:  # noqa: BLE001 - handed to the test
            failures.append(error)

    with _writer(tmp_path, "puts", 0), _writer(tmp_path, "parts", 1000):
        end = time.monotonic() + 2.0
        threads = [threading.Thread(target=read, args=(end,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    app.close()

    assert failures == []
    assert reads > 50
    again = S3Directory(tmp_path)
    _check_folder(tmp_path, _client(again))
    again.close()


def test_writers_in_threads_lose_nothing(tmp_path: Path) -> None:
    """Eight threads write their own objects and a common one: all exist, and the common one is consistent."""
    app = S3Directory(tmp_path)
    s3 = _client(app)
    s3.create_bucket(Bucket="dogs")
    failures: list[BaseException] = []

    def write(name: int) -> None:
        try:
            for number in range(15):
                s3.put_object(Bucket="dogs", Key=f"own/{name}/{number}", Body=bytes([name]) * KIB)
                s3.put_object(Bucket="dogs", Key="common", Body=bytes([name]) * KIB * (name + 1))
                _check(s3, "common")
        except BaseException as error:  # noqa: BLE001 - handed to the test
            failures.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert s3.list_objects_v2(Bucket="dogs")["KeyCount"] == 8 * 15 + 1
    _check_folder(tmp_path, s3)
    app.close()


def test_concurrent_starts_on_a_new_folder(tmp_path: Path) -> None:
    """One application creates the index, and the others find it."""
    start = threading.Barrier(6)
    failures: list[BaseException] = []

    def begin() -> None:
        start.wait()
        try:
            S3Directory(tmp_path / "root").close()
        except BaseException as error:  # noqa: BLE001 - handed to the test
            failures.append(error)

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []


def test_only_one_of_many_creates_an_object(tmp_path: Path) -> None:
    """If-None-Match lets one of several concurrent writers win."""
    app = S3Directory(tmp_path)
    s3 = _client(app)
    s3.create_bucket(Bucket="dogs")
    start = threading.Barrier(8)
    won: list[int] = []

    def write(name: int) -> None:
        start.wait()
        with contextlib.suppress(s3.exceptions.ClientError):
            s3.put_object(Bucket="dogs", Key="one", Body=bytes([name]), IfNoneMatch="*")
            won.append(name)

    threads = [threading.Thread(target=write, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(won) == 1
    assert s3.get_object(Bucket="dogs", Key="one")["Body"].read() == bytes(won)
    app.close()


def test_an_object_that_is_overwritten_between_finding_and_opening_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader gets the newer version, or NoSuchKey when the object was deleted."""
    app = S3Directory(tmp_path)
    s3 = _client(app)
    s3.create_bucket(Bucket="dogs")
    s3.put_object(Bucket="dogs", Key="rex", Body=b"1")
    disk = app._store.disk
    meanwhile: list[Callable[[], object]] = [lambda: s3.put_object(Bucket="dogs", Key="rex", Body=b"22")]

    def open_late(body: str) -> Any:
        if meanwhile:
            meanwhile.pop()()
        return type(disk).open(disk, body)

    monkeypatch.setattr(disk, "open", open_late)

    _check(s3, "rex")
    assert s3.get_object(Bucket="dogs", Key="rex")["Body"].read() == b"22"
    meanwhile.append(lambda: s3.delete_object(Bucket="dogs", Key="rex"))
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket="dogs", Key="rex")
    app.close()


def test_a_crash_between_the_commit_and_the_plain_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next start updates the plain files and removes unreferenced bodies."""
    app = S3Directory(tmp_path)
    s3 = _client(app)
    s3.create_bucket(Bucket="dogs")
    for key in ("changed", "gone", "gone and back", "a/folder"):
        s3.put_object(Bucket="dogs", Key=key, Body=b"1")
    monkeypatch.setattr(app._store, "sync_disk", lambda: None)
    for key in ("changed", "gone and back", "new"):
        s3.put_object(Bucket="dogs", Key=key, Body=b"2")
    for key in ("gone", "gone and back", "a/folder"):
        s3.delete_object(Bucket="dogs", Key=key)
    for key in ("gone and back", "a"):
        s3.put_object(Bucket="dogs", Key=key, Body=b"3")
    app.close()

    app = S3Directory(tmp_path)
    s3 = _client(app)

    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket="dogs")["Contents"]] == [
        "a",
        "changed",
        "gone and back",
        "new",
    ]
    plain = {path.name: path.read_bytes() for path in (tmp_path / "dogs").rglob("*") if path.is_file()}
    assert plain == {"a": b"3", "changed": b"2", "gone and back": b"3", "new": b"2"}
    _check_folder(tmp_path, s3)
    app.close()


def test_a_crash_after_a_plain_file_was_placed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file belongs to the object although the index does not say so; later changes update it."""
    app = S3Directory(tmp_path)
    s3 = _client(app)
    s3.create_bucket(Bucket="dogs")

    def crash(*_: object, **__: object) -> None:
        raise OSError("killed")

    with monkeypatch.context() as patch:
        patch.setattr("rekolabels.local._s3._index.set_plain_file", crash)
        for _ in range(2):
            with pytest.raises(s3.exceptions.ClientError, match="killed"):
                s3.put_object(Bucket="dogs", Key="rex", Body=os.urandom(8))
    app.close()
    app = S3Directory(tmp_path)
    s3 = _client(app)

    _check_folder(tmp_path, s3)
    s3.put_object(Bucket="dogs", Key="rex", Body=b"3")
    _check_folder(tmp_path, s3)
    s3.delete_object(Bucket="dogs", Key="rex")
    _check_folder(tmp_path, s3)
    app.close()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("kind", ["puts", "parts"])
def test_a_process_that_is_killed(tmp_path: Path, kind: str) -> None:
    """Answered writes persist, others are old or new, and no leftovers remain, whenever it is killed."""
    S3Directory(tmp_path).close()
    app = S3Directory(tmp_path)
    _client(app).create_bucket(Bucket="dogs")
    app.close()
    chosen = random.Random(7)  # noqa: S311 - no secrets

    for round_ in range(6):
        with _writer(tmp_path, kind, round_ * 1000) as process:
            assert process.stdout is not None
            process.stdout.readline()
            threading.Event().wait(chosen.uniform(0.0, 0.15))
            process.send_signal(signal.SIGKILL)
            answered = [int(line) for line in process.stdout.read().split(b"\n")[:-1]]
            process.wait()  # its locks may outlast its output

        app = S3Directory(tmp_path)
        s3 = _client(app)
        for number in range(3):
            _check(s3, f"shared/{number}")
        _check_folder(tmp_path, s3)
        _check_answered(s3, kind, answered)
        app.close()


def _check_answered(s3: S3Client, kind: str, answered: list[int]) -> None:
    """Check that each object is the last answered version, or the one that was in progress."""
    if not answered:
        return
    in_progress = answered[-1] + 1
    for number in answered[-3:]:
        if number % 3 == in_progress % 3:
            continue
        if kind == "puts" and number % 11 == 0:
            with pytest.raises(s3.exceptions.NoSuchKey):
                s3.get_object(Bucket="dogs", Key=f"shared/{number % 3}")
            continue
        body = s3.get_object(Bucket="dogs", Key=f"shared/{number % 3}")["Body"].read()
        assert body == bytes([number % 251]) * (KIB * (1 + number % 300))
