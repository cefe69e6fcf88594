"""Buckets and objects: every change is one commit of the index, and the disk follows it."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from typing import TYPE_CHECKING, BinaryIO

import attrs

from rekolabels.errors import InvalidInput
from rekolabels.local._s3 import _index as index
from rekolabels.local._s3._body import HASHERS, Received, encode, md5, receive
from rekolabels.local._s3._disk import PRIVATE, Disk
from rekolabels.local._s3._errors import S3Error
from rekolabels.local._s3._index import Bucket, Stored
from rekolabels.local._s3._listing import Page, Wish, list_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from rekolabels.local._s3._conditions import Guard
    from rekolabels.local._s3._request import Request

_BLOCK = 1024 * 1024
_BUCKET_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]|\.(?!\.)){1,61}[a-z0-9]")
_RESERVED = re.compile(r"\A(?:xn--|sthree-|amzn-s3-demo-)|(?:-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3)\Z")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")


@attrs.frozen
class Body:
    """A body that lies on the disk, and that the index does not know yet."""

    name: str
    received: Received


class Store:
    """The buckets and objects under one root.

    Args:
        root: The folder; made if need be.
        region: The Region that requests are for which do not say so.
        clock: Seconds since 1970.
        fsync: Whether everything is forced to the disk, against a loss of power.

    Raises:
        InvalidInput: The folder cannot be used.
    """

    def __init__(self, root: Path, *, region: str, clock: Callable[[], float], fsync: bool) -> None:
        self.region = region
        self._clock = clock
        self.disk = Disk(root, fsync=fsync)
        try:
            with contextlib.ExitStack() as undo:
                (root / PRIVATE).mkdir(parents=True, exist_ok=True)
                self.index = index.Index(root / PRIVATE / "index.sqlite", fsync=fsync)
                undo.callback(self.close)
                self._start()
                undo.pop_all()
        except (OSError, sqlite3.Error) as error:
            raise InvalidInput(f"{root} cannot hold an S3 directory: {error}") from error

    def _start(self) -> None:
        """Tidy up after those who came before, and begin."""
        with self.index.write() as db:
            self.disk.open_session()
            self.disk.tidy(lambda prefix: index.bodies_under(db, prefix))
            for bucket in index.all_buckets(db):
                self.disk.show_bucket(bucket.name)
        self.settle()

    def now(self) -> int:
        """The time, in whole seconds."""
        return int(self._clock())

    def close(self) -> None:
        """Let go of everything; nothing can be done with the store afterwards."""
        self.index.close()
        self.disk.close_session()

    def settle(self) -> None:
        """Let the disk follow the index: plain files as it has them, bodies that nothing needs removed.

        Done after every change. It works from notes that were committed together with the change, under the
        lock of the index, so a crash in between only puts it off until the next change or start.
        """
        with self.index.write() as db:
            notes = [
                (index.find_object(db, bucket, key.decode()), bucket, key.decode(), bool(ours))
                for bucket, key, ours in db.execute("SELECT bucket, key, shown FROM stale").fetchall()
            ]
            # What goes makes room first: "a/b" may have to go before "a" can be a file.
            for there, bucket, key, ours in notes:
                if there is None and ours:
                    self.disk.hide(bucket, key)
            for there, _, _, ours in notes:
                if there is not None:
                    index.mark_shown(db, there, shown=self.disk.show(there, ours=ours))
            db.execute("DELETE FROM stale")
            for (body,) in db.execute("SELECT body FROM garbage").fetchall():
                if self.disk.remove(body):
                    db.execute("DELETE FROM garbage WHERE body = ?", (body,))

    # -- buckets ---------------------------------------------------------------------------------------------

    def create_bucket(self, name: str, region: str) -> Bucket:
        """Make a bucket.

        Raises:
            S3Error: ``InvalidBucketName``; ``BucketAlreadyOwnedByYou``, except in us-east-1, where S3 lets
                creating a bucket again pass.
        """
        check_bucket_name(name)
        with self.index.write() as db:
            there = index.find_bucket(db, name)
            if there is not None:
                if there.region == region == "us-east-1":
                    return there
                raise S3Error("BucketAlreadyOwnedByYou", BucketName=name)
            made = Bucket(name, region, self.now())
            db.execute("INSERT INTO buckets VALUES (?, ?, ?)", attrs.astuple(made))
            self.disk.show_bucket(name)
        return made

    def has_bucket(self, name: str) -> bool:
        """Whether there is a bucket of that name."""
        with self.index.read() as db:
            return index.find_bucket(db, name) is not None

    def bucket(self, name: str) -> Bucket:
        """A bucket.

        Raises:
            S3Error: ``NoSuchBucket`` or ``InvalidBucketName``.
        """
        with self.index.read() as db:
            return existing_bucket(db, name)

    def buckets(self) -> list[Bucket]:
        """All buckets, by name."""
        with self.index.read() as db:
            return index.all_buckets(db)

    def delete_bucket(self, name: str) -> None:
        """Remove a bucket, and with it the uploads that nobody completed.

        Raises:
            S3Error: ``NoSuchBucket`` or ``BucketNotEmpty``.
        """
        with self.index.write() as db:
            existing_bucket(db, name)
            if db.execute("SELECT 1 FROM objects WHERE bucket = ? LIMIT 1", (name,)).fetchone():
                raise S3Error("BucketNotEmpty", BucketName=name)
            for (upload,) in db.execute("SELECT id FROM uploads WHERE bucket = ?", (name,)).fetchall():
                drop_upload(db, upload)
            db.execute("DELETE FROM buckets WHERE name = ?", (name,))
            self.disk.hide_bucket(name)
        self.settle()

    # -- objects ---------------------------------------------------------------------------------------------

    def take_in(self, request: Request, *, also: tuple[str, ...] = ()) -> Body:
        """Write the body of a request to the disk, in bounded memory, and verify it."""
        with self.disk.new_body() as (name, descriptor):
            received = receive(request, lambda block: _write_all(descriptor, block), also=also)
        return Body(name, received)

    def keep(
        self, new: Stored, guard: Guard, *, also: Callable[[sqlite3.Connection], object] | None = None
    ) -> None:
        """Let an object be the new one, whose body lies on the disk. When this fails, the body is removed.

        Args:
            new: The object.
            guard: What must hold for the object that is there.
            also: What else belongs to the same commit.

        Raises:
            S3Error: ``NoSuchBucket``, or what the guard or ``also`` raises.
        """
        try:
            with self.index.write() as db:
                existing_bucket(db, new.bucket)
                old = index.find_object(db, new.bucket, new.key)
                guard.check(old)
                if also is not None:
                    also(db)
                index.keep_object(db, new, old, free=self.disk.is_free(new))
        except Exception:
            # Not for a KeyboardInterrupt: it may have come after the commit. The next start tidies up.
            self.disk.remove(new.body)
            raise
        self.settle()

    def find(self, bucket: str, key: str) -> Stored:
        """An object.

        Raises:
            S3Error: ``NoSuchKey``, ``NoSuchBucket`` or ``InvalidBucketName``.
        """
        found = self.index.find(bucket, key)
        if found is None:
            self.bucket(bucket)
            raise S3Error("NoSuchKey", Key=key)
        return found

    def open(self, bucket: str, key: str) -> tuple[Stored, BinaryIO]:
        """An object together with its body, both of one version. The caller closes the body.

        The index names the body of exactly this version, and a body never changes, so what was opened
        belongs together however many writers follow. Between the look into the index and the opening a
        writer may have removed the body: then the index knows the next one.

        Raises:
            S3Error: As `find` does; ``InternalError`` when somebody has removed the body from the folder.
        """
        found = self.find(bucket, key)
        while (stream := self.disk.open(found.body)) is None:
            newer = self.find(bucket, key)
            if newer.body == found.body:
                raise S3Error("InternalError", "The body of the object is missing from the folder.")
            found = newer
        return found, stream

    def copy_body(self, bucket: str, key: str, *, algorithms: tuple[str, ...] = ()) -> tuple[Stored, Body]:
        """A second body with the bytes of an object, and the object.

        Shares the bytes with the source unless they have to be read: for the ETag of an object that was
        uploaded in parts (a copy has the MD5 of the whole), or for a checksum.
        """
        while True:
            source, stream = self.open(bucket, key)
            with stream:
                if "-" in source.etag or algorithms:
                    return source, self.write_body([(stream, 0, source.size)], also=algorithms)
            try:
                twin = self.disk.twin(source.body)
            except FileNotFoundError:
                continue
            return source, Body(twin, Received(source.size, bytes.fromhex(source.etag), source.checksums))

    def write_body(self, pieces: Iterable[tuple[BinaryIO, int, int]], *, also: tuple[str, ...] = ()) -> Body:
        """Make a body out of pieces: a file, the first byte, and one past the last."""
        hashers = {name: HASHERS[name]() for name in also if name in HASHERS}
        whole = md5()
        size = 0
        with self.disk.new_body() as (name, descriptor):
            for stream, first, end in pieces:
                stream.seek(first)
                left = end - first
                while left and (block := stream.read(min(left, _BLOCK))):
                    for hasher in (whole, *hashers.values()):
                        hasher.update(block)
                    _write_all(descriptor, block)
                    left -= len(block)
                    size += len(block)
                if left:
                    raise OSError("a body has been cut short on the disk")
        checksums = {algorithm: encode(hasher.digest()) for algorithm, hasher in hashers.items()}
        return Body(name, Received(size, whole.digest(), checksums))

    def delete(self, bucket: str, wanted: Sequence[tuple[str, Guard]]) -> list[S3Error | None]:
        """Remove objects in one commit; it is fine when one is not there.

        Args:
            bucket: The bucket.
            wanted: The keys, each with what must hold for its object.

        Returns:
            For each key the refusal of its guard, or None.

        Raises:
            S3Error: ``NoSuchBucket`` or ``InvalidBucketName``.
        """
        outcomes: list[S3Error | None] = []
        with self.index.write() as db:
            existing_bucket(db, bucket)
            for key, guard in wanted:
                old = index.find_object(db, bucket, key)
                try:
                    guard.check(old)
                except S3Error as error:
                    outcomes.append(error)
                    continue
                outcomes.append(None)
                if old is not None:
                    index.drop_object(db, old)
        self.settle()
        return outcomes

    def page(self, bucket: str, wish: Wish) -> Page:
        """One page of the keys of a bucket; see `list_page`.

        Raises:
            S3Error: ``NoSuchBucket`` or ``InvalidBucketName``.
        """
        with self.index.read() as db:
            existing_bucket(db, bucket)
            return list_page(db, bucket, wish)


def check_bucket_name(name: str) -> None:
    """Refuse what is no name of a bucket ("General purpose bucket naming rules" of the Amazon S3 User Guide).

    Raises:
        S3Error: ``InvalidBucketName``.
    """
    if not _BUCKET_NAME.fullmatch(name) or _RESERVED.search(name) or _ADDRESS.fullmatch(name):
        raise S3Error("InvalidBucketName", BucketName=name)


def existing_bucket(db: sqlite3.Connection, name: str) -> Bucket:
    """A bucket that must exist.

    Raises:
        S3Error: ``NoSuchBucket``, or ``InvalidBucketName`` when none could have that name.
    """
    found = index.find_bucket(db, name)
    if found is None:
        check_bucket_name(name)
        raise S3Error("NoSuchBucket", BucketName=name)
    return found


def drop_upload(db: sqlite3.Connection, upload: str) -> None:
    """Take out an upload and its parts, and note their bodies as garbage."""
    for (body,) in db.execute("SELECT body FROM parts WHERE upload = ?", (upload,)).fetchall():
        index.discard(db, body)
    db.execute("DELETE FROM parts WHERE upload = ?", (upload,))
    db.execute("DELETE FROM uploads WHERE id = ?", (upload,))


def _write_all(descriptor: int, block: bytes) -> None:
    """Write a block: the system may take it in several bites."""
    view: memoryview | bytes = block
    while (written := os.write(descriptor, view)) < len(view):
        view = memoryview(view)[written:]
