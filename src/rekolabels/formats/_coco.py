"""COCO instances: one JSON file with images, annotations and categories."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rekolabels.errors import InvalidInput
from rekolabels.formats._common import Place, as_list, is_s3, make_box, make_size, place_in, relative_name
from rekolabels.formats._json_stream import stream_lists
from rekolabels.formats._problems import OnProblem, Report, log_problem, shown
from rekolabels.formats._writing import written
from rekolabels.images import BoundingBox, LabelledImage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rekolabels.images import ImageSize

__all__ = ["read_coco", "write_coco"]

_LISTS = frozenset({"images", "annotations", "categories"})
_EXAMPLES = 3
_PLAIN = frozenset({int, float})
_VALUES = 6  # of an annotation: category, its own id, left, top, width, height


def read_coco(
    path: str | os.PathLike[str], *, images: Place | None = None, on_problem: OnProblem = log_problem
) -> Iterator[LabelledImage]:
    """Read the bounding boxes of a COCO instances file.

    The file is read as a stream; what is kept of it are the numbers of its boxes. Images come in the order of
    the file, those without annotations too. Masks are not read: Custom Labels knows boxes only. A crowd
    (``iscrowd``) is kept as one box, as the service's own conversion does, and reported, as are RLE masks.

    Args:
        path: The JSON file. Its lists may be in any order.
        images: Where the images are, a folder or an ``s3://`` prefix; by default the folder of the file. A
            ``coco_url`` or ``file_name`` that is an ``s3://`` URI stands for itself.
        on_problem: Called with a :class:`Problem` for each flaw; by default it is logged.

    Yields:
        One image for each entry of ``images``; boxes in pixels.

    Raises:
        InvalidInput: The file is not there, not JSON, or lacks one of the three lists.
    """
    report = Report(os.fspath(path), on_problem)
    base = Path(path).parent if images is None else images
    content = _Content()
    for key, entries in stream_lists(path, _LISTS):
        content.lists.add(key)
        objects: list[dict[str, Any]] = [entry for entry in entries if isinstance(entry, dict)]
        if len(objects) < len(entries):
            report(f"{len(entries) - len(objects)} entries of {key!r} are not objects", lost="box")
        if key == "annotations":
            content.add_annotations(objects)
        elif key == "images":
            content.images.extend(map(_picked, objects))
        else:
            content.add_categories(objects, report)
    if "images" not in content.lists:
        raise InvalidInput(
            f"{shown(report.file)}: no images: expected a COCO file with the lists "
            "'images', 'annotations' and 'categories'"
        )
    content.say_kinds(report)
    return content.labelled(base, report)


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
            # Tuples of numbers, which the garbage collector does not have to visit again and again.
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
                report(f"category {shown(repr(entry.get('id')))} has no name", fix="Name it.", lost="label")
            elif number in self.categories:
                report(
                    f"two categories have the id {shown(repr(number))}: "
                    f"{shown(self.categories[number])} and {shown(name)}; the first is used",
                    fix="Give each its own id.",
                )
            else:
                self.categories[number] = name

    def say_kinds(self, report: Report) -> None:
        for found, what, fix in (
            (
                self.crowds,
                "are crowds (iscrowd); each is kept as one box",
                "Remove them if single things count.",
            ),
            (self.masks, "have RLE masks; only their boxes are read", ""),
        ):
            if found:
                some = ", ".join(shown(repr(number)) for number in found[:_EXAMPLES])
                report(
                    f"{len(found)} annotations {what} (ids {some}{', …' * (len(found) > _EXAMPLES)})", fix=fix
                )

    def labelled(self, base: Place, report: Report) -> Iterator[LabelledImage]:
        seen: set[Any] = set()
        for number, name, url, width, height in self.images:
            key = _hashable(number)
            what = f"image {shown(repr(number))}"
            if key in seen:
                report(f"{what} is there twice", fix="Give each image its own id.", lost="image")
                continue
            seen.add(key)
            in_s3 = isinstance(url, str) and is_s3(url)
            source = url if in_s3 else place_in(base, name, report)
            if source is None:
                continue
            size = make_size(width, height)
            if size is None:
                report(
                    f"{what} ({shown(source)}): {shown(repr(width))} x {shown(repr(height))} is no size",
                    fix="State width and height in pixels: a manifest needs them.",
                )
            stored = self.boxes.pop(key, ())
            yield LabelledImage(source, (), tuple(self.labelled_boxes(stored, source, size, report)), size)
        for key, orphans in self.boxes.items():
            report(
                f"{len(orphans)} annotations belong to image {shown(repr(key))}, which is not in the list",
                fix="Add it to 'images'.",
                lost="box",
            )

    def labelled_boxes(
        self, stored: Iterable[tuple[Any, ...]], source: str, size: ImageSize | None, report: Report
    ) -> Iterator[BoundingBox]:
        labels = self.categories
        columns, rows = (size.width, size.height) if size else (0, 0)
        for values in stored:
            if _PLAIN.issuperset(map(type, values)) and len(values) == _VALUES:
                # The quick way for good boxes; comparisons with NaN are false.
                category, _, left, top, width, height = values
                inside = left >= 0 and top >= 0 and left + width <= columns and top + height <= rows
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
        what = f"annotation {shown(repr(annotation))} of {shown(source)}"
        label = self.categories.get(_hashable(category))
        if label is None:
            report(
                f"{what} has category {shown(repr(category))}, which is not in the list",
                fix="Add it to 'categories'.",
                lost="box",
            )
            return None
        return make_box(label, values, size, report, what=what)


def _picked(entry: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
    names = ("id", "file_name", "coco_url", "width", "height")
    return tuple(map(entry.get, names))  # type: ignore[return-value]  # five names, five values


def _hashable(value: Any) -> Any:
    """An id as a key: numbers and texts as they are, anything else as its text."""
    return value if isinstance(value, (int, str, float)) else repr(value)


def write_coco(
    images: Iterable[LabelledImage],
    target: str | os.PathLike[str],
    *,
    relative_to: Place | None = None,
    on_problem: OnProblem = log_problem,
) -> int:
    """Write images and their boxes as a COCO instances file.

    COCO has no place for labels of whole images: they are reported and left out.

    Args:
        images: The images, each with its size.
        target: The file; it appears when it is complete.
        relative_to: The folder or prefix that ``file_name`` leaves out.
        on_problem: Called for what the file cannot hold; by default it is logged.

    Returns:
        The number of images.

    Raises:
        InvalidInput: The file cannot be written.
    """
    categories: dict[str, int] = {}
    annotations = 0
    count = 0
    with written(target) as file:
        file.write('{"images": [')
        # The boxes wait as text: the lists of the file come one after the other.
        lines: list[str] = []
        for count, image in enumerate(images, start=1):
            report = Report(image.source, on_problem)
            if image.labels:
                report("COCO holds boxes only: labels of the whole image", lost="label")
            if image.size is None:
                report("COCO states the size of each image, this one has none", fix="Fill in size.")
            name = relative_name(image.source, relative_to)
            entry: dict[str, Any] = {"id": count, "file_name": name}
            if image.size is not None:
                entry |= {"width": image.size.width, "height": image.size.height}
            file.write((",\n" if count > 1 else "\n") + json.dumps(entry))
            for box in image.boxes:
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
    return count
