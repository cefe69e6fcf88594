"""``TaggedResource``: the tag methods that projects, datasets and model versions share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rekolabels._arguments import check_mapping, check_text
from rekolabels._aws._arns import TAGS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rekolabels._aws._connection import Connection

__all__ = ["TaggedResource"]


class TaggedResource:
    """A resource with tags."""

    __slots__ = ()

    _connection: Connection
    arn: str

    @property
    def tags(self) -> dict[str, str]:
        """The tags. Each access calls the service (ListTagsForResource).

        The SDK writes tags that begin with ``rekolabels:``, which record the images of a dataset and the
        processes that use a running model.
        """
        return self._connection.rekognition.list_tags_for_resource(self.arn)

    def tag(self, tags: Mapping[str, str]) -> None:
        """Add tags, or change the values of existing ones (TagResource).

        Args:
            tags: Keys of 1 to 128 and values of up to 256 characters: letters, digits, spaces and
                ``_.:/=+-@``. A key must not begin with ``aws:``.

        Raises:
            InvalidInput: A key is empty or too long.
            InvalidRequest: A key or value has a character that is not allowed.
            LimitExceeded: The resource would have too many tags.
        """
        self._connection.rekognition.tag_resource(self.arn, check_mapping("tags", tags, TAGS))

    def untag(self, *keys: str) -> None:
        """Remove tags (UntagResource). Keys that the resource does not have are ignored.

        Raises:
            InvalidInput: A key is not text, or is empty.
        """
        for key in keys:
            check_text("keys", key, "the key of a tag", "To remove several, use untag('a', 'b').")
        self._connection.rekognition.untag_resource(self.arn, keys)
