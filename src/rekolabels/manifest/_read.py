"""Read manifests as labelled images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rekolabels._arguments import check_instance
from rekolabels.errors import InvalidManifest
from rekolabels.manifest._fast_path import FastPath
from rekolabels.manifest._json import InvalidJson, load_object, short_repr
from rekolabels.manifest._label_attributes import (
    METADATA_SUFFIX,
    build_image,
    label_attribute_keys,
    read_label_attribute,
)
from rekolabels.manifest._sources import Block, Source, UnreadableLine, check_source, read_blocks
from rekolabels.manifest.limits import LINE_LENGTH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rekolabels.images import LabelledImage

__all__ = ["parse_line", "read_manifest"]


def parse_line(text: str, *, line: int | None = None) -> LabelledImage:
    """Read one line of a manifest.

    Reads labels and boxes even if the service would reject them; ``check_manifest`` applies its rules. The
    other keys of the line are kept in ``attributes``, and ``format_line`` writes them again.

    Args:
        text: The line: one JSON object, with or without a trailing newline.
        line: The line number for messages, from 1.

    Returns:
        The image. Its ``attributes`` hold every key of the line except ``source-ref``.

    Raises:
        InvalidManifest: The line is not JSON or longer than 100,000 characters, ``source-ref`` is missing, or
            a label or box cannot be read. ``code`` is the service's error code, if it has one.

    >>> image = parse_line(
    ...     '{"source-ref": "s3://puppies/1.jpg", "rust": 1, "rust-metadata": {"class-name": "rust", '
    ...     '"type": "groundtruth/image-classification", "confidence": 1}, "camera": 7}'
    ... )
    >>> image.source, image.labels, image.attributes["camera"]
    ('s3://puppies/1.jpg', ('rust',), 7)
    """
    fix = "Decode it: text.decode()." if hasattr(text, "decode") else ""
    check_instance("text", text, str, "a line of a manifest, as text", fix)
    if len(text) > LINE_LENGTH:
        message = f"has {len(text):,} characters; at most {LINE_LENGTH:,} are allowed"
        raise _invalid(line, message, "LINE_TOO_LONG")
    try:
        members, repeated = load_object(text)
    except InvalidJson as error:
        where = f" (column {error.column})" if error.column else ""
        message = f"is not a JSON object: {error.detail}{where}"
        raise _invalid(line, message, "ERROR_INVALID_JSON_LINE") from error
    source = members.get("source-ref")
    if "source-ref" not in members:
        message = "has no 'source-ref' with the URI of the image, such as s3://bucket/key"
        raise _invalid(line, message, "ERROR_MISSING_SOURCE_REF")
    if not isinstance(source, str) or not source:
        message = f"has {short_repr(source)} as 'source-ref', not the URI of an image such as s3://bucket/key"
        raise _invalid(line, message, "ERROR_INVALID_SOURCE_REF_FORMAT")
    keys = label_attribute_keys(members)
    attributes = [read_label_attribute(key, members[key], members[key + METADATA_SUFFIX]) for key in keys]
    for problem in (problem for attribute in attributes for problem in attribute.problems):
        if problem.unreadable:
            where = short_repr("/" + "/".join(str(step) for step in problem.path))
            raise _invalid(line, f"cannot be read at {where}: {problem.detail}", problem.code)
    return build_image(text, members, attributes, keep_text=not repeated and "\n" not in text.strip())


def read_manifest(source: Source) -> Iterator[LabelledImage]:
    """Read a manifest line by line, in bounded memory. Blank lines are skipped.

    Args:
        source: A path, the bytes of a manifest, an open file (binary or text), or lines.

    Yields:
        One image per line, in order.

    Raises:
        InvalidManifest: The file or a line cannot be read (see ``parse_line``); the message and ``line``
            name the line. To skip bad lines and list all of them, use ``CheckedManifest``.

    >>> [image.source for image in read_manifest([b'{"source-ref": "s3://puppies/1.jpg"}'])]
    ['s3://puppies/1.jpg']
    """
    check_source(source)
    return _read(source)


def _read(source: Source) -> Iterator[LabelledImage]:
    fast_path = FastPath()
    for block in read_blocks(source):
        if isinstance(block, UnreadableLine):
            raise _unreadable(block)
        clean = fast_path.read(block)
        yield from _images(block) if clean is None else clean.images


def _images(block: Block) -> Iterator[LabelledImage]:
    for number, text in enumerate(block.text.split("\n"), start=block.line):
        if text and not text.isspace():
            yield parse_line(text, line=number)


def _unreadable(bad: UnreadableLine) -> InvalidManifest:
    if bad.too_long:
        message = f"has {bad.size:,} bytes; at most {LINE_LENGTH:,} characters are allowed"
        return _invalid(bad.line, message, "LINE_TOO_LONG")
    return _invalid(bad.line, f"is not UTF-8 text (column {bad.column})", "ERROR_INVALID_JSON_LINE")


def _invalid(line: int | None, message: str, code: str) -> InvalidManifest:
    subject = "The manifest line" if line is None else f"Line {line} of the manifest"
    return InvalidManifest(f"{subject} {message}.", line=line, code=code)
