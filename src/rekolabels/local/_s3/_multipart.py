"""Uploads in parts: the parts lie on the disk as bodies, the index knows them, completing joins them."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, BinaryIO

import attrs

from rekolabels.local._s3 import _index as index
from rekolabels.local._s3._body import HASHERS, Received, encode, md5
from rekolabels.local._s3._errors import S3Error
from rekolabels.local._s3._store import Body, Store, drop_upload, existing_bucket

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator, Sequence

    from rekolabels.local._s3._conditions import Guard
    from rekolabels.local._s3._index import Stored

SMALLEST_PART = 5 * 1024 * 1024  # bytes, for all but the last


@attrs.frozen
class Upload:
    """An upload that has begun."""

    id: str
    bucket: str
    key: str
    created: int
    """Seconds since 1970."""
    headers: Mapping[str, str]
    algorithm: str
    """Of the checksums of the parts; empty for none."""
    kind: str
    """``COMPOSITE``, ``FULL_OBJECT``, or empty where there is no checksum."""


@attrs.frozen
class Part:
    """A part that has arrived."""

    number: int
    body: str
    size: int
    etag: str
    modified: int
    checksums: Mapping[str, str]


@attrs.frozen
class Claim:
    """A part as the client names it when it completes the upload."""

    number: int
    etag: str
    checksums: Mapping[str, str]


def begin(store: Store, upload: Upload) -> None:
    """Begin an upload.

    Raises:
        S3Error: ``NoSuchBucket``.
    """
    with store.index.write() as db:
        existing_bucket(db, upload.bucket)
        db.execute(
            "INSERT INTO uploads VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                upload.id,
                upload.bucket,
                upload.key.encode(),
                upload.created,
                json.dumps(dict(upload.headers)),
                upload.algorithm,
                upload.kind,
            ),
        )


def new_id() -> str:
    """A name for an upload that nobody guesses and no other upload has."""
    return secrets.token_urlsafe(48)


def find(store: Store, bucket: str, key: str, upload_id: str) -> Upload:
    """An upload.

    Raises:
        S3Error: ``NoSuchUpload``, also when it is an upload of another object.
    """
    with store.index.read() as db:
        existing_bucket(db, bucket)
        return _existing(db, bucket, key, upload_id)


def _existing(db: sqlite3.Connection, bucket: str, key: str, upload_id: str) -> Upload:
    row = db.execute(
        "SELECT id, bucket, key, created, headers, algorithm, kind FROM uploads"
        " WHERE id = ? AND bucket = ? AND key = ?",
        (upload_id, bucket, key.encode()),
    ).fetchone()
    if row is None:
        raise S3Error("NoSuchUpload", UploadId=upload_id)
    return _upload(row)


def _upload(row: tuple[str, str, bytes, int, str, str, str]) -> Upload:
    upload_id, bucket, key, created, headers, algorithm, kind = row
    return Upload(upload_id, bucket, key.decode(), created, json.loads(headers), algorithm, kind)


def uploads(db: sqlite3.Connection, bucket: str, after: tuple[bytes, str]) -> Generator[Upload]:
    """The uploads of a bucket after a key and an upload of it, in order."""
    rows = db.execute(
        "SELECT id, bucket, key, created, headers, algorithm, kind FROM uploads"
        " WHERE bucket = ? AND (key, id) > (?, ?) ORDER BY key, id",
        (bucket, *after),
    )
    for row in rows:
        yield _upload(row)


def parts(db: sqlite3.Connection, upload_id: str) -> list[Part]:
    """The parts of an upload, by number."""
    rows = db.execute(
        "SELECT number, body, size, etag, modified, checksums FROM parts WHERE upload = ? ORDER BY number",
        (upload_id,),
    )
    return [
        Part(number, body, size, etag, modified, json.loads(checksums))
        for number, body, size, etag, modified, checksums in rows
    ]


def keep_part(store: Store, upload: Upload, number: int, body: Body) -> Part:
    """Let a part be the one whose body lies on the disk. When this fails, the body is removed.

    Raises:
        S3Error: ``NoSuchUpload`` when somebody has completed or aborted it meanwhile.
    """
    received = body.received
    part = Part(number, body.name, received.size, received.md5.hex(), store.now(), received.checksums)
    try:
        with store.index.write() as db:
            _existing(db, upload.bucket, upload.key, upload.id)
            old = db.execute(
                "SELECT body FROM parts WHERE upload = ? AND number = ?", (upload.id, number)
            ).fetchone()
            if old is not None:
                index.discard(db, old[0])
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
        # Not for a KeyboardInterrupt: it may have come after the commit. The next start tidies up.
        store.disk.remove(body.name)
        raise
    if old is not None:
        store.settle()
    return part


def abort(store: Store, upload: Upload) -> None:
    """Give an upload up, and remove its parts."""
    with store.index.write() as db:
        _existing(db, upload.bucket, upload.key, upload.id)
        drop_upload(db, upload.id)
    store.settle()


def complete(
    store: Store, upload: Upload, claims: Sequence[Claim], guard: Guard, given: Mapping[str, str]
) -> Stored:
    """Join the parts to the object.

    Args:
        store: The store.
        upload: The upload.
        claims: The parts, as the client names them.
        guard: What must hold for the object that is there.
        given: Checksums of the object that the client computed, by algorithm.

    Raises:
        S3Error: ``InvalidPart``, ``InvalidPartOrder``, ``EntityTooSmall``, ``BadDigest``, ``NoSuchUpload``,
            or what the guard raises. The upload and its parts stay as they are.
    """
    chosen = _chosen(store, upload, claims)
    body = _joined(store, upload, chosen)
    etags = md5()
    for part in chosen:
        etags.update(bytes.fromhex(part.etag))
    new = index.Stored(
        bucket=upload.bucket,
        key=upload.key,
        body=body.name,
        size=body.received.size,
        etag=f"{etags.digest().hex()}-{len(chosen)}",
        modified=store.now(),
        headers=upload.headers,
        checksums=body.received.checksums,
        parts=tuple(part.size for part in chosen),
    )

    def finish(db: sqlite3.Connection) -> None:
        _existing(db, upload.bucket, upload.key, upload.id)
        for algorithm, value in given.items():
            if new.checksums.get(algorithm, value).partition("-")[0] != value.partition("-")[0]:
                raise S3Error(
                    "BadDigest", f"The {algorithm.upper()} you specified did not match what we received."
                )
        drop_upload(db, upload.id)

    # What cannot be computed here is kept as the client gave it.
    new = attrs.evolve(new, checksums={**given, **new.checksums})
    store.keep(new, guard, also=finish)
    return new


def _chosen(store: Store, upload: Upload, claims: Sequence[Claim]) -> list[Part]:
    with store.index.read() as db:
        _existing(db, upload.bucket, upload.key, upload.id)
        there = {part.number: part for part in parts(db, upload.id)}
    chosen: list[Part] = []
    for claim in claims:
        if chosen and claim.number <= chosen[-1].number:
            raise S3Error("InvalidPartOrder", UploadId=upload.id)
        part = there.get(claim.number)
        if part is None or part.etag != claim.etag or _differ(claim.checksums, part.checksums):
            raise S3Error("InvalidPart", UploadId=upload.id, PartNumber=str(claim.number), ETag=claim.etag)
        chosen.append(part)
    for part in chosen[:-1]:
        if part.size < SMALLEST_PART:
            raise S3Error(
                "EntityTooSmall",
                ProposedSize=str(part.size),
                MinSizeAllowed=str(SMALLEST_PART),
                PartNumber=str(part.number),
                ETag=part.etag,
            )
    return chosen


def _differ(claimed: Mapping[str, str], there: Mapping[str, str]) -> bool:
    return any(there.get(algorithm, value) != value for algorithm, value in claimed.items())


def _joined(store: Store, upload: Upload, chosen: Sequence[Part]) -> Body:
    """The body of the object, with the checksum that the upload asked for."""
    algorithm = upload.algorithm
    if upload.kind == "COMPOSITE":
        checksums = _composite(algorithm, chosen)
    elif len(chosen) == 1:
        checksums = {name: value for name, value in chosen[0].checksums.items() if name == algorithm}
    else:
        checksums = {}
    if len(chosen) == 1:
        (part,) = chosen
        try:
            twin = store.disk.twin(part.body)
        except FileNotFoundError as error:
            raise S3Error("NoSuchUpload", UploadId=upload.id) from error
        return Body(twin, Received(part.size, bytes.fromhex(part.etag), checksums))
    whole = (algorithm,) if upload.kind == "FULL_OBJECT" else ()
    body = store.write_body(_opened(store, chosen), also=whole)
    return attrs.evolve(
        body, received=attrs.evolve(body.received, checksums={**checksums, **body.received.checksums})
    )


def _opened(store: Store, chosen: Sequence[Part]) -> Generator[tuple[BinaryIO, int, int]]:
    """One part after the other, so that 10,000 of them do not keep 10,000 files open."""
    for part in chosen:
        stream = store.disk.open(part.body)
        if stream is None:
            raise S3Error("NoSuchUpload")
        with stream:
            yield stream, 0, part.size


def _composite(algorithm: str, chosen: Sequence[Part]) -> dict[str, str]:
    """The checksum of the checksums of the parts, as S3 defines it; none where one is missing."""
    values = [part.checksums.get(algorithm, "") for part in chosen]
    if algorithm not in HASHERS or not all(values):
        return {}
    hasher = HASHERS[algorithm]()
    for value in values:
        hasher.update(base64.b64decode(value))
    return {algorithm: f"{encode(hasher.digest())}-{len(chosen)}"}
