"""CSV files: the layout of the AWS sample, the common one with a header, and one with boxes."""

from __future__ import annotations

import csv
import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import attrs

from rekolabels.errors import InvalidInput
from rekolabels.formats._common import (
    Location,
    locate_image,
    make_box,
    make_size,
    relative_name,
    to_number,
    writable_boxes,
)
from rekolabels.formats._files import reading, writing
from rekolabels.formats._problems import OnProblem, Report, log_problem, printable
from rekolabels.images import BoundingBox, ImageSize, LabelledImage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["read_csv", "write_csv"]

_IMAGE_COLUMNS = (
    "path",
    "filename",
    "file_name",
    "file",
    "image",
    "image_path",
    "source",
    "source-ref",
    "filepath",
)
_LABEL_COLUMNS = ("label", "labels", "class", "class_name", "category")
_MAX_LINE = 1 << 20
"""Characters. A file without line breaks must not exhaust the memory."""
_SIDES = ("width", "height")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_BOX_HEADER = ("filename", *_SIDES, "class", *_CORNERS)


def read_csv(
    path: str | os.PathLike[str],
    *,
    images: Location | None = None,
    header: bool | None = None,
    delimiter: str = ",",
    label_separator: str | None = None,
    on_problem: OnProblem = log_problem,
) -> Iterator[LabelledImage]:
    """Read labels or bounding boxes from a CSV file, row by row.

    Three layouts are recognized:

    * without a header, as in the sample script of AWS: the image, then one label per field;
    * with a header that names a column for the image (``path``, ``filename``, ``image``, …) and one for the
      label (``label``, ``class``, …); fields after the last named column are further labels;
    * with a header that also has ``xmin``, ``ymin``, ``xmax`` and ``ymax``: one box per row, the rows of an
      image together, with optional ``width`` and ``height`` of the image.

    Empty label fields and empty rows are skipped. An image that occurs again is left out, as in the sample
    script of AWS.

    Args:
        path: The file, in UTF-8.
        images: Folder or ``s3://`` prefix of the images; by default the folder of the file. Names that are
            ``s3://`` URIs are used as they are.
        header: Whether the first row is a header; None decides by its words.
        delimiter: Character between the fields.
        label_separator: Text between several labels in one field, such as ``"|"``; None for one label per
            field.
        on_problem: Called with a :class:`Problem` for each flaw; by default flaws are logged.

    Yields:
        One image for each row (or for each group of rows, with boxes), in the order of the file.

    Raises:
        InvalidInput: The file cannot be read, is empty or not UTF-8, or its header lacks a column.
    """
    name = printable(os.fspath(path))
    report = Report(os.fspath(path), on_problem)
    folder = Path(path).parent if images is None else images
    rows = _rows(path, delimiter, report)
    first = next(rows, None)
    if first is None:
        raise InvalidInput(f"{name}: Has no rows. Expected an image and its labels in each row.")
    words = [field.strip().lower() for field in first[1]]
    if header is None:
        header = words[0] in _IMAGE_COLUMNS or bool(
            set(words) & set(_IMAGE_COLUMNS) and set(words) & set(_LABEL_COLUMNS)
        )
    if not header:
        layout = _Layout(image=0)
        rows = itertools.chain([first], rows)
    else:
        layout = _Layout.of(words, name)
    return _images(rows, layout, folder, label_separator, report)


@attrs.frozen
class _Layout:
    """The columns of a file, counted from 0."""

    image: int
    label: int | None = None
    """None: all fields after the image are labels."""
    columns: int = 0
    """Number of named columns; further labels may follow."""
    box: tuple[int, ...] = ()
    """Columns of the corners; empty in a layout for labels."""
    size: tuple[int, ...] = ()
    """Columns of width and height of the image; may be empty."""

    @classmethod
    def of(cls, words: Sequence[str], name: str) -> _Layout:
        """Recognize the layout by the words of the header."""
        image = next((words.index(word) for word in _IMAGE_COLUMNS if word in words), None)
        label = next((words.index(word) for word in _LABEL_COLUMNS if word in words), None)
        if image is None or label is None:
            raise InvalidInput(
                f"{name}: The header {printable(','.join(words))!r} has no column for the "
                f"{'image' if image is None else 'label'}. Expected one of "
                f"{', '.join(_IMAGE_COLUMNS if image is None else _LABEL_COLUMNS)}."
            )
        box = tuple(words.index(word) for word in _CORNERS if word in words)
        size = tuple(words.index(word) for word in _SIDES if word in words)
        if len(box) < len(_CORNERS):
            box = ()
        if len(size) < len(_SIDES):
            size = ()
        return cls(image, label, len(words), box, size)

    def labels(self, row: Sequence[str], separator: str | None) -> tuple[str, ...]:
        """Return the labels of a row, each once."""
        further = row[self.image + 1 :] if self.label is None else row[self.columns :]
        fields = [*_fields(row, () if self.label is None else (self.label,)), *further]
        if separator:
            fields = [part for field in fields for part in field.split(separator)]
        return tuple(dict.fromkeys(field.strip() for field in fields if field.strip()))


def _fields(row: Sequence[str], columns: Sequence[int]) -> list[str]:
    return [row[column] if column < len(row) else "" for column in columns]


def _rows(path: str | os.PathLike[str], delimiter: str, report: Report) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not empty, each with the number of its last line."""
    with reading(path) as name, Path(path).open(encoding="utf-8-sig", newline="") as file:
        try:
            reader = csv.reader(_lines(file, name), delimiter=delimiter, strict=True)
        except TypeError as error:
            raise InvalidInput(f"Invalid delimiter {delimiter!r}: {error}.") from error
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                # The parser continues with the next line.
                report(f"Not CSV: {error}", fix="Check the quotes.", line=reader.line_num, lost="image")
                continue
            if any(field.strip() for field in row):
                yield reader.line_num, row


def _lines(file: TextIO, name: str) -> Iterator[str]:
    """Yield the lines of a file; refuse one that could exhaust the memory."""
    while line := file.readline(_MAX_LINE):
        if len(line) == _MAX_LINE:
            raise InvalidInput(f"{name}: Has a line of {_MAX_LINE:,} characters or more. Expected CSV.")
        yield line


def _images(
    rows: Iterator[tuple[int, list[str]]],
    layout: _Layout,
    folder: Location,
    separator: str | None,
    report: Report,
) -> Iterator[LabelledImage]:
    seen: set[str] = set()

    def name_of(numbered: tuple[int, list[str]]) -> str:
        return "".join(_fields(numbered[1], (layout.image,))).strip()

    for name, grouped in itertools.groupby(rows, key=name_of):
        group = list(grouped)
        line = group[0][0]
        repeated = [] if layout.box else [row_line for row_line, _ in group[1:]]
        source = locate_image(folder, name, report, line=line)
        if source in seen:
            repeated.insert(0, line)
        for row_line in repeated:
            report(
                f"Image {printable(name)} occurs again",
                fix="Put all labels of an image in one row.",
                line=row_line,
                lost="image",
            )
        if source is None or source in seen:
            continue
        seen.add(source)
        if layout.box:
            yield _with_boxes(group, layout, source, report)
            continue
        labels = layout.labels(group[0][1], separator)
        if not labels:
            report(f"Image {printable(name)} has no label", fix="Label it.", line=line)
        yield LabelledImage(source=source, labels=labels)


def _with_boxes(
    rows: Sequence[tuple[int, list[str]]], layout: _Layout, source: str, report: Report
) -> LabelledImage:
    size: ImageSize | None = None
    boxes: list[BoundingBox | None] = []
    for line, row in rows:
        size = size or make_size(*(_fields(row, layout.size) or ("", "")))
        texts = _fields(row, layout.box)
        left, top, right, bottom = (to_number(text) for text in texts)
        label = "".join(_fields(row, () if layout.label is None else (layout.label,))).strip()
        if not label and not any(text.strip() for text in texts):
            continue  # an image without boxes
        sides: Sequence[object] = texts
        if left is not None and top is not None and right is not None and bottom is not None:
            sides = (left, top, right - left, bottom - top)
        boxes.append(make_box(label, sides, size, report, subject="The box", line=line))
    return LabelledImage(source=source, boxes=[box for box in boxes if box is not None], size=size)


def write_csv(
    images: Iterable[LabelledImage],
    target: str | os.PathLike[str],
    *,
    header: bool = True,
    boxes: bool = False,
    relative_to: Location | None = None,
    on_problem: OnProblem = log_problem,
) -> int:
    """Write image-level labels or bounding boxes as a CSV file.

    Args:
        images: The images.
        target: The file; it is replaced only when all images are written.
        header: Whether the file begins with ``path,label``; without it, the file has the layout of the AWS
            sample. An image's second and later labels follow in further fields.
        boxes: Whether to write boxes, one per row with a header, instead of labels. What the chosen layout
            cannot hold is reported and left out.
        relative_to: Folder or prefix that is removed from the sources.
        on_problem: Called with a :class:`Problem` for what the file cannot hold; by default it is logged.

    Returns:
        The number of images.

    Raises:
        InvalidInput: The file cannot be written.
    """
    count = 0
    with writing(target) as file:
        writer = csv.writer(file, lineterminator="\n")
        if boxes:
            writer.writerow(_BOX_HEADER)
        elif header:
            writer.writerow(("path", "label"))
        for image in images:
            count += 1
            report = Report(image.source, on_problem)
            name = relative_name(image.source, relative_to)
            if boxes:
                writer.writerows(_box_rows(image, name, report))
                if image.labels:
                    report("This layout has no image-level labels", lost="label")
                continue
            writer.writerow((name, *image.labels))
            if image.boxes:
                report("This layout has no boxes", fix="Pass boxes=True.", lost="box")
    return count


def _box_rows(image: LabelledImage, name: str, report: Report) -> Iterator[tuple[object, ...]]:
    size = ("", "") if image.size is None else (image.size.width, image.size.height)
    boxes = list(writable_boxes(image, report))
    if not boxes:
        yield (name, *size, "", "", "", "", "")
    for box in boxes:
        yield (name, *size, box.label, box.left, box.top, box.left + box.width, box.top + box.height)
