"""CSV files: the layout of the AWS sample, the common one with a header, and one with boxes."""

from __future__ import annotations

import csv
import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import attrs

from rekolabels._arguments import check_flag, check_optional_text, check_path, invalid
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
from rekolabels.formats._files import open_text, writing
from rekolabels.formats._inputs import (
    ExistingImages,
    check_callback,
    check_location,
    check_prefix,
    check_source,
    not_empty,
)
from rekolabels.formats._problems import OnProblem, Report, Summary, log_problem, printable, shown
from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.manifest._given_images import IMAGE_FILES, check_images

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["IMAGE_COLUMNS", "LABEL_COLUMNS", "read_csv", "write_csv"]

IMAGE_COLUMNS = (
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
LABEL_COLUMNS = ("label", "labels", "class", "class_name", "category")
_MAX_LINE = 1 << 20
"""Characters. A file without line breaks must not exhaust the memory."""
_SIDES = ("width", "height")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_BOX_HEADER = ("filename", *_SIDES, "class", *_CORNERS)
_DELIMITERS = (",", ";", "\t", "|")
_OTHER_FILES = {
    "an Excel workbook": "Save it as CSV, or pass `pandas.read_excel(...)` to from_dataframe().",
    "a Parquet file": "Pass `pandas.read_parquet(...)` to from_dataframe().",
    "UTF-16 text": "Pass encoding='utf-16'.",
}


def read_csv(
    path: str | os.PathLike[str],
    *,
    images: Location | None = None,
    header: bool | None = None,
    delimiter: str = ",",
    label_separator: str | None = None,
    encoding: str = "utf-8",
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
    script of AWS. Images that do not exist are left out, too, and reported together at the end.

    Args:
        path: The file.
        images: Folder or ``s3://`` prefix of the images; by default the folder of the file. Names that are
            ``s3://`` URIs are used as they are.
        header: Whether the first row is a header; None decides by its words.
        delimiter: Character between the fields.
        label_separator: Text between several labels in one field, such as ``"|"``; None for one label per
            field.
        encoding: Encoding of the file, such as ``"cp1252"`` for one that a spreadsheet saved on Windows.
        on_problem: Called with a :class:`Problem` for each flaw; by default flaws are logged.

    Yields:
        One image for each row (or for each group of rows, with boxes), in the order of the file.

    Raises:
        InvalidInput: The file cannot be read, is empty, has another encoding or delimiter, its header lacks a
            column, or none of its images exists.
    """
    name = check_source(path, on_problem, "the path of a CSV file", suffix=".csv")
    if header is not None:
        header = check_flag("header", header)
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '\r\n"':  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types
        raise invalid("delimiter", delimiter, "one character", r"For tabs, pass delimiter='\t'.")
    check_optional_text("label_separator", label_separator, "text between labels, such as '|'")
    _check_encoding(encoding)
    folder = Path(path).parent if images is None else check_location("images", images)
    report = Report(name, on_problem)
    rows = _rows(name, encoding, delimiter, report)
    first = next(rows, None)
    if first is None:
        raise InvalidInput(f"{printable(name)}: Has no rows. Expected an image and its labels in each row.")
    words = [field.strip().lower() for field in first[1]]
    if header is None:
        header = _is_header(words)
    if header:
        layout = _Layout.of(words, printable(name))
    else:
        layout = _Layout(image=0)
        rows = itertools.chain([first], rows)
    found = _images(rows, layout, folder, label_separator, report)
    return not_empty(found, name, "Has no usable images below its header.") if header else found


def _check_encoding(encoding: object) -> None:
    try:
        "a".encode(encoding)  # type: ignore[arg-type]  # whatever the caller passed
    except (LookupError, TypeError, ValueError) as error:
        expected = "the name of a text encoding, such as 'utf-8' or 'cp1252'"
        raise invalid("encoding", encoding, expected) from error


def _is_header(words: Sequence[str]) -> bool:
    return words[0] in IMAGE_COLUMNS or bool(
        set(words) & set(IMAGE_COLUMNS) and set(words) & set(LABEL_COLUMNS)
    )


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
        image = next((words.index(word) for word in IMAGE_COLUMNS if word in words), None)
        label = next((words.index(word) for word in LABEL_COLUMNS if word in words), None)
        if image is None or label is None:
            raise InvalidInput(
                f"{name}: The header {printable(','.join(words))!r} has no column for the "
                f"{'image' if image is None else 'label'}. Expected one of "
                f"{', '.join(IMAGE_COLUMNS if image is None else LABEL_COLUMNS)}."
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


def _rows(path: str, encoding: str, delimiter: str, report: Report) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not empty, each with the number of its last line."""
    fix = "Save it as UTF-8, or pass its encoding, such as encoding='cp1252' for one saved on Windows."
    with open_text(path, "CSV text", encoding=encoding, fix=fix, fixes=_OTHER_FILES) as file:
        lines = _lines(file, printable(path))
        start = next(lines, "")
        _check_delimiter(start, delimiter, printable(path))
        reader = csv.reader(itertools.chain([start], lines), delimiter=delimiter, strict=True)
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


def _check_delimiter(line: str, delimiter: str, name: str) -> None:
    """Refuse a file whose first line has a header, or an image and a label, with another delimiter."""
    for other in _DELIMITERS:
        fields = [field.strip(' "\r\n').lower() for field in line.split(other)]
        if (
            line.count(other) > line.count(delimiter)
            and other != delimiter
            and (_is_header(fields) or fields[0].endswith(IMAGE_FILES))
        ):
            raise InvalidInput(
                f"{name}: Its fields are separated by {other!r}, not by {delimiter!r}: "
                f"{shown(line.strip())}. Pass delimiter={other!r}."
            )


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
    existing = ExistingImages(report)

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
        if not existing.has(source, line=line):
            continue
        if layout.box:
            yield _with_boxes(group, layout, source, report)
            continue
        labels = layout.labels(group[0][1], separator)
        if not labels:
            report(f"Image {printable(name)} has no label", fix="Label it.", line=line)
        yield LabelledImage(source=source, labels=labels)
    existing.report()


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
    checked = check_images(images)
    check_callback(on_problem)
    check_prefix("relative_to", relative_to)
    header, boxes = check_flag("header", header), check_flag("boxes", boxes)
    check_path("target", target, "the path of a CSV file")
    summary = Summary(Report(os.fspath(target), on_problem))
    count = 0
    with writing(target) as file:
        writer = csv.writer(file, lineterminator="\n")
        if boxes:
            writer.writerow(_BOX_HEADER)
        elif header:
            writer.writerow(("path", "label"))
        for image in checked:
            count += 1
            report = Report(image.source, on_problem)
            name = relative_name(image.source, relative_to)
            if boxes:
                writer.writerows(_box_rows(image, name, report))
                if image.labels:
                    summary.add(image.source, "This layout has no image-level labels", lost="label")
                continue
            writer.writerow((name, *image.labels))
            if image.boxes:
                summary.add(image.source, "This layout has no boxes", fix="Pass boxes=True.", lost="box")
        summary.report()
    return count


def _box_rows(image: LabelledImage, name: str, report: Report) -> Iterator[tuple[object, ...]]:
    size = ("", "") if image.size is None else (image.size.width, image.size.height)
    boxes = list(writable_boxes(image, report))
    if not boxes:
        yield (name, *size, "", "", "", "", "")
    for box in boxes:
        yield (name, *size, box.label, box.left, box.top, box.left + box.width, box.top + box.height)
