"""S3 objects that operations read and write: GetObject arguments, result keys, lines of large files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["MAX_LINE_BYTES", "Readable", "get_object_args", "read_lines", "result_key"]

MAX_LINE_BYTES = 400_001
"""Bytes kept of one line, the rest is skipped: 100,000 characters, the limit of a manifest line, have at most
400,000 bytes in UTF-8."""

_CHUNK = 1 << 16


def get_object_args(s3_object: Mapping[str, Any]) -> dict[str, str]:
    """Return the arguments of GetObject and HeadObject for an ``S3Object`` of Rekognition's API.

    >>> get_object_args({"Bucket": "puppies", "Name": "train.manifest"})
    {'Bucket': 'puppies', 'Key': 'train.manifest'}
    """
    args = {"Bucket": s3_object["Bucket"], "Key": s3_object["Name"]}
    if "Version" in s3_object:
        args["VersionId"] = s3_object["Version"]
    return args


def result_key(prefix: str, name: str) -> str:
    """Join the prefix of an ``OutputConfig`` and a file name with exactly one slash; none at the start.

    >>> result_key("out", "a.json"), result_key("out/", "a.json"), result_key("", "a.json")
    ('out/a.json', 'out/a.json', 'a.json')
    """
    return f"{prefix.removesuffix('/')}/{name}" if prefix.strip("/") else name


class Readable(Protocol):
    """A source of bytes, such as the body of a GetObject response."""

    def read(self, amount: int, /) -> bytes:
        """Return at most ``amount`` bytes; none at the end."""
        ...


def read_lines(body: Readable) -> Iterator[bytes]:
    r"""Yield the lines of a file without their line ends; longer lines are cut to `MAX_LINE_BYTES`.

    The file is streamed, so a manifest of a gigabyte never has to fit in memory.

    >>> import io
    >>> list(read_lines(io.BytesIO(b"one\r\n\ntwo")))
    [b'one', b'', b'two']
    """
    pending = b""
    while chunk := body.read(_CHUNK):
        first, *rest = chunk.split(b"\n")
        pending = (pending + first)[:MAX_LINE_BYTES]
        for part in rest:
            yield pending.removesuffix(b"\r")
            pending = part
    if pending:
        yield pending.removesuffix(b"\r")
