"""Operations on the tags of projects, datasets and model versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rekolabels.local._core._arns import parse_arn
from rekolabels.local._core._exceptions import ServiceException

if TYPE_CHECKING:
    from collections.abc import Mapping
    from sqlite3 import Connection

    from rekolabels.local._core._context import Call

__all__ = ["list_tags_for_resource", "set_tags", "tag_resource", "untag_resource"]


def tag_resource(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Add tags to a resource; a tag with the same key is replaced."""
    with call.context.store.write() as db:
        arn = _find_resource(call, db, parameters["ResourceArn"])
        set_tags(call, db, arn, parameters["Tags"])
    return {}


def untag_resource(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """Remove tags from a resource; keys that it does not have are ignored."""
    with call.context.store.write() as db:
        arn = _find_resource(call, db, parameters["ResourceArn"])
        db.executemany(
            "DELETE FROM tags WHERE arn = ? AND name = ?", [(arn, name) for name in parameters["TagKeys"]]
        )
    return {}


def list_tags_for_resource(call: Call, parameters: dict[str, Any]) -> dict[str, Any]:
    """List all tags of a resource."""
    with call.context.store.read() as db:
        arn = _find_resource(call, db, parameters["ResourceArn"])
        rows = db.execute("SELECT name, value FROM tags WHERE arn = ? ORDER BY name", (arn,)).fetchall()
    return {"Tags": {row["name"]: row["value"] for row in rows}}


def set_tags(call: Call, db: Connection, arn: str, tags: Mapping[str, str] | None) -> None:
    """Add tags to a resource, at its creation or later.

    Args:
        call: The request.
        db: A write transaction.
        arn: ARN of the resource.
        tags: Values by key; None for no tags.

    Raises:
        ServiceException: ``ServiceQuotaExceededException``: the resource would have too many tags.
    """
    if not tags:
        return
    db.executemany(
        "INSERT INTO tags (arn, name, value) VALUES (?, ?, ?) "
        "ON CONFLICT (arn, name) DO UPDATE SET value = excluded.value",
        [(arn, name, value) for name, value in tags.items()],
    )
    (count,) = db.execute("SELECT count(*) FROM tags WHERE arn = ?", (arn,)).fetchone()
    quota = call.context.quotas.tags_per_resource
    if count > quota:
        raise ServiceException(
            "ServiceQuotaExceededException", f"{arn} would have {count} tags; at most {quota} are allowed."
        )


def _find_resource(call: Call, db: Connection, arn: str) -> str:
    parts = parse_arn(arn)
    if parts is None:
        raise ServiceException.not_found("resource", arn)
    find = {"project": call.project, "dataset": call.dataset, "version": call.version}[parts.kind]
    return str(find(db, arn)["arn"])
