"""Labelled images from data frames and from datasets of other libraries.

None of these libraries is imported: the arguments are duck-typed (``Any``), and each docstring says which of
their attributes are used.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rekolabels._arguments import check_path, check_text, invalid
from rekolabels._image_header import image_format
from rekolabels.errors import InvalidImage, InvalidInput
from rekolabels.formats._common import as_dict, as_list, is_s3, make_box
from rekolabels.formats._csv import IMAGE_COLUMNS, LABEL_COLUMNS
from rekolabels.formats._files import image_size, is_file
from rekolabels.formats._inputs import check_callback
from rekolabels.formats._other_images import is_other_image
from rekolabels.formats._problems import OnProblem, Report, log_problem, printable, shown
from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.manifest._given_images import is_mapping

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

__all__ = ["from_dataframe", "from_fiftyone", "from_huggingface", "from_supervision"]

_EXAMPLES = 12
"""Columns that a message names."""


def from_dataframe(
    frame: Any, *, image: str = "path", label: str = "label", on_problem: OnProblem = log_problem
) -> Iterator[LabelledImage]:
    """Read images and labels from a table: a pandas or polars DataFrame, or a mapping of columns.

    Args:
        frame: The table; its columns are read with ``frame[name]``.
        image: Name of the column with paths or ``s3://`` URIs.
        label: Name of the column with labels: a string per row, or a list of strings.
        on_problem: Called with a :class:`Problem` for each row without an image or label; by default they are
            logged.

    Yields:
        One image per row.

    Raises:
        InvalidInput: A column does not exist, or a label is not a string.

    Examples:
        >>> table = {"path": ["a.jpg", "b.jpg"], "label": ["cat", ["cat", "dog"]]}
        >>> [found.labels for found in from_dataframe(table)]
        [('cat',), ('cat', 'dog')]
    """
    check_callback(on_problem)
    columns = _column(frame, "image", image), _column(frame, "label", label)
    if len(columns[0]) != len(columns[1]):
        raise InvalidInput(
            f"The columns of the table differ in length: {image!r} has {len(columns[0]):,} rows and "
            f"{label!r} {len(columns[1]):,}."
        )
    return _rows(columns, label, Report("table", on_problem))


def _column(frame: Any, argument: str, name: object) -> list[Any]:
    """Return a column of a table as a list."""
    check_text(argument, name, "the name of a column")
    try:
        column = frame[name]
        if not isinstance(column, (str, bytes)):
            return list(column)
    except Exception as error:  # each library has its own exceptions
        names = _column_names(frame)
        if names is None:
            fix = "Read it with pandas.DataFrame(...), or with read_csv() if it is a file."
            raise invalid("frame", frame, "a DataFrame or a mapping of columns", fix) from error
        raise InvalidInput(_no_column(argument, str(name), names)) from error
    raise invalid(f"frame[{name!r}]", column, "a column with one value per image")


def _column_names(frame: Any) -> list[str] | None:
    """Return the names of the columns of a table; None for what is not one."""
    names: Any = list(frame) if is_mapping(frame) else getattr(frame, "columns", None)
    return [str(name) for name in names] if hasattr(names, "__iter__") else None


def _no_column(argument: str, name: str, names: list[str]) -> str:
    usual = IMAGE_COLUMNS if argument == "image" else LABEL_COLUMNS
    close = difflib.get_close_matches(name, names, 1) or [one for one in names if one.lower() in usual]
    fix = f"Pass {argument}={close[0]!r}." if close else f"Pass {argument}='<name of the column>'."
    return (
        f"The table has no column {name!r}. Its columns are {', '.join(map(shown, names[:_EXAMPLES]))}. {fix}"
    )


def _rows(columns: tuple[list[Any], list[Any]], label: str, report: Report) -> Iterator[LabelledImage]:
    for row, (source, value) in enumerate(zip(*columns, strict=True), start=1):
        name = _path(source)
        if not name:
            report(f"Row {row} has no image: {shown(source)}", lost="image")
            continue
        labels = _labels(value)
        if labels is None:
            raise InvalidInput(
                f"Row {row} of the table ({printable(name)}) has the label {shown(value)} "
                f"({type(value).__name__}); expected text, or a list of texts. To use numbers as labels, "
                f"convert the column: frame[{label!r}].map(str)."
            )
        if not labels:
            report(f"Row {row} ({printable(name)}) has no label: {shown(value)}", fix="Label it.")
        yield LabelledImage(source=name, labels=labels)


def _path(value: Any) -> str:
    """Return a path as text; empty for anything else."""
    return str(value) if isinstance(value, str) or hasattr(value, "__fspath__") else ""


def _labels(value: Any) -> tuple[str, ...] | None:
    """Return the labels in a cell, which may hold one or several; None for what is not text."""
    if isinstance(value, str):
        parts: list[Any] = [value]
    elif _is_missing(value):
        parts = []
    elif hasattr(value, "__iter__") and not isinstance(value, (bytes, Mapping)):
        parts = [part for part in value if not _is_missing(part)]
    else:
        return None
    if not all(isinstance(part, str) for part in parts):
        return None
    return tuple(dict.fromkeys(str(part) for part in parts if part.strip()))


def _is_missing(value: Any) -> bool:
    """Return whether a value is None, NaN or pandas.NA, the missing values of tables."""
    if value is None or hasattr(value, "__len__"):
        return value is None
    try:
        return bool(value != value)  # noqa: PLR0124 - only NaN differs from itself
    except (TypeError, ValueError):  # pandas.NA is neither
        return type(value).__name__ == "NAType"


def from_huggingface(
    dataset: Any,
    folder: str | os.PathLike[str] | None = None,
    *,
    image: str = "image",
    label: str = "label",
    objects: str = "objects",
    on_problem: OnProblem = log_problem,
) -> Iterator[LabelledImage]:
    """Read images, labels and boxes from one split of a Hugging Face dataset.

    Images in local files keep their paths. Images that the dataset embeds are written to ``folder``; cast the
    column with ``Image(decode=False)`` to write their original bytes.

    Args:
        dataset: Iterable of rows; its ``features`` give the names of numbered labels.
        folder: Folder for the images that the dataset embeds.
        image: Name of the column with images: a path, a mapping with ``path`` and ``bytes``, or a PIL image.
        label: Name of the column with labels: a number, a string, or a list of them.
        objects: Name of the column with boxes: a mapping with ``bbox`` (left, top, width, height in pixels)
            and ``category``, as in the object detection datasets.
        on_problem: Called with a :class:`Problem` for each row that cannot be used; by default they are
            logged.

    Yields:
        One image per row.

    Raises:
        InvalidInput: The dataset is not one split, or lacks a column; an embedded image needs a ``folder``
            and none is given, or it cannot be written.
    """
    check_callback(on_problem)
    for argument, name in (("image", image), ("label", label), ("objects", objects)):
        check_text(argument, name, "the name of a column")
    if folder is not None:
        check_path("folder", folder, "the path of a folder")
    _check_split(dataset)
    return _huggingface(dataset, folder, (image, label, objects), on_problem)


def _check_split(dataset: Any) -> None:
    expected = "one split of a Hugging Face dataset"
    if isinstance(dataset, str):
        raise invalid(
            "dataset", dataset, expected, f"Load it: datasets.load_dataset({dataset!r}, split='train')."
        )
    if is_mapping(dataset):
        splits = [shown(split) for split in dataset]
        fix = f"Its splits are {', '.join(splits)}: pass dataset[{splits[0]}]." if splits else ""
        raise InvalidInput(
            f"dataset is a {type(dataset).__name__}; expected {expected}.{f' {fix}' if fix else ''}"
        )
    if not isinstance(dataset, Iterable):
        raise invalid("dataset", dataset, expected)


def _huggingface(
    dataset: Any, folder: str | os.PathLike[str] | None, columns: tuple[str, str, str], on_problem: OnProblem
) -> Iterator[LabelledImage]:
    image, label, objects = columns
    features: Any = getattr(dataset, "features", None)
    names = _class_names(features, label)
    box_names = _class_names(features, objects, "category")
    for index, row in enumerate(dataset):
        report = Report(f"row {index}", on_problem)
        _check_row(row, index, image, () if features is None else (label, objects))
        source = _local_file(row.get(image), index, folder, report)
        if source is None:
            continue
        size = _size(source, report)
        found = as_dict(row.get(objects)) or {}
        boxes = [
            make_box(
                _class_name(number, box_names), _listed(sides), size, report, subject=f"Object {position}"
            )
            for position, (sides, number) in enumerate(
                zip(_listed(found.get("bbox")), _listed(found.get("category")), strict=False)
            )
        ]
        value = row.get(label)
        values = as_list(value) or ([] if value is None or as_list(value) is not None else [value])
        labels = [_class_name(number, names) for number in values]
        yield LabelledImage(source, labels, [box for box in boxes if box is not None], size)


def _check_row(row: Any, index: int, image: str, others: tuple[str, ...]) -> None:
    """Check that a row has a column for the image and, if the columns are known, one for labels or boxes."""
    if not is_mapping(row):
        raise invalid(f"row {index} of the dataset", row, "a mapping of columns, as in Hugging Face datasets")
    names = [str(name) for name in row]
    if image not in names:
        raise InvalidInput(_no_column("image", image, names))
    if others and not any(name in names for name in others):
        raise InvalidInput(_no_column("label", others[0], names))


def _listed(value: Any) -> list[Any]:
    """Return the entries of a list or an array; none for anything else."""
    return list(value) if hasattr(value, "__iter__") and not isinstance(value, (str, bytes, dict)) else []


def _class_names(features: Any, *path: str) -> Sequence[str]:
    """Return the names of a ClassLabel, however deeply nested in lists."""
    found: Any = features
    for key in path:
        found = _inner(found)
        found = found.get(key) if hasattr(found, "get") else None
    return tuple(getattr(_inner(found), "names", None) or ())


def _inner(feature: Any) -> Any:
    """Return the feature of a list's entries, written as Sequence(feature) or [feature]."""
    listed = as_list(feature)
    if listed:
        return _inner(listed[0])
    inside = getattr(feature, "feature", None)
    return feature if inside is None else _inner(inside)


def _class_name(number: Any, names: Sequence[str]) -> str:
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
    if not isinstance(content, bytes) and not hasattr(value, "save"):
        report(f"Expected an image, found {shown(value)}", lost="image")
        return None
    if folder is None:
        raise InvalidInput(f"{report.file}: The image is embedded. Pass folder='<folder for such images>'.")
    extension = ".png" if content is None or image_format(content[:8]) == "PNG" else ".jpg"
    target = Path(folder, f"{index:06}{extension}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            value.save(target)
        else:
            target.write_bytes(content)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{printable(target)}: Cannot be written: {error}.") from error
    return str(target)


def _size(source: str, report: Report) -> ImageSize | None:
    if is_s3(source):
        return None
    try:
        return image_size(source)
    except InvalidImage as error:
        if not is_other_image(source):
            report.error(error, fix="Fix or remove it.")
        return None


def from_supervision(dataset: Any, *, on_problem: OnProblem = log_problem) -> Iterator[LabelledImage]:
    """Read images, labels and boxes from a ``supervision`` DetectionDataset or ClassificationDataset.

    Args:
        dataset: The dataset; its ``classes`` and ``annotations`` (by path) are used, and of each annotation
            ``class_id`` and, for boxes, ``xyxy``.
        on_problem: Called with a :class:`Problem` for each box that cannot be used; by default they are
            logged.

    Yields:
        One image per annotation, in the order of the dataset.

    Raises:
        InvalidInput: The object is not such a dataset.
    """
    check_callback(on_problem)
    classes, annotations = getattr(dataset, "classes", None), getattr(dataset, "annotations", None)
    if classes is None or not hasattr(annotations, "items"):
        raise invalid("dataset", dataset, "a DetectionDataset or ClassificationDataset of supervision")
    return _annotated(list(classes), annotations, on_problem)


def _annotated(classes: list[str], annotations: Any, on_problem: OnProblem) -> Iterator[LabelledImage]:
    for source, found in annotations.items():
        report = Report(str(source), on_problem)
        if not hasattr(found, "class_id"):
            raise invalid(f"dataset.annotations[{str(source)!r}]", found, "Detections or Classifications")
        ids = [] if found.class_id is None else [int(number) for number in found.class_id]
        names = [_class_name(number, classes) for number in ids]
        corners = getattr(found, "xyxy", None)
        if corners is None:
            yield LabelledImage(str(source), tuple(dict.fromkeys(names)), size=_size(str(source), report))
            continue
        size = _size(str(source), report)
        boxes: list[BoundingBox | None] = []
        for position, (name, sides) in enumerate(zip(names, corners, strict=False)):
            left, top, right, bottom = map(float, sides)
            values = (left, top, right - left, bottom - top)
            boxes.append(make_box(name, values, size, report, subject=f"Detection {position}"))
        yield LabelledImage(str(source), (), [box for box in boxes if box is not None], size)


def from_fiftyone(
    samples: Any, *, field: str = "ground_truth", on_problem: OnProblem = log_problem
) -> Iterator[LabelledImage]:
    """Read images, labels and boxes from a FiftyOne dataset or view.

    Args:
        samples: Iterable of samples; of each, ``filepath`` and ``field`` are used, and the size in
            ``metadata`` when it was computed.
        field: Name of the field with a Classification, Classifications or Detections.
        on_problem: Called with a :class:`Problem` for each sample without such a field and each box that
            cannot be used; by default they are logged.

    Yields:
        One image per sample.

    Raises:
        InvalidInput: These are not samples, or they have no such field.
    """
    check_callback(on_problem)
    check_text("field", field, "the name of a field")
    if isinstance(samples, str) or not isinstance(samples, Iterable):
        fix = f"Load it: fiftyone.load_dataset({samples!r})." if isinstance(samples, str) else ""
        raise invalid("samples", samples, "a dataset or view of FiftyOne", fix)
    return _fiftyone(samples, field, on_problem)


def _fiftyone(samples: Any, field: str, on_problem: OnProblem) -> Iterator[LabelledImage]:
    for number, sample in enumerate(samples):
        if not hasattr(sample, "filepath"):
            raise invalid(f"samples[{number}]", sample, "a sample of FiftyOne")
        names = [str(name) for name in getattr(sample, "field_names", ())]
        if names and field not in names:
            raise InvalidInput(f"The samples have no field {field!r}. Their fields are {', '.join(names)}.")
        source = str(sample.filepath)
        report = Report(source, on_problem)
        try:
            found: Any = sample[field]
        except (AttributeError, LookupError):
            found = None
        if found is None:
            report(f"Field {field!r} is empty", fix="Label the sample or pass another field.")
        several: Any = getattr(found, "classifications", None)
        single: Any = getattr(found, "label", None)
        labels = [str(one.label) for one in several or ()] + ([str(single)] if single is not None else [])
        metadata: Any = getattr(sample, "metadata", None)
        columns, rows = getattr(metadata, "width", None), getattr(metadata, "height", None)
        size = ImageSize(int(columns), int(rows)) if columns and rows else _size(source, report)
        boxes: list[BoundingBox | None] = []
        for position, detection in enumerate(getattr(found, "detections", None) or ()):
            if size is None:
                report("Its boxes are ratios and its size is unknown", lost="box")
                break
            left, top, width, height = map(float, detection.bounding_box)
            sides = (left * size.width, top * size.height, width * size.width, height * size.height)
            boxes.append(make_box(str(detection.label), sides, size, report, subject=f"Detection {position}"))
        found_boxes = [box for box in boxes if box is not None]
        yield LabelledImage(source, tuple(dict.fromkeys(labels)), found_boxes, size)
