"""COCO instances: one JSON file with images, annotations and categories."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rekolabels._arguments import check_path
from rekolabels.errors import InvalidInput
from rekolabels.formats._common import (
    Location,
    as_list,
    is_s3,
    locate_image,
    make_box,
    make_size,
    relative_name,
    writable_boxes,
)
from rekolabels.formats._files import writing
from rekolabels.formats._inputs import (
    ExistingImages,
    check_callback,
    check_location,
    check_prefix,
    check_source,
    not_empty,
)
from rekolabels.formats._json_stream import stream_lists
from rekolabels.formats._problems import OnProblem, Report, Summary, log_problem, printable, shown
from rekolabels.images import BoundingBox, LabelledImage
from rekolabels.manifest._given_images import check_images

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rekolabels.images import ImageSize

__all__ = ["read_coco", "write_coco"]

_LISTS = frozenset({"images", "annotations", "categories"})
_IMAGE_FIELDS = ("id", "file_name", "coco_url", "width", "height")
_EXAMPLES = 3
"""Ids that a problem about many annotations names."""
_NUMBER_TYPES = frozenset({int, float})
_STORED_VALUES = 6
"""Values kept of an annotation: category, its own id, left, top, width, height."""


def read_coco(
    path: str | os.PathLike[str], *, images: Location | None = None, on_problem: OnProblem = log_problem
) -> Iterator[LabelledImage]:
    """Read the bounding boxes of a COCO instances file.

    The file is read as a stream; only the numbers of its boxes stay in memory. Images come in the order of
    the file, including those without annotations. Masks are ignored, because Custom Labels has boxes only. A
    crowd (``iscrowd``) is kept as one box, as in AWS's own conversion script, and reported; so are RLE masks.
    Images that do not exist are left out and reported together at the end.

    Args:
        path: The JSON file. Its lists may be in any order.
        images: Folder or ``s3://`` prefix of the images; by default the folder of the file. A ``coco_url`` or
            ``file_name`` that is an ``s3://`` URI is used as it is.
        on_problem: Called with a :class:`Problem` for each flaw; by default flaws are logged.

    Yields:
        One image for each entry of ``images``, with boxes in pixels.

    Raises:
        InvalidInput: The file does not exist, is not JSON, has no list of images, or none of them exists.
    """
    name = check_source(path, on_problem, "the path of a COCO file", suffix=".json")
    folder = Path(path).parent if images is None else check_location("images", images)
    found = _read(name, folder, Report(name, on_problem))
    return not_empty(found, name, "Has no usable images. Expected them in the list 'images'.")


def _read(path: str, folder: Location, report: Report) -> Iterator[LabelledImage]:
    content = _Content()
    for key, entries in stream_lists(path, _LISTS):
        content.lists.add(key)
        objects: list[dict[str, Any]] = [entry for entry in entries if isinstance(entry, dict)]
        if len(objects) < len(entries):
            report(f"{key!r} has entries that are not objects: {len(entries) - len(objects)}", lost="box")
        if key == "annotations":
            content.add_annotations(objects)
        elif key == "images":
            content.images.extend(map(_image_fields, objects))
        else:
            content.add_categories(objects, report)
    if "images" not in content.lists:
        raise InvalidInput(
            f"{printable(report.file)}: Has no images. Expected a COCO file with the lists "
            "'images', 'annotations' and 'categories'."
        )
    content.report_crowds_and_masks(report)
    return content.labelled_images(folder, report)


class _Content:
    """What is kept of a file until all of it has been read."""

    def __init__(self) -> None:
        self.lists: set[str] = set()
        self.images: list[tuple[Any, Any, Any, Any, Any]] = []
        self.categories: dict[Any, str] = {}
        self.boxes: dict[Any, list[tuple[Any, ...]]] = {}
        self.crowds: list[Any] = []
        self.masks: list[Any] = []

    def add_annotations(self, entries: Iterable[dict[str, Any]]) -> None:
        boxes = self.boxes
        for entry in entries:
            get = entry.get
            number = get("id")
            image = get("image_id")
            if type(image) is not int:
                image = _hashable(image)
            bbox: Any = get("bbox")
            sides = as_list(bbox) or [bbox]
            # Tuples of numbers: the garbage collector stops tracking them.
            box = (get("category_id"), number, *sides)
            if image in boxes:
                boxes[image].append(box)
            else:
                boxes[image] = [box]
            if get("iscrowd"):
                self.crowds.append(number)
            if type(get("segmentation")) is dict:
                self.masks.append(number)

    def add_categories(self, entries: Iterable[dict[str, Any]], report: Report) -> None:
        for entry in entries:
            number, name = _hashable(entry.get("id")), entry.get("name")
            if not isinstance(name, str) or not name:
                report(f"Category {shown(entry.get('id'))} has no name", fix="Name it.", lost="label")
            elif number in self.categories:
                report(
                    f"Two categories have the id {shown(number)}: "
                    f"{printable(self.categories[number])} and {printable(name)}; the first is used",
                    fix="Give each its own id.",
                )
            else:
                self.categories[number] = name

    def report_crowds_and_masks(self, report: Report) -> None:
        for ids, message, fix in (
            (
                self.crowds,
                "Each crowd (iscrowd) is read as one box",
                "Remove them if single objects matter.",
            ),
            (self.masks, "RLE masks are ignored, only their boxes are read", ""),
        ):
            if ids:
                examples = ", ".join(shown(number) for number in ids[:_EXAMPLES])
                more = f" and {len(ids) - _EXAMPLES:,} more" if len(ids) > _EXAMPLES else ""
                report(f"{message} (annotation ids {examples}{more})", fix=fix)

    def labelled_images(self, folder: Location, report: Report) -> Iterator[LabelledImage]:
        seen: set[Any] = set()
        existing = ExistingImages(report)
        for number, name, url, width, height in self.images:
            key = _hashable(number)
            subject = f"Image {shown(number)}"
            if key in seen:
                report(f"{subject} is listed twice", fix="Give each image its own id.", lost="image")
                continue
            seen.add(key)
            in_s3 = isinstance(url, str) and is_s3(url)
            source = url if in_s3 else locate_image(folder, name, report)
            if source is None:
                continue
            stored = self.boxes.pop(key, ())
            if not existing.has(source):
                continue
            size = make_size(width, height)
            if size is None:
                report(
                    f"{subject} ({printable(source)}) has no valid size: {shown(width)} x {shown(height)}",
                    fix="Set width and height in pixels: a manifest needs them.",
                )
            yield LabelledImage(source, (), tuple(self.labelled_boxes(stored, source, size, report)), size)
        for key, orphans in self.boxes.items():
            report(
                f"Image {shown(key)} has annotations but is not listed (boxes: {len(orphans):,})",
                fix="Add it to 'images'.",
                lost="box",
            )
        existing.report()

    def labelled_boxes(
        self, stored: Iterable[tuple[Any, ...]], source: str, size: ImageSize | None, report: Report
    ) -> Iterator[BoundingBox]:
        labels = self.categories
        columns, rows = (size.width, size.height) if size else (0, 0)
        for values in stored:
            if _NUMBER_TYPES.issuperset(map(type, values)) and len(values) == _STORED_VALUES:
                # Fast path for sound boxes; comparisons with NaN are false.
                category, _, left, top, width, height = values
                try:
                    inside = left >= 0 and top >= 0 and left + width <= columns and top + height <= rows
                except OverflowError:  # an integer of hundreds of digits, and a fraction
                    inside = False
                if inside and width > 0 and height > 0 and category in labels:
                    yield BoundingBox(labels[category], left, top, width, height)
                    continue
            box = self.checked_box(values, source, size, report)
            if box is not None:
                yield box

    def checked_box(
        self, stored: tuple[Any, ...], source: str, size: ImageSize | None, report: Report
    ) -> BoundingBox | None:
        category, annotation, *values = stored
        subject = f"Annotation {shown(annotation)} of {printable(source)}"
        label = self.categories.get(_hashable(category))
        if label is None:
            report(
                f"{subject} has category {shown(category)}, which is not listed",
                fix="Add it to 'categories'.",
                lost="box",
            )
            return None
        return make_box(label, values, size, report, subject=subject)


def _image_fields(entry: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
    return tuple(map(entry.get, _IMAGE_FIELDS))  # type: ignore[return-value]  # five names, five values


def _hashable(value: Any) -> Any:
    """Return an id as a dictionary key: numbers and texts as they are, anything else as its ``repr``."""
    return value if isinstance(value, (int, str, float)) else _id_text(value)


def _id_text(value: Any) -> str:
    try:
        return repr(value)
    except RecursionError as error:
        raise InvalidInput("The COCO file has an id that is nested too deeply.") from error


def write_coco(
    images: Iterable[LabelledImage],
    target: str | os.PathLike[str],
    *,
    relative_to: Location | None = None,
    on_problem: OnProblem = log_problem,
) -> int:
    """Write images and their boxes as a COCO instances file.

    COCO has no image-level labels: they are reported and left out.

    Args:
        images: The images, each with its size.
        target: The file; it is replaced only when all images are written.
        relative_to: Folder or prefix that is removed from the sources to make ``file_name``.
        on_problem: Called with a :class:`Problem` for what the file cannot hold; by default it is logged.

    Returns:
        The number of images.

    Raises:
        InvalidInput: The file cannot be written.
    """
    checked = check_images(images)
    check_callback(on_problem)
    check_prefix("relative_to", relative_to)
    check_path("target", target, "the path of a COCO file")
    summary = Summary(Report(os.fspath(target), on_problem))
    categories: dict[str, int] = {}
    annotations = 0
    count = 0
    with writing(target) as file:
        file.write('{"images": [')
        # Boxes wait as text, because the lists of the file follow each other.
        lines: list[str] = []
        for count, image in enumerate(checked, start=1):
            report = Report(image.source, on_problem)
            if image.labels:
                summary.add(image.source, "COCO has no image-level labels", lost="label")
            if image.size is None:
                summary.add(image.source, "COCO states sizes, and these have none", fix="Set their size.")
            name = relative_name(image.source, relative_to)
            entry: dict[str, Any] = {"id": count, "file_name": name}
            if image.size is not None:
                entry |= {"width": image.size.width, "height": image.size.height}
            file.write((",\n" if count > 1 else "\n") + json.dumps(entry))
            for box in writable_boxes(image, report):
                annotations += 1
                lines.append(
                    json.dumps(
                        {
                            "id": annotations,
                            "image_id": count,
                            "category_id": categories.setdefault(box.label, len(categories) + 1),
                            "bbox": [box.left, box.top, box.width, box.height],
                            "area": box.width * box.height,
                            "iscrowd": 0,
                        }
                    )
                )
        file.write('\n],\n"annotations": [\n' + ",\n".join(lines) + "\n],\n")
        named = [{"id": number, "name": label} for label, number in categories.items()]
        file.write(f'"categories": {json.dumps(named)}}}\n')
        summary.report()
    return count
