"""Pascal VOC: one XML file an image."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from rekolabels.errors import InvalidImage, InvalidInput, MissingExtra
from rekolabels.formats._common import (
    Place,
    exists,
    is_file,
    is_folder,
    is_s3,
    make_box,
    make_size,
    number,
    place_in,
)
from rekolabels.formats._header import image_size
from rekolabels.formats._problems import OnProblem, Report, log_problem, shown
from rekolabels.formats._writing import written
from rekolabels.images import BoundingBox, ImageSize, LabelledImage

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator
    from xml.etree.ElementTree import Element

__all__ = ["read_voc", "write_voc"]

_MOST_BYTES = 16 * 1024 * 1024  # an annotation file has some kB
_IMAGE_FOLDERS = ("JPEGImages", "images", "Images")
_ENDINGS = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")


def read_voc(
    path: str | os.PathLike[str], *, images: Place | None = None, on_problem: OnProblem = log_problem
) -> Iterator[LabelledImage]:
    """Read Pascal VOC annotations: one XML file an image, with its boxes.

    Coordinates are taken as they are: ``xmin`` is the left edge and ``xmax - xmin`` the width, as the usual
    tools write them. Parts, poses, ``difficult`` and ``truncated`` have no place in Custom Labels.

    Needs the extra ``formats`` (defusedxml: XML from elsewhere must not be able to fill the memory).

    Args:
        path: The folder of the XML files, or one XML file.
        images: Where the images are, a folder or an ``s3://`` prefix. By default ``JPEGImages`` or ``images``
            beside the folder of the XML files, else that folder itself.
        on_problem: Called with a :class:`Problem` for each flaw; by default it is logged. Files that cannot
            be read, and images that are not there, are left out.

    Yields:
        One image an XML file, in the order of their names. The size is that of the image file, where there is
        one, else that of the XML.

    Raises:
        InvalidInput: ``path`` is not there, or there is no XML file.
        MissingExtra: defusedxml is not installed.
    """
    try:
        importlib.import_module("defusedxml.ElementTree")  # said here rather than at the first image
    except ImportError as error:
        raise MissingExtra("formats", "reading Pascal VOC") from error
    folder = Path(path)
    try:
        files = sorted(folder.glob("*.xml")) if is_folder(folder) else [folder]
        missing = not exists(folder)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{shown(folder)}: cannot be read: {error}") from error
    if not files or missing:
        what = "there is no such file or folder" if missing else "no .xml files in it"
        raise InvalidInput(f"{shown(folder)}: {what}; expected the folder of Pascal VOC annotations")
    base = _images_beside(files[0].parent) if images is None else images
    return _read(files, base, on_problem)


def _images_beside(folder: Path) -> Place:
    beside = [folder.parent / name for name in _IMAGE_FOLDERS]
    return next((place for place in beside if is_folder(place)), folder)


def _read(files: Iterable[Path], base: Place, on_problem: OnProblem) -> Iterator[LabelledImage]:
    for file in files:
        report = Report(str(file), on_problem)
        root = _parsed(file, report)
        if root is not None:
            image = _image(root, file, base, report)
            if image is not None:
                yield image


def _parsed(file: Path, report: Report) -> Element | None:
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    try:
        with file.open("rb") as stream:
            content = stream.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            report("larger than 16 MB", fix="No annotation of an image is.", lost="image")
            return None
        root: Element = fromstring(content)
    except OSError as error:
        report(f"cannot be read: {error.strerror or error}", fix="Check its permissions.", lost="image")
    except (ParseError, ValueError, LookupError) as error:
        # DefusedXmlException is a ValueError; a LookupError is an encoding that does not exist.
        what = "declares entities" if isinstance(error, DefusedXmlException) else "not XML"
        report(f"{what}: {shown(error)}", fix="Write it anew.", lost="image")
    else:
        if root.tag == "annotation":
            return root
        report(f"the root is <{shown(root.tag)}>, not <annotation>", fix="Remove it.", lost="image")
    return None


def _image(root: Element, file: Path, base: Place, report: Report) -> LabelledImage | None:
    source = _source(root, file, base, report)
    if source is None:
        return None
    size = _size(root, source, report)
    if size is None and not is_s3(source):
        return None
    boxes: list[BoundingBox] = []
    for count, thing in enumerate(root.iterfind("object"), start=1):
        box = _box(thing, f"object {count}", size, report)
        if box is not None:
            boxes.append(box)
    if not boxes:
        report("has no boxes", fix="The service ignores images without labels.")
    return LabelledImage(source=source, boxes=boxes, size=size)


def _source(root: Element, file: Path, base: Place, report: Report) -> str | None:
    """Where the image is: as the XML names it, else under the name of the XML file."""
    name = (root.findtext("filename") or "").strip()
    source = place_in(base, name or file.stem, report)
    if source is None or is_s3(source) or is_file(source):
        return source
    for stem in dict.fromkeys([name, file.stem]):
        for ending in _ENDINGS:
            found = place_in(base, stem + ending, report) if stem else None
            if found is not None and is_file(found):
                report(f"names the image {shown(repr(name))}, which is not there; {shown(found)} is taken")
                return found
    report(f"the image {shown(source)} is not there", fix="Pass images= or remove the file.", lost="image")
    return None


def _size(root: Element, source: str, report: Report) -> ImageSize | None:
    """The size of the image file; what the XML says is compared with it, or stands in for an image in S3."""
    stated = make_size(
        root.findtext("size/width"), root.findtext("size/height"), root.findtext("size/depth") or 3
    )
    if is_s3(source):
        if stated is None:
            report("states no usable size", fix="Fill in <size>: a manifest needs it.")
        return stated
    try:
        real = image_size(source)
    except InvalidImage as error:
        report(str(error), fix="Mend or remove the image.", lost="image")
        return None
    if stated is None:
        report(f"states no usable size; the image has {real.width} x {real.height} pixels")
    elif (stated.width, stated.height) == (real.height, real.width) != (real.width, real.height):
        report(
            f"states the size {stated.width} x {stated.height}, but {real.width} x {real.height} pixels are "
            "stored; the stated one is kept: the boxes were drawn on the turned image",
            fix="Turn the image itself.",
        )
        return stated
    elif (stated.width, stated.height) != (real.width, real.height):
        report(
            f"states the size {stated.width} x {stated.height}, but the image has {real.width} x "
            f"{real.height} pixels, which is taken",
            fix="Check the boxes: they may have been drawn on another version of the image.",
        )
    return real


def _box(thing: Element, what: str, size: ImageSize | None, report: Report) -> BoundingBox | None:
    texts = [
        (thing.findtext(f"bndbox/{corner}") or "").strip() for corner in ("xmin", "ymin", "xmax", "ymax")
    ]
    values = [number(text) for text in texts]
    label = (thing.findtext("name") or "").strip()
    left, top, right, bottom = values
    if left is None or top is None or right is None or bottom is None:
        return make_box(label, texts, size, report, what=what)
    return make_box(label, (left, top, right - left, bottom - top), size, report, what=what)


def write_voc(
    images: Iterable[LabelledImage], folder: str | os.PathLike[str], *, on_problem: OnProblem = log_problem
) -> int:
    """Write one Pascal VOC XML file for each image.

    The files are named after the images. VOC has no place for labels of whole images: they are reported.

    Args:
        images: The images, each with its size.
        folder: The folder for the XML files; it is made where it is not there.
        on_problem: Called for what the files cannot hold; by default it is logged.

    Returns:
        The number of files.

    Raises:
        InvalidInput: A file cannot be written.
    """
    target = Path(folder)
    names: set[str] = set()
    count = 0
    for image in images:
        report = Report(image.source, on_problem)
        name = image.source.replace("\\", "/").rsplit("/", 1)[-1]
        stem = name.rsplit(".", 1)[0] or name
        if stem in names:
            report(
                f"another image is called {shown(stem)}, too", fix="Write it to another folder.", lost="image"
            )
            continue
        names.add(stem)
        if image.labels:
            report("Pascal VOC holds boxes only: labels of the whole image", lost="label")
        if image.size is None:
            report("Pascal VOC states the size of each image, this one has none", fix="Fill in size.")
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(f"{shown(target)}: cannot be made: {error}") from error
        with written(target / f"{stem}.xml") as file:
            file.write(_xml(image, name))
        count += 1
    return count


def _xml(image: LabelledImage, name: str) -> str:
    lines = ["<annotation>", f"  <filename>{_text(name)}</filename>", f"  <path>{_text(image.source)}</path>"]
    if image.size is not None:
        size = image.size
        sides = f"<width>{size.width}</width><height>{size.height}</height><depth>{size.depth}</depth>"
        lines.append(f"  <size>{sides}</size>")
    for box in image.boxes:
        corners = {
            "xmin": box.left,
            "ymin": box.top,
            "xmax": box.left + box.width,
            "ymax": box.top + box.height,
        }
        sides = "".join(f"<{corner}>{value!r}</{corner}>" for corner, value in corners.items())
        lines.append(f"  <object><name>{_text(box.label)}</name><bndbox>{sides}</bndbox></object>")
    return "\n".join([*lines, "</annotation>", ""])


def _text(text: str) -> str:
    """Text for XML, which cannot hold control characters, not even escaped."""
    kept = "".join(c for c in text if c >= " " or c in "\t\n\r")
    return escape(kept, {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;"})
