"""Buckets and objects: every change is one commit of the index, and the files follow it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from typing import TYPE_CHECKING, BinaryIO

import attrs

from rekolabels._files import FOLDER_MODE, Folder
from rekolabels.errors import InvalidInput
from rekolabels.local._core._sqlite import DatabaseClosed
from rekolabels.local._s3 import _index as index
from rekolabels.local._s3._body import HASHERS, BodyInfo, encode_checksum, md5, receive
from rekolabels.local._s3._disk import PRIVATE_FOLDER, Disk
from rekolabels.local._s3._errors import S3Error
from rekolabels.local._s3._index import Bucket, ListPage, ListQuery, StoredObject
from rekolabels.local._s3._names import check_index, is_bucket_name

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
    from pathlib import Path

    from rekolabels.local._s3._conditions import Preconditions
    from rekolabels.local._s3._request import Request

__all__ = ["Body", "ObjectStore", "remove_upload", "require_bucket"]

_BLOCK_SIZE = 1024 * 1024  # bytes that are copied at a time


@attrs.frozen
class Body:
    """A body on the disk that is not in the index yet."""

    name: str
    info: BodyInfo


class ObjectStore:
    """The buckets and objects under one root folder.

    Args:
        root: The root folder; created when missing.
        region: Region for requests that do not name one.
        clock: Returns seconds since 1970.
        fsync: Whether every write is flushed to the disk, so that it survives a loss of power.

    Raises:
        InvalidInput: The folder cannot be used.
    """

    def __init__(self, root: Path, *, region: str, clock: Callable[[], float], fsync: bool) -> None:
        self.region = region
        self._clock = clock
        self._lock = threading.Lock()
        self._writers = 0
        self._closed = False
        path = root / PRIVATE_FOLDER / "index.sqlite"
        try:
            with contextlib.ExitStack() as undo:
                root.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
                self.disk = Disk(Folder(root), fsync=fsync)
                self.index = index.Index(path, fsync=fsync)
                undo.callback(self.close)
                with self.index.read() as db:
                    check_index(db, str(path))
                self._start()
                undo.pop_all()
        except (OSError, sqlite3.Error) as error:
            raise InvalidInput(
                f"Cannot store S3 objects in {root}: {error}. Choose a folder that can be written: "
                'LocalService("path/to/folder").'
            ) from error

    def _start(self) -> None:
        """Clean up after processes that have ended, and start the session of this one."""
        with self.index.write() as db:
            self.disk.start_session()
            self.disk.remove_leftovers(lambda prefix: index.bodies_with_prefix(db, prefix))
            for bucket in index.all_buckets(db):
                self.disk.make_bucket_folder(bucket.name)
        self.sync_disk()

    def now(self) -> int:
        """Return the time in whole seconds since 1970."""
        return int(self._clock())

    @contextlib.contextmanager
    def writing(self) -> Generator[None]:
        """Keep the session of the disk until the block ends, even when the store is closed within it.

        A writer that is interrupted by `close` may still commit the body that it has written. If the session
        ended before, a process that starts at that moment would remove the body.

        Raises:
            DatabaseClosed: The store is closed.
        """
        with self._lock:
            if self._closed:
                raise DatabaseClosed("The store is closed.")
            self._writers += 1
        try:
            yield
        finally:
            with self._lock:
                self._writers -= 1
            self._end_unused_session()

    def close(self) -> None:
        """Close the index, and end the session as soon as no writer is left. Idempotent."""
        self.index.close()
        with self._lock:
            self._closed = True
        self._end_unused_session()

    def _end_unused_session(self) -> None:
        with self._lock:
            is_unused = self._closed and not self._writers
        if is_unused:
            self.disk.end_session()

    def sync_disk(self) -> None:
        """Bring the disk in line with the index: update plain files, remove unreferenced bodies.

        Called after every change. The work to do was recorded in the commit of the change and is done within
        a write of the index, so after a crash the next change or start completes it.
        """
        with self.index.write() as db:
            stale = [
                (index.find_object(db, bucket, key.decode()), bucket, key.decode(), bool(owns_path))
                for bucket, key, owns_path in db.execute("SELECT bucket, key, shown FROM stale").fetchall()
            ]
            # Remove before placing: "a/b" may have to go before "a" can be a file.
            for stored, bucket, key, owns_path in stale:
                if stored is None and owns_path:
                    self.disk.remove_plain_file(bucket, key)
            for stored, _, _, owns_path in stale:
                if stored is not None:
                    exists = self.disk.place_plain_file(stored, owns_path=owns_path)
                    index.set_plain_file(db, stored, exists=exists)
            db.execute("DELETE FROM stale")
            for (body,) in db.execute("SELECT body FROM garbage").fetchall():
                if self.disk.remove(body):
                    db.execute("DELETE FROM garbage WHERE body = ?", (body,))

    # -- buckets ---------------------------------------------------------------------------------------------

    def create_bucket(self, name: str, region: str, settings: Mapping[str, str] | None = None) -> Bucket:
        """Create a bucket.

        Args:
            name: Its name.
            region: Its Region.
            settings: Its settings by name; they replace those of an existing bucket.

        Raises:
            S3Error: ``InvalidBucketName``; ``BucketAlreadyOwnedByYou``, except in us-east-1, where creating
                a bucket again succeeds, as in S3.
        """
        check_bucket_name(name)
        with self.index.write() as db:
            existing = index.find_bucket(db, name)
            if existing is not None:
                if not existing.region == region == "us-east-1":
                    raise S3Error("BucketAlreadyOwnedByYou", BucketName=name)
                created = existing
            else:
                created = Bucket(name, region, self.now())
                db.execute("INSERT INTO buckets VALUES (?, ?, ?)", attrs.astuple(created))
                self.disk.make_bucket_folder(name)
            for setting, value in (settings or {}).items():
                index.set_setting(db, name, setting, value)
        return created

    def has_bucket(self, name: str) -> bool:
        """Return whether the bucket exists."""
        with self.index.read() as db:
            return index.find_bucket(db, name) is not None

    def bucket(self, name: str) -> Bucket:
        """Return a bucket.

        Raises:
            S3Error: ``NoSuchBucket`` or ``InvalidBucketName``.
        """
        with self.index.read() as db:
            return require_bucket(db, name)

    def buckets(self) -> list[Bucket]:
        """Return all buckets, sorted by name."""
        with self.index.read() as db:
            return index.all_buckets(db)

    def delete_bucket(self, name: str) -> None:
        """Remove an empty bucket and its unfinished uploads.

        Raises:
            S3Error: ``NoSuchBucket``, ``InvalidBucketName`` or ``BucketNotEmpty``.
        """
        with self.index.write() as db:
            require_bucket(db, name)
            if db.execute("SELECT 1 FROM objects WHERE bucket = ? LIMIT 1", (name,)).fetchone():
                raise S3Error("BucketNotEmpty", BucketName=name)
            for (upload,) in db.execute("SELECT id FROM uploads WHERE bucket = ?", (name,)).fetchall():
                remove_upload(db, upload)
            db.execute("DELETE FROM completed WHERE bucket = ?", (name,))
            db.execute("DELETE FROM settings WHERE bucket = ?", (name,))
            db.execute("DELETE FROM buckets WHERE name = ?", (name,))
            self.disk.remove_bucket_folder(name)
        self.sync_disk()

    # -- objects ---------------------------------------------------------------------------------------------

    def receive(self, request: Request, *, algorithms: tuple[str, ...] = ()) -> Body:
        """Write the body of a request to the disk, in bounded memory, and verify it; see `_body.receive`."""
        with self.disk.new_body() as (name, descriptor):
            info = receive(request, lambda block: _write_all(descriptor, block), algorithms=algorithms)
        return Body(name, info)

    def put(
        self,
        new: StoredObject,
        preconditions: Preconditions,
        *,
        within_commit: Callable[[sqlite3.Connection], object] | None = None,
    ) -> None:
        """Commit an object whose body is on the disk; remove the body when that fails.

        Args:
            new: The object.
            preconditions: Conditions on the object that it replaces.
            within_commit: Called with the connection, for changes that belong to the same commit.

        Raises:
            S3Error: ``NoSuchBucket``, or what ``preconditions`` or ``within_commit`` raises.
        """
        try:
            with self.index.write() as db:
                require_bucket(db, new.bucket)
                old = index.find_object(db, new.bucket, new.key)
                preconditions.check(old)
                if within_commit is not None:
                    within_commit(db)
                index.put_object(db, new, old, path_is_free=self.disk.is_plain_path_free(new))
        except Exception:
            # Not on KeyboardInterrupt, which may come after the commit. The next start removes leftovers.
            self.disk.remove(new.body)
            raise
        self.sync_disk()

    def find(self, bucket: str, key: str) -> StoredObject:
        """Return an object.

        Raises:
            S3Error: ``NoSuchKey``, ``NoSuchBucket`` or ``InvalidBucketName``.
        """
        found = self.index.find(bucket, key)
        if found is None:
            self.bucket(bucket)
            raise S3Error("NoSuchKey", Key=key)
        return found

    def update_headers(self, bucket: str, key: str, changes: Mapping[str, str | None]) -> None:
        """Change the kept headers of an object; its body and its date stay.

        Args:
            bucket: The bucket.
            key: The key.
            changes: Values by lower-case name; None to remove a header.

        Raises:
            S3Error: ``NoSuchKey``, ``NoSuchBucket`` or ``InvalidBucketName``.
        """
        with self.index.write() as db:
            require_bucket(db, bucket)
            found = index.find_object(db, bucket, key)
            if found is None:
                raise S3Error("NoSuchKey", Key=key)
            headers = {**found.headers, **changes}
            index.set_headers(
                db, found, {name: value for name, value in headers.items() if value is not None}
            )

    def open(self, bucket: str, key: str) -> tuple[StoredObject, BinaryIO]:
        """Return an object and its open body, both of the same version. The caller closes the body.

        The index names the body of exactly this version, and bodies never change. When a writer removes the
        body between the query and the opening, the index names the next one.

        Raises:
            S3Error: As `find` does; ``InternalError`` when the body was removed from outside.
        """
        found = self.find(bucket, key)
        while (stream := self.disk.open(found.body)) is None:
            newer = self.find(bucket, key)
            if newer.body == found.body:
                raise S3Error("InternalError", "The body of the object is missing from the folder.")
            found = newer
        return found, stream

    def copy_body(
        self, bucket: str, key: str, *, algorithms: tuple[str, ...] = ()
    ) -> tuple[StoredObject, Body]:
        """Return an object and a new body with the same bytes.

        The body shares its bytes with the source, unless they must be read: for a checksum, or for the ETag
        of an object that was uploaded in parts (that of a copy is the MD5 of the whole).
        """
        while True:
            source, stream = self.open(bucket, key)
            with stream:
                if "-" in source.etag or algorithms:
                    return source, self.write_body([(stream, 0, source.size)], algorithms=algorithms)
            try:
                name = self.disk.duplicate(source.body)
            except FileNotFoundError:
                continue
            return source, Body(name, BodyInfo(source.size, bytes.fromhex(source.etag), source.checksums))

    def write_body(
        self, pieces: Iterable[tuple[BinaryIO, int, int]], *, algorithms: tuple[str, ...] = ()
    ) -> Body:
        """Write a body from pieces of files.

        Args:
            pieces: An open file, the start of the piece, and one past its end, in bytes.
            algorithms: Checksums to compute; those that cannot be computed here are left out.
        """
        hashers = {name: HASHERS[name]() for name in algorithms if name in HASHERS}
        whole = md5()
        size = 0
        with self.disk.new_body() as (name, descriptor):
            for stream, start, end in pieces:
                stream.seek(start)
                left = end - start
                while left and (block := stream.read(min(left, _BLOCK_SIZE))):
                    for hasher in (whole, *hashers.values()):
                        hasher.update(block)
                    _write_all(descriptor, block)
                    left -= len(block)
                    size += len(block)
                if left:
                    raise OSError("A body on the disk is shorter than its entry in the index.")
        checksums = {algorithm: encode_checksum(hasher.digest()) for algorithm, hasher in hashers.items()}
        return Body(name, BodyInfo(size, whole.digest(), checksums))

    def delete(self, bucket: str, wanted: Sequence[tuple[str, Preconditions]]) -> list[S3Error | None]:
        """Remove objects in one commit; missing ones count as removed, as in S3.

        Args:
            bucket: The bucket.
            wanted: Keys, each with the conditions on its object.

        Returns:
            For each key, the error of its conditions, or None.

        Raises:
            S3Error: ``NoSuchBucket`` or ``InvalidBucketName``.
        """
        outcomes: list[S3Error | None] = []
        with self.index.write() as db:
            require_bucket(db, bucket)
            for key, preconditions in wanted:
                old = index.find_object(db, bucket, key)
                try:
                    preconditions.check(old)
                except S3Error as error:
                    outcomes.append(error)
                    continue
                outcomes.append(None)
                if old is not None:
                    index.remove_object(db, old)
        self.sync_disk()
        return outcomes

    def list_page(self, bucket: str, query: ListQuery) -> ListPage:
        """Return one page of the keys of a bucket.

        Raises:
            S3Error: ``NoSuchBucket`` or ``InvalidBucketName``.
        """
        with self.index.read() as db:
            require_bucket(db, bucket)
            return index.list_page(db, bucket, query)


def check_bucket_name(name: str) -> None:
    """Check a name against "General purpose bucket naming rules" of the Amazon S3 User Guide.

    Raises:
        S3Error: ``InvalidBucketName``.
    """
    if not is_bucket_name(name):
        raise S3Error("InvalidBucketName", BucketName=name)


def require_bucket(db: sqlite3.Connection, name: str) -> Bucket:
    """Return a bucket that must exist.

    Raises:
        S3Error: ``NoSuchBucket``, or ``InvalidBucketName`` for a name that no bucket can have.
    """
    found = index.find_bucket(db, name)
    if found is None:
        check_bucket_name(name)
        raise S3Error("NoSuchBucket", BucketName=name)
    return found


def remove_upload(db: sqlite3.Connection, upload: str) -> None:
    """Remove an upload and its parts, and record their bodies as garbage."""
    for (body,) in db.execute("SELECT body FROM parts WHERE upload = ?", (upload,)).fetchall():
        index.add_garbage(db, body)
    db.execute("DELETE FROM parts WHERE upload = ?", (upload,))
    db.execute("DELETE FROM uploads WHERE id = ?", (upload,))


def _write_all(descriptor: int, block: bytes) -> None:
    """Write a whole block; one ``os.write`` may write less."""
    view: memoryview | bytes = block
    while (written := os.write(descriptor, view)) < len(view):
        view = memoryview(view)[written:]
