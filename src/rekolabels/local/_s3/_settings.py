"""Settings of buckets in the index: the policy, tags, the ACL and the CORS rules, each as one text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from rekolabels.local._s3._index import set_setting
from rekolabels.local._s3._object_store import require_bucket

if TYPE_CHECKING:
    from rekolabels.local._s3._object_store import ObjectStore

__all__ = ["Setting", "find_setting", "put_setting", "remove_setting"]

Setting: TypeAlias = Literal["acl", "cors", "policy", "tagging"]


def find_setting(store: ObjectStore, bucket: str, name: Setting) -> str | None:
    """Return a setting of a bucket; None when it was not set.

    Raises:
        S3Error: ``NoSuchBucket`` or ``InvalidBucketName``.
    """
    with store.index.read() as db:
        require_bucket(db, bucket)
        row = db.execute(
            "SELECT value FROM settings WHERE bucket = ? AND name = ?", (bucket, name)
        ).fetchone()
    return None if row is None else str(row[0])


def put_setting(store: ObjectStore, bucket: str, name: Setting, value: str) -> None:
    """Set or replace a setting of a bucket.

    Raises:
        S3Error: ``NoSuchBucket`` or ``InvalidBucketName``.
    """
    with store.index.write() as db:
        require_bucket(db, bucket)
        set_setting(db, bucket, name, value)


def remove_setting(store: ObjectStore, bucket: str, name: Setting) -> None:
    """Remove a setting of a bucket, if it is set.

    Raises:
        S3Error: ``NoSuchBucket`` or ``InvalidBucketName``.
    """
    with store.index.write() as db:
        require_bucket(db, bucket)
        db.execute("DELETE FROM settings WHERE bucket = ? AND name = ?", (bucket, name))
