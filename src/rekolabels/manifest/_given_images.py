"""Labelled images that callers pass: a check that keeps a stream a stream."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeGuard

from rekolabels._arguments import invalid, shown
from rekolabels.errors import InvalidInput
from rekolabels.images import LabelledImage

__all__ = [
    "IMAGE_FILES",
    "check_images",
    "check_unused",
    "is_collection",
    "is_mapping",
    "is_path",
    "reader_for",
    "reader_name",
]

_IMAGES = "labelled images, such as those of read_folder()"

_READERS = {
    ".csv": "read_csv",
    ".json": "read_coco",
    ".jsonl": "read_manifest",
    ".manifest": "read_manifest",
    ".xml": "read_voc",
    ".yaml": "read_yolo",
    ".yml": "read_yolo",
}
IMAGE_FILES = (".jpg", ".jpeg", ".png")


def check_images(images: object, name: str = "images") -> Iterator[LabelledImage]:
    """Check an argument of labelled images: now that it is an iterable, and each element when it is read.

    Args:
        images: The value that was given.
        name: Name of the argument.

    Returns:
        The images, still as a stream.
    """
    if isinstance(images, LabelledImage):
        raise invalid(name, images, _IMAGES, f"Pass a list: {name}=[image].")
    if is_path(images):
        raise invalid(name, images, _IMAGES, reader_for(images))
    if not is_collection(images):
        fix = "Pass one of its parts." if hasattr(images, "train") and hasattr(images, "test") else ""
        raise invalid(name, images, _IMAGES, fix)
    check_unused(images, name)
    return _each(images, name)


def is_path(value: object) -> TypeGuard[str | os.PathLike[str]]:
    """Return whether a value is a path."""
    return isinstance(value, (str, os.PathLike))


def is_collection(value: object) -> TypeGuard[Iterable[object]]:
    """Return whether the elements of a value can be images or lines."""
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, bytearray, Mapping))


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Return whether a value is a mapping."""
    return isinstance(value, Mapping)


def check_unused(images: Iterable[object], name: str) -> None:
    """Refuse a generator that is used up: it would silently give nothing.

    Raises:
        InvalidInput: It is.
    """
    if inspect.isgenerator(images) and images.gi_frame is None:
        raise InvalidInput(
            f"{name} is a generator that was used up: it can be read once. Make a list before the first use: "
            f"{name} = list(...)."
        )


def _each(images: Iterable[object], name: str) -> Iterator[LabelledImage]:
    for number, image in enumerate(images):
        if not isinstance(image, LabelledImage):
            fix = f"Label it: LabelledImage({shown(str(image))}, labels=[...])." if is_path(image) else ""
            raise invalid(f"{name}[{number}]", image, "a LabelledImage", fix)
        yield image


def reader_name(path: str | os.PathLike[str]) -> str:
    """Return the name of the function that reads labelled images from a path, by its extension."""
    text = os.fspath(path)
    extension = os.path.splitext(text)[1].lower()  # noqa: PTH122 - also of URIs
    return _READERS.get(extension, "read_folder")


def reader_for(path: str | os.PathLike[str]) -> str:
    """Say how the labelled images at a path are read."""
    text = os.fspath(path)
    if text.lower().endswith(IMAGE_FILES):
        return f"Label it: [LabelledImage({text!r}, labels=[...])]."
    return f"Read them: {reader_name(path)}({text!r})."
