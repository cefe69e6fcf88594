"""Manifest lines into labelled images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rekolabels.errors import InvalidManifest
from rekolabels.manifest._fast_path import FastPath
from rekolabels.manifest._json import InvalidJson, load_object, short_repr
from rekolabels.manifest._label_attributes import build_image, label_attribute_keys, read_label_attribute
from rekolabels.manifest._sources import Block, Source, UnreadableLine, read_blocks
from rekolabels.manifest.limits import LINE_LENGTH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rekolabels.images import LabelledImage

__all__ = ["parse_line", "read_manifest"]


def parse_line(text: str, *, line: int | None = None) -> LabelledImage:
    """Read one line of a manifest.

    The labels and boxes of the line are made out as far as its form allows; whether the service would accept
    them is the business of ``check_manifest``. All else in the line is kept in ``attributes``, and
    ``format_line`` writes it again.

    Args:
        text: The line, one JSON object, with or without a newline behind it.
        line: Its number, from 1, for messages.

    Returns:
        The image; ``attributes`` holds every key of the line but ``source-ref``.

    Raises:
        InvalidManifest: The line is not JSON or longer than 100,000 characters, ``source-ref`` is missing, or
            a label or box cannot be made out. ``code`` is the service's code for it, where it has one.

    >>> image = parse_line(
    ...     '{"source-ref": "s3://puppies/1.jpg", "rust": 1, "rust-metadata": {"class-name": "rust", '
    ...     '"type": "groundtruth/image-classification", "confidence": 1}, "camera": 7}'
    ... )
    >>> image.source, image.labels, image.attributes["camera"]
    ('s3://puppies/1.jpg', ('rust',), 7)
    """
    if len(text) > LINE_LENGTH:
        raise _invalid(
            line, f"is {len(text):,} characters long; the limit is {LINE_LENGTH:,}", "LINE_TOO_LONG"
        )
    try:
        members, repeated = load_object(text)
    except InvalidJson as error:
        where = f" (column {error.column})" if error.column else ""
        message = f"is not a JSON object: {error.detail}{where}"
        raise _invalid(line, message, "ERROR_INVALID_JSON_LINE") from error
    source = members.get("source-ref")
    if "source-ref" not in members:
        raise _invalid(
            line, "has no 'source-ref'. It names the image: s3://bucket/key", "ERROR_MISSING_SOURCE_REF"
        )
    if not isinstance(source, str) or not source:
        message = (
            f"has {short_repr(source)} as 'source-ref', not the place of an image such as s3://bucket/key"
        )
        raise _invalid(line, message, "ERROR_INVALID_SOURCE_REF_FORMAT")
    pairs = [
        read_label_attribute(key, members[key], members[key + "-metadata"])
        for key in label_attribute_keys(members)
    ]
    for problem in (problem for pair in pairs for problem in pair.problems if problem.unreadable):
        where = short_repr("/" + "/".join(str(step) for step in problem.path))
        raise _invalid(line, f"cannot be read at {where}: {problem.detail}", problem.code)
    return build_image(text, members, pairs, keep_text=not repeated and "\n" not in text.strip())


def read_manifest(source: Source) -> Iterator[LabelledImage]:
    """Read a manifest, line by line, in bounded memory. Blank lines are passed over.

    Args:
        source: A path, the bytes of a manifest, an open file (binary or text), or lines.

    Yields:
        One image a line, in order.

    Raises:
        InvalidManifest: The file cannot be read, or a line cannot (see ``parse_line``); the message and
            ``line`` say which. To read past bad lines and learn of all of them, use ``check_manifest``.

    >>> [image.source for image in read_manifest([b'{"source-ref": "s3://puppies/1.jpg"}'])]
    ['s3://puppies/1.jpg']
    """
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
        message = f"is {bad.size:,} bytes long; the limit is {LINE_LENGTH:,} characters"
        return _invalid(bad.line, message, "LINE_TOO_LONG")
    return _invalid(bad.line, f"is not UTF-8 text (column {bad.column})", "ERROR_INVALID_JSON_LINE")


def _invalid(line: int | None, message: str, code: str) -> InvalidManifest:
    subject = "The manifest line" if line is None else f"Line {line} of the manifest"
    return InvalidManifest(f"{subject} {message}.", line=line, code=code)
