"""Multipart uploads: parts are bodies on the disk, listed in the index until they are joined."""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, BinaryIO

import attrs

from rekolabels.local._s3 import _index as index
from rekolabels.local._s3._body import HASHERS, BodyInfo, encode_checksum, md5
from rekolabels.local._s3._errors import S3Error
from rekolabels.local._s3._object_store import Body, ObjectStore, remove_upload, require_bucket

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator, Sequence

    from rekolabels.local._s3._conditions import Preconditions

__all__ = [
    "Completed",
    "CompletedPart",
    "Part",
    "Upload",
    "abort",
    "all_parts",
    "complete",
    "create",
    "find",
    "find_completed",
    "iter_uploads",
    "new_id",
    "put_part",
]

_ETAG = re.compile(r"[0-9a-f]{32}")
_REMEMBERED_SECONDS = 7 * 24 * 3600
_MIN_PART_SIZE = 5 * 1024 * 1024  # bytes, for all parts but the last


@attrs.frozen
class Upload:
    """A multipart upload in progress."""

    id: str
    bucket: str
    key: str
    created: int
    """Seconds since 1970."""
    headers: Mapping[str, str]
    """Headers of the future object, by lower-case name."""
    algorithm: str
    """Checksum algorithm of the parts (``crc32``); empty for none."""
    checksum_type: str
    """``COMPOSITE`` or ``FULL_OBJECT``; empty without a checksum."""


@attrs.frozen
class Part:
    """An uploaded part."""

    number: int
    body: str
    """Name of its body on the disk."""
    size: int
    """Bytes."""
    etag: str
    modified: int
    """Seconds since 1970."""
    checksums: Mapping[str, str]
    """Base64 by algorithm."""


@attrs.frozen
class CompletedPart:
    """A part as the client lists it in CompleteMultipartUpload."""

    number: int
    etag: str
    checksums: Mapping[str, str]
    """Base64 by algorithm."""


@attrs.frozen
class Completed:
    """What a completed upload became."""

    etag: str
    checksums: Mapping[str, str]
    """Base64 by algorithm."""
    headers: Mapping[str, str]
    """Headers that are stored with the object, by lower-case name."""


def new_id() -> str:
    """Return a unique, unguessable upload id."""
    return secrets.token_urlsafe(48)


def create(store: ObjectStore, upload: Upload) -> None:
    """Add an upload to the index.

    Raises:
        S3Error: ``NoSuchBucket`` or ``InvalidBucketName``.
    """
    with store.index.write() as db:
        require_bucket(db, upload.bucket)
        db.execute(
            "INSERT INTO uploads VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                upload.id,
                upload.bucket,
                upload.key.encode(),
                upload.created,
                json.dumps(dict(upload.headers)),
                upload.algorithm,
                upload.checksum_type,
            ),
        )


def find(store: ObjectStore, bucket: str, key: str, upload_id: str) -> Upload:
    """Return an upload.

    Raises:
        S3Error: ``NoSuchUpload``, also when the upload is for another key; ``NoSuchBucket``.
    """
    with store.index.read() as db:
        require_bucket(db, bucket)
        return _require_upload(db, bucket, key, upload_id)


def _require_upload(db: sqlite3.Connection, bucket: str, key: str, upload_id: str) -> Upload:
    row = db.execute(
        "SELECT id, bucket, key, created, headers, algorithm, kind FROM uploads"
        " WHERE id = ? AND bucket = ? AND key = ?",
        (upload_id, bucket, key.encode()),
    ).fetchone()
    if row is None:
        raise S3Error("NoSuchUpload", UploadId=upload_id)
    return _upload_from_row(row)


def _upload_from_row(row: tuple[str, str, bytes, int, str, str, str]) -> Upload:
    upload_id, bucket, key, created, headers, algorithm, checksum_type = row
    return Upload(upload_id, bucket, key.decode(), created, json.loads(headers), algorithm, checksum_type)


def iter_uploads(db: sqlite3.Connection, bucket: str, after: tuple[bytes, str]) -> Generator[Upload]:
    """Iterate over the uploads of a bucket, sorted by key and id, after a given key and id."""
    rows = db.execute(
        "SELECT id, bucket, key, created, headers, algorithm, kind FROM uploads"
        " WHERE bucket = ? AND (key, id) > (?, ?) ORDER BY key, id",
        (bucket, *after),
    )
    for row in rows:
        yield _upload_from_row(row)


def all_parts(db: sqlite3.Connection, upload_id: str) -> list[Part]:
    """Return the parts of an upload, sorted by number."""
    rows = db.execute(
        "SELECT number, body, size, etag, modified, checksums FROM parts WHERE upload = ? ORDER BY number",
        (upload_id,),
    )
    return [
        Part(number, body, size, etag, modified, json.loads(checksums))
        for number, body, size, etag, modified, checksums in rows
    ]


def put_part(store: ObjectStore, upload: Upload, number: int, body: Body) -> Part:
    """Commit a part whose body is on the disk, or replace it; remove the body when that fails.

    Raises:
        S3Error: ``NoSuchUpload`` when the upload was completed or aborted in the meantime.
    """
    info = body.info
    part = Part(number, body.name, info.size, info.md5.hex(), store.now(), info.checksums)
    try:
        with store.index.write() as db:
            _require_upload(db, upload.bucket, upload.key, upload.id)
            old = db.execute(
                "SELECT body FROM parts WHERE upload = ? AND number = ?", (upload.id, number)
            ).fetchone()
            if old is not None:
                index.add_garbage(db, old[0])
            db.execute(
                "INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    upload.id,
                    part.number,
                    part.body,
                    part.size,
                    part.etag,
                    part.modified,
                    json.dumps(dict(part.checksums)),
                ),
            )
    except Exception:
        # Not on KeyboardInterrupt, which may come after the commit. The next start removes leftovers.
        store.disk.remove(body.name)
        raise
    if old is not None:
        store.sync_disk()
    return part


def abort(store: ObjectStore, upload: Upload) -> None:
    """Remove an upload and its parts.

    Raises:
        S3Error: ``NoSuchUpload`` when the upload was completed or aborted in the meantime.
    """
    with store.index.write() as db:
        _require_upload(db, upload.bucket, upload.key, upload.id)
        remove_upload(db, upload.id)
    store.sync_disk()


def complete(
    store: ObjectStore,
    upload: Upload,
    completed: Sequence[CompletedPart],
    preconditions: Preconditions,
    given: Mapping[str, str],
) -> Completed:
    """Join the parts of an upload into the object.

    Args:
        store: The store.
        upload: The upload.
        completed: The parts as the client lists them.
        preconditions: Conditions on the object that is replaced.
        given: Checksums of the whole object from the client, in Base64 by algorithm.

    Raises:
        S3Error: ``InvalidPart``, ``InvalidPartOrder``, ``EntityTooSmall``, ``BadDigest``, ``NoSuchUpload``,
            or what ``preconditions`` raises. The upload and its parts then stay as they are.
    """
    parts = _check_parts(store, upload, completed)
    body = _join(store, upload, parts)
    new = index.StoredObject(
        bucket=upload.bucket,
        key=upload.key,
        body=body.name,
        size=body.info.size,
        etag=_joined_etag([part.etag for part in parts]),
        modified=store.now(),
        headers=upload.headers,
        checksums=body.info.checksums,
        parts=tuple(index.ObjectPart(part.size, part.checksums) for part in parts),
    )

    def finish(db: sqlite3.Connection) -> None:
        _require_upload(db, upload.bucket, upload.key, upload.id)
        for algorithm, value in given.items():
            if new.checksums.get(algorithm, value).partition("-")[0] != value.partition("-")[0]:
                raise S3Error(
                    "BadDigest", f"The {algorithm.upper()} you specified did not match what we received."
                )
        remove_upload(db, upload.id)
        _remember(db, upload, done, store.now())

    # Checksums that cannot be computed here are stored as the client gave them.
    new = attrs.evolve(new, checksums={**given, **new.checksums})
    done = Completed(new.etag, new.checksums, new.headers)
    store.put(new, preconditions, within_commit=finish)
    return done


def _joined_etag(etags: Sequence[str]) -> str:
    """Return the ETag of an object that is made of parts with these ETags."""
    whole = md5()
    for etag in etags:
        whole.update(bytes.fromhex(etag))
    return f"{whole.digest().hex()}-{len(etags)}"


def _remember(db: sqlite3.Connection, upload: Upload, done: Completed, now: int) -> None:
    """Record a completed upload for some days; the client may repeat its request."""
    db.execute("DELETE FROM completed WHERE time < ?", (now - _REMEMBERED_SECONDS,))
    db.execute(
        "INSERT INTO completed VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            upload.id,
            upload.bucket,
            upload.key.encode(),
            done.etag,
            json.dumps(dict(done.checksums)),
            json.dumps(dict(done.headers)),
            now,
        ),
    )


def find_completed(
    store: ObjectStore, bucket: str, key: str, upload_id: str, completed: Sequence[CompletedPart]
) -> Completed | None:
    """Return what an upload became that was completed with the same parts; None for any other upload.

    Raises:
        S3Error: ``NoSuchBucket`` or ``InvalidBucketName``.
    """
    with store.index.read() as db:
        require_bucket(db, bucket)
        row = db.execute(
            "SELECT etag, checksums, headers FROM completed WHERE id = ? AND bucket = ? AND key = ?",
            (upload_id, bucket, key.encode()),
        ).fetchone()
    if row is None or not all(_ETAG.fullmatch(part.etag) for part in completed):
        return None
    done = Completed(row[0], json.loads(row[1]), json.loads(row[2]))
    return done if _joined_etag([part.etag for part in completed]) == done.etag else None


def _check_parts(store: ObjectStore, upload: Upload, completed: Sequence[CompletedPart]) -> list[Part]:
    """Return the parts to join, after checking order, ETags, checksums and sizes."""
    with store.index.read() as db:
        _require_upload(db, upload.bucket, upload.key, upload.id)
        uploaded = {part.number: part for part in all_parts(db, upload.id)}
    parts: list[Part] = []
    for listed in completed:
        if parts and listed.number <= parts[-1].number:
            raise S3Error("InvalidPartOrder", UploadId=upload.id)
        part = uploaded.get(listed.number)
        if part is None or part.etag != listed.etag or _contradict(listed.checksums, part.checksums):
            raise S3Error("InvalidPart", UploadId=upload.id, PartNumber=str(listed.number), ETag=listed.etag)
        parts.append(part)
    for part in parts[:-1]:
        if part.size < _MIN_PART_SIZE:
            raise S3Error(
                "EntityTooSmall",
                ProposedSize=str(part.size),
                MinSizeAllowed=str(_MIN_PART_SIZE),
                PartNumber=str(part.number),
                ETag=part.etag,
            )
    return parts


def _contradict(listed: Mapping[str, str], uploaded: Mapping[str, str]) -> bool:
    return any(uploaded.get(algorithm, value) != value for algorithm, value in listed.items())


def _join(store: ObjectStore, upload: Upload, parts: Sequence[Part]) -> Body:
    """Write the body of the object, and compute the checksum that the upload asked for."""
    algorithm = upload.algorithm
    if upload.checksum_type == "COMPOSITE":
        checksums = _composite_checksum(algorithm, parts)
    elif len(parts) == 1:
        checksums = {name: value for name, value in parts[0].checksums.items() if name == algorithm}
    else:
        checksums = {}
    if len(parts) == 1:
        (part,) = parts
        try:
            name = store.disk.duplicate(part.body)
        except FileNotFoundError as error:
            raise S3Error("NoSuchUpload", UploadId=upload.id) from error
        return Body(name, BodyInfo(part.size, bytes.fromhex(part.etag), checksums))
    algorithms = (algorithm,) if upload.checksum_type == "FULL_OBJECT" else ()
    body = store.write_body(_open_parts(store, parts), algorithms=algorithms)
    return attrs.evolve(body, info=attrs.evolve(body.info, checksums={**checksums, **body.info.checksums}))


def _open_parts(store: ObjectStore, parts: Sequence[Part]) -> Generator[tuple[BinaryIO, int, int]]:
    """Open one part at a time: an upload may have 10,000."""
    for part in parts:
        stream = store.disk.open(part.body)
        if stream is None:
            raise S3Error("NoSuchUpload")
        with stream:
            yield stream, 0, part.size


def _composite_checksum(algorithm: str, parts: Sequence[Part]) -> dict[str, str]:
    """Return the checksum of the parts' checksums, as S3 defines it; empty when one is missing."""
    values = [part.checksums.get(algorithm, "") for part in parts]
    if algorithm not in HASHERS or not all(values):
        return {}
    hasher = HASHERS[algorithm]()
    for value in values:
        hasher.update(base64.b64decode(value))
    return {algorithm: f"{encode_checksum(hasher.digest())}-{len(parts)}"}
