"""Tags, the same for projects, datasets and model versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rekolabels._aws._connection import Connection

__all__ = ["TaggedResource"]


class TaggedResource:
    """A resource that bears tags."""

    __slots__ = ()

    _connection: Connection
    arn: str

    @property
    def tags(self) -> dict[str, str]:
        """The tags; asks the service each time (ListTagsForResource).

        Those that begin with ``rekolabels:`` are of the SDK: which images a dataset was made from, and who
        runs a model.
        """
        return self._connection.rekognition.list_tags_for_resource(self.arn)

    def tag(self, tags: Mapping[str, str]) -> None:
        """Add tags, or give tags new values (TagResource).

        Args:
            tags: Keys of 1 to 128 and values of up to 256 letters, digits, spaces and ``_.:/=+-@``; a key
                does not begin with ``aws:``.

        Raises:
            InvalidInput: An empty or too long key.
            InvalidRequest: A character that is not allowed.
            LimitExceeded: More tags than a resource may bear.
        """
        self._connection.rekognition.tag_resource(self.arn, tags)

    def untag(self, *keys: str) -> None:
        """Remove tags (UntagResource); keys that the resource does not bear are ignored."""
        self._connection.rekognition.untag_resource(self.arn, keys)
