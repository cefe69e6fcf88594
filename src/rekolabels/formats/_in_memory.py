"""Labelled images from what people hold in memory: by duck typing, nothing is imported.

The arguments are objects of other libraries, so their types are ``Any``; what is used of them is said in each
docstring.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rekolabels.errors import InvalidImage, InvalidInput
from rekolabels.formats._common import as_list, is_file, is_s3, make_box
from rekolabels.formats._header import image_size
from rekolabels.formats._problems import OnProblem, Report, log_problem, shown
from rekolabels.images import BoundingBox, ImageSize, LabelledImage

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

__all__ = ["from_dataframe", "from_fiftyone", "from_huggingface", "from_supervision"]


def from_dataframe(
    frame: Any, *, image: str = "path", label: str = "label", on_problem: OnProblem = log_problem
) -> Iterator[LabelledImage]:
    """Images from a table: a pandas or polars DataFrame, or a mapping from names to columns.

    Args:
        frame: Its columns are asked for as ``frame[name]`` and gone through.
        image: The column of paths or ``s3://`` URIs.
        label: The column of labels: a text each, or a list of texts.
        on_problem: Called for rows without an image or label; by default they are logged.

    Yields:
        One image a row.

    Raises:
        InvalidInput: A column is not there.

    Examples:
        >>> table = {"path": ["a.jpg", "b.jpg"], "label": ["cat", ["cat", "dog"]]}
        >>> [found.labels for found in from_dataframe(table)]
        [('cat',), ('cat', 'dog')]
    """
    try:
        columns = [list(frame[name]) for name in (image, label)]
    except Exception as error:  # each library of tables has errors of its own
        raise InvalidInput(f"the table has no columns {image!r} and {label!r}: {shown(error)}") from error
    return _rows(columns, Report("the table", on_problem))


def _rows(columns: list[list[Any]], report: Report) -> Iterator[LabelledImage]:
    for line, (source, value) in enumerate(zip(*columns, strict=True), start=1):
        name = _path(source)
        if not name:
            report(f"row {line} names no image: {shown(repr(source))}", lost="image")
            continue
        labels = _labels(value)
        if not labels:
            report(f"row {line} ({shown(name)}) has no label: {shown(repr(value))}", fix="Give it one.")
        yield LabelledImage(source=name, labels=labels)


def _path(value: Any) -> str:
    """A path as text; empty for what is none."""
    return str(value) if isinstance(value, str) or hasattr(value, "__fspath__") else ""


def _labels(value: Any) -> tuple[str, ...]:
    """Texts from a cell: one, or a list, tuple or array of them; nothing from None and NaN."""
    if isinstance(value, str):
        return (value,) if value.strip() else ()
    if hasattr(value, "__iter__"):
        texts = [str(part) for part in value if part is not None]
        return tuple(dict.fromkeys(text for text in texts if text.strip()))
    # NaN, the missing value of tables, is the one value that is not itself.
    return () if value is None or value != value else (str(value),)  # noqa: PLR0124


def from_huggingface(
    dataset: Any,
    folder: str | os.PathLike[str] | None = None,
    *,
    image: str = "image",
    label: str = "label",
    objects: str = "objects",
    on_problem: OnProblem = log_problem,
) -> Iterator[LabelledImage]:
    """Images from a Hugging Face dataset (one split of it).

    Images that lie in local files are named as they are. Those that the dataset holds inside itself are
    written to ``folder``; cast the column with ``Image(decode=False)`` to have their own bytes.

    Args:
        dataset: Gone through for its rows; its ``features`` give the names of numbered labels.
        folder: Where to write images that have no file of their own.
        image: The column of images: a path, a mapping with ``path`` and ``bytes``, or a PIL image.
        label: The column of labels: a number, a text, or a list of them.
        objects: The column of boxes, a mapping with ``bbox`` (left, top, width, height in pixels) and
            ``category``, as the datasets for object detection have it.
        on_problem: Called for rows that cannot be used; by default they are logged.

    Yields:
        One image a row.

    Raises:
        InvalidInput: An image has to be written, and no ``folder`` is given or it cannot be written to.
    """
    features: Any = getattr(dataset, "features", None)
    names = _class_names(features, label)
    box_names = _class_names(features, objects, "category")
    for index, row in enumerate(dataset):
        report = Report(f"row {index}", on_problem)
        source = _local_file(row.get(image), index, folder, report)
        if source is None:
            continue
        size = _size(source, report)
        found: Any = row.get(objects) or {}
        boxes = [
            make_box(_named(number, box_names), list(sides), size, report, what=f"object {position}")
            for position, (sides, number) in enumerate(
                zip(found.get("bbox", ()), found.get("category", ()), strict=False)
            )
        ]
        value = row.get(label)
        values = as_list(value) or ([] if value is None or as_list(value) is not None else [value])
        labels = [_named(number, names) for number in values]
        yield LabelledImage(source, labels, [box for box in boxes if box is not None], size)


def _class_names(features: Any, *path: str) -> Sequence[str]:
    """The names of a ClassLabel, however deep in lists it lies."""
    found: Any = features
    for key in path:
        found = _inner(found)
        found = found.get(key) if hasattr(found, "get") else None
    return tuple(getattr(_inner(found), "names", None) or ())


def _inner(feature: Any) -> Any:
    """The feature of the entries of a list, which datasets write as Sequence(feature) or [feature]."""
    listed = as_list(feature)
    if listed:
        return _inner(listed[0])
    inside = getattr(feature, "feature", None)
    return feature if inside is None else _inner(inside)


def _named(number: Any, names: Sequence[str]) -> str:
    if isinstance(number, int) and 0 <= number < len(names):
        return names[number]
    return str(number)


def _local_file(value: Any, index: int, folder: str | os.PathLike[str] | None, report: Report) -> str | None:
    content: bytes | None = None
    path = value
    if hasattr(value, "get"):
        path, content = value.get("path"), value.get("bytes")
    elif hasattr(value, "save"):
        path = getattr(value, "filename", None)
    name = _path(path)
    if name and (is_s3(name) or is_file(name)):
        return name
    if content is None and not hasattr(value, "save"):
        report(f"expected an image, found {shown(repr(value))}", lost="image")
        return None
    if folder is None:
        raise InvalidInput(
            f"{report.file}: the image has no file of its own; pass a folder to write such images to"
        )
    target = (
        Path(folder)
        / f"{index:06}{'.png' if content is None or content[:4] == bytes((137, 80, 78, 71)) else '.jpg'}"
    )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            value.save(target)
        else:
            target.write_bytes(content)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{shown(target)}: cannot be written: {error}") from error
    return str(target)


def _size(source: str, report: Report) -> ImageSize | None:
    if is_s3(source):
        return None
    try:
        return image_size(source)
    except InvalidImage as error:
        report(str(error).removeprefix(f"{shown(report.file)}: "), fix="Mend or remove it.")
        return None


def from_supervision(dataset: Any, *, on_problem: OnProblem = log_problem) -> Iterator[LabelledImage]:
    """Images from a ``supervision`` DetectionDataset or ClassificationDataset.

    Args:
        dataset: Of it, ``classes`` and ``annotations`` (by path) are used; of each annotation ``class_id``
            and, for boxes, ``xyxy``.
        on_problem: Called for boxes that cannot be used; by default they are logged.

    Yields:
        One image for each annotation, in the dataset's order.

    Raises:
        InvalidInput: The object is no such dataset.
    """
    classes, annotations = getattr(dataset, "classes", None), getattr(dataset, "annotations", None)
    if classes is None or not hasattr(annotations, "items"):
        raise InvalidInput(f"expected a dataset of supervision, not {shown(type(dataset).__name__)}")
    return _annotated(list(classes), annotations, on_problem)


def _annotated(classes: list[str], annotations: Any, on_problem: OnProblem) -> Iterator[LabelledImage]:
    for source, found in annotations.items():
        report = Report(str(source), on_problem)
        ids = [] if found.class_id is None else [int(number) for number in found.class_id]
        names = [_named(number, classes) for number in ids]
        corners = getattr(found, "xyxy", None)
        if corners is None:
            yield LabelledImage(str(source), dict.fromkeys(names), size=_size(str(source), report))
            continue
        size = _size(str(source), report)
        boxes: list[BoundingBox | None] = []
        for position, (name, sides) in enumerate(zip(names, corners, strict=False)):
            left, top, right, bottom = map(float, sides)
            values = (left, top, right - left, bottom - top)
            boxes.append(make_box(name, values, size, report, what=f"detection {position}"))
        yield LabelledImage(str(source), (), [box for box in boxes if box is not None], size)


def from_fiftyone(
    samples: Any, *, field: str = "ground_truth", on_problem: OnProblem = log_problem
) -> Iterator[LabelledImage]:
    """Images from a FiftyOne dataset or view.

    Args:
        samples: Gone through for samples; of each, ``filepath`` and ``field`` are used, and the size in
            ``metadata`` where it has been computed.
        field: The field with a Classification, Classifications or Detections.
        on_problem: Called for samples without such a field, and for boxes that cannot be used; by default
            they are logged.

    Yields:
        One image a sample.
    """
    for sample in samples:
        source = str(sample.filepath)
        report = Report(source, on_problem)
        try:
            found: Any = sample[field]
        except (KeyError, AttributeError, LookupError):
            found = None
        if found is None:
            report(f"the field {field!r} is empty", fix="Label it, or name another field.")
        several: Any = getattr(found, "classifications", None)
        single: Any = getattr(found, "label", None)
        labels = [str(one.label) for one in several or ()] + ([str(single)] if single is not None else [])
        about: Any = getattr(sample, "metadata", None)
        columns, rows = getattr(about, "width", None), getattr(about, "height", None)
        size = ImageSize(int(columns), int(rows)) if columns and rows else _size(source, report)
        boxes: list[BoundingBox | None] = []
        for position, thing in enumerate(getattr(found, "detections", None) or ()):
            if size is None:
                report("its boxes are ratios, and its size is not known", lost="box")
                break
            left, top, width, height = map(float, thing.bounding_box)
            sides = (left * size.width, top * size.height, width * size.width, height * size.height)
            boxes.append(make_box(str(thing.label), sides, size, report, what=f"detection {position}"))
        yield LabelledImage(source, dict.fromkeys(labels), [box for box in boxes if box is not None], size)
