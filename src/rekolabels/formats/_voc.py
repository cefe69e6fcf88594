"""Pascal VOC: one XML file per image."""

from __future__ import annotations

import importlib
import itertools
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from rekolabels._arguments import check_path
from rekolabels.errors import InvalidImage, InvalidInput, MissingExtra
from rekolabels.formats._common import (
    Location,
    file_name,
    is_s3,
    locate_image,
    make_box,
    make_size,
    to_number,
    writable_boxes,
)
from rekolabels.formats._files import (
    exists,
    is_file,
    is_folder,
    make_folder,
    read_image_header,
    writing,
)
from rekolabels.formats._inputs import ExistingImages, check_callback, check_location, not_empty
from rekolabels.formats._other_images import is_other_image
from rekolabels.formats._problems import OnProblem, Report, Summary, log_problem, printable, shown
from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.manifest._given_images import check_images

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from xml.etree.ElementTree import Element

__all__ = ["read_voc", "write_voc"]

_MAX_BYTES = 16 * 1024 * 1024
"""Annotation files have some kilobytes; a hostile one must not exhaust the memory."""
_IMAGE_FOLDERS = ("JPEGImages", "images", "Images")
_EXTENSIONS = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")
_EXAMPLES = 3
"""Folders that a message names."""
_MAX_GLOBBED = 10_000


def read_voc(
    path: str | os.PathLike[str], *, images: Location | None = None, on_problem: OnProblem = log_problem
) -> Iterator[LabelledImage]:
    """Read the bounding boxes of Pascal VOC annotations: one XML file per image.

    Coordinates are used as they are: ``xmin`` is the left edge and ``xmax - xmin`` the width, as common tools
    write them. Parts, poses, ``difficult`` and ``truncated`` are ignored, because Custom Labels does not have
    them.

    Needs the extra ``formats`` (defusedxml, so that hostile XML cannot exhaust the memory).

    Args:
        path: The folder of the XML files, or one XML file.
        images: Folder or ``s3://`` prefix of the images; by default ``JPEGImages`` or ``images`` beside the
            folder of the XML files, otherwise that folder itself.
        on_problem: Called with a :class:`Problem` for each flaw; by default flaws are logged. Files that
            cannot be read, and images that do not exist, are left out; the latter are reported together.

    Yields:
        One image per XML file, in the order of their names. The size is that of the image file; for images in
        S3 it is that of the XML.

    Raises:
        InvalidInput: ``path`` does not exist, there is no XML file, or none of the images exists.
        MissingExtra: defusedxml is not installed.
    """
    check_callback(on_problem)
    folder = check_path("path", path, "the folder of Pascal VOC annotations")
    if images is not None:
        check_location("images", images)
    try:
        importlib.import_module("defusedxml.ElementTree")  # fail here rather than at the first image
    except ImportError as error:
        raise MissingExtra("formats", "Reading Pascal VOC") from error
    try:
        files = sorted(folder.glob("*.xml")) if is_folder(folder) else [folder]
        missing = not exists(folder)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{printable(folder)}: Cannot be read: {error}.") from error
    if not files or missing:
        fault = "The file or folder does not exist" if missing else "Contains no .xml files"
        raise InvalidInput(
            f"{printable(folder)}: {fault}. Expected the folder of Pascal VOC annotations."
            f"{_annotations_in(folder)}"
        )
    image_folder = _images_beside(files[0].parent) if images is None else images
    found = _read(files, image_folder, Report(str(folder), on_problem))
    return not_empty(
        found, folder, "Contains no usable annotations. Expected Pascal VOC files and their images."
    )


def _annotations_in(folder: Path) -> str:
    """Name the folders below a folder that have XML files, for the message."""
    patterns = ("*/*.xml", "*/*/*.xml") if is_folder(folder) else ()
    found = {
        file.parent for pattern in patterns for file in itertools.islice(folder.glob(pattern), _MAX_GLOBBED)
    }
    if not found:
        return ""
    calls = [f"read_voc({str(inside)!r})" for inside in sorted(found)]
    more = f" and {len(calls) - _EXAMPLES} more" if len(calls) > _EXAMPLES else ""
    return f" Read the folders in it that have them: {', '.join(calls[:_EXAMPLES])}{more}."


def _images_beside(folder: Path) -> Location:
    beside = [folder.parent / name for name in _IMAGE_FOLDERS]
    return next((found for found in beside if is_folder(found)), folder)


def _read(files: Iterable[Path], image_folder: Location, folder: Report) -> Iterator[LabelledImage]:
    existing = ExistingImages(folder)
    for file in files:
        report = Report(str(file), folder.on_problem)
        root = _parse(file, report)
        if root is not None:
            image = _image(root, file, image_folder, existing, report)
            if image is not None:
                yield image
    existing.report()


def _parse(file: Path, report: Report) -> Element | None:
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    try:
        with file.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            report("Larger than 16 MB, which no annotation of an image is", lost="image")
            return None
        root: Element = fromstring(content)
    except OSError as error:
        report(f"Cannot be read: {error.strerror or error}", fix="Check its permissions.", lost="image")
    except (ParseError, ValueError, LookupError) as error:
        # DefusedXmlException is a ValueError; an unknown encoding is a LookupError.
        fault = "Declares entities" if isinstance(error, DefusedXmlException) else "Not XML"
        report(f"{fault}: {printable(error)}", fix="Export it again.", lost="image")
    else:
        if root.tag == "annotation":
            return root
        report(
            f"The root element is <{printable(root.tag)}>, not <annotation>", fix="Remove it.", lost="image"
        )
    return None


def _image(
    root: Element, file: Path, image_folder: Location, existing: ExistingImages, report: Report
) -> LabelledImage | None:
    source = _source(root, file, image_folder, existing, report)
    if source is None:
        return None
    size = _size(root, source, report)
    if size is None and not is_s3(source):
        return None
    boxes: list[BoundingBox] = []
    for count, element in enumerate(root.iterfind("object"), start=1):
        box = _box(element, f"Object {count}", size, report)
        if box is not None:
            boxes.append(box)
    if not boxes:
        report("Has no boxes", fix="Label the image: the service ignores images without labels.")
    return LabelledImage(source=source, boxes=boxes, size=size)


def _source(
    root: Element, file: Path, image_folder: Location, existing: ExistingImages, report: Report
) -> str | None:
    """Find the image under the name in the XML, otherwise under the name of the XML file."""
    name = (root.findtext("filename") or "").strip()
    source = locate_image(image_folder, name or file.stem, report)
    if source is None:
        return None
    existing.total += 1
    if is_s3(source) or is_file(source):
        return source
    for stem in dict.fromkeys([name, file.stem]):
        for extension in _EXTENSIONS:
            found = locate_image(image_folder, stem + extension, report) if stem else None
            if found is not None and is_file(found):
                report(f"Image {shown(name)} does not exist; {printable(found)} is used instead")
                return found
    existing.miss(source)
    return None


def _size(root: Element, source: str, report: Report) -> ImageSize | None:
    """Return the size of the image file after comparing it with the XML; for S3, the size in the XML."""
    stated = make_size(
        root.findtext("size/width"), root.findtext("size/height"), root.findtext("size/depth") or 3
    )
    if is_s3(source):
        if stated is None:
            report("States no valid size", fix="Fill in <size>: a manifest needs it.")
        return stated
    try:
        header = read_image_header(source)
    except InvalidImage as error:
        if stated is not None and is_other_image(source):
            return stated
        report.error(error, fix="Fix or remove the image.", lost="image")
        return None
    real = ImageSize(*header.upright_size, header.channels)
    if stated is None:
        report(f"States no valid size; the image has {real.width} x {real.height} pixels")
    elif (stated.width, stated.height) == (real.height, real.width) != (real.width, real.height):
        turned = (header.width, header.height) != header.upright_size
        report(
            f"States the size {stated.width} x {stated.height}, but the image has {real.width} x "
            f"{real.height}{' after its EXIF orientation is applied' if turned else ''}; the stated size is "
            f"used, because the boxes were drawn on the {'stored' if turned else 'rotated'} image",
            fix="create_datasets() turns the boxes." if turned else "Rotate the image file itself.",
        )
        return stated
    elif (stated.width, stated.height) != (real.width, real.height):
        report(
            f"States the size {stated.width} x {stated.height}, but the image has {real.width} x "
            f"{real.height} pixels; the size of the image is used",
            fix="Check the boxes: they may have been drawn on another version of the image.",
        )
    return real


def _box(element: Element, subject: str, size: ImageSize | None, report: Report) -> BoundingBox | None:
    texts = [
        (element.findtext(f"bndbox/{corner}") or "").strip() for corner in ("xmin", "ymin", "xmax", "ymax")
    ]
    values = [to_number(text) for text in texts]
    label = (element.findtext("name") or "").strip()
    left, top, right, bottom = values
    if left is None or top is None or right is None or bottom is None:
        return make_box(label, texts, size, report, subject=subject)
    return make_box(label, (left, top, right - left, bottom - top), size, report, subject=subject)


def write_voc(
    images: Iterable[LabelledImage], folder: str | os.PathLike[str], *, on_problem: OnProblem = log_problem
) -> int:
    """Write one Pascal VOC XML file per image, named after the image.

    VOC has no image-level labels: they are reported and left out.

    Args:
        images: The images, each with its size.
        folder: Folder for the XML files; it is created when it does not exist.
        on_problem: Called with a :class:`Problem` for what the files cannot hold; by default it is logged.

    Returns:
        The number of files.

    Raises:
        InvalidInput: A file cannot be written.
    """
    checked = check_images(images)
    check_callback(on_problem)
    target = check_path("folder", folder, "the path of a folder")
    summary = Summary(Report(str(target), on_problem))
    names: set[str] = set()
    count = 0
    for image in checked:
        report = Report(image.source, on_problem)
        name = file_name(image.source)
        stem = name.rsplit(".", 1)[0] or name
        if stem in names:
            report(
                f"Another image is also named {printable(stem)}",
                fix="Write it to another folder.",
                lost="image",
            )
            continue
        names.add(stem)
        if image.labels:
            summary.add(image.source, "Pascal VOC has no image-level labels", lost="label")
        if image.size is None:
            summary.add(image.source, "Pascal VOC states sizes, and these have none", fix="Set their size.")
        make_folder(target)
        with writing(target / f"{stem}.xml", sync=False) as file:
            file.write(_xml(image, name, writable_boxes(image, report)))
        count += 1
    summary.report()
    return count


def _xml(image: LabelledImage, name: str, boxes: Iterable[BoundingBox]) -> str:
    lines = ["<annotation>", f"  <filename>{_text(name)}</filename>", f"  <path>{_text(image.source)}</path>"]
    if image.size is not None:
        size = image.size
        sides = f"<width>{size.width}</width><height>{size.height}</height><depth>{size.depth}</depth>"
        lines.append(f"  <size>{sides}</size>")
    for box in boxes:
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
    """Escape text for XML; control characters are dropped, because XML cannot hold them even escaped."""
    kept = "".join(c for c in text if c >= " " or c in "\t\n\r")
    return escape(kept, {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;"})
