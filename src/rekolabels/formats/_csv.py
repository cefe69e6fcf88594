"""CSV: the layout of the AWS sample, the usual one with a header, and the one with boxes."""

from __future__ import annotations

import csv
import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import attrs

from rekolabels.errors import InvalidInput
from rekolabels.formats._common import Place, make_box, make_size, number, place_in, relative_name
from rekolabels.formats._files import reading
from rekolabels.formats._problems import OnProblem, Report, log_problem, shown
from rekolabels.formats._writing import written
from rekolabels.images import BoundingBox, ImageSize, LabelledImage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["read_csv", "write_csv"]

_PATHS = ("path", "filename", "file_name", "file", "image", "image_path", "source", "source-ref", "filepath")
_LABELS = ("label", "labels", "class", "class_name", "category")
_MOST_LINE = 1 << 20
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_BOX_HEADER = ("filename", "width", "height", "class", *_CORNERS)


def read_csv(
    path: str | os.PathLike[str],
    *,
    images: Place | None = None,
    header: bool | None = None,
    delimiter: str = ",",
    label_separator: str | None = None,
    on_problem: OnProblem = log_problem,
) -> Iterator[LabelledImage]:
    """Read a CSV file, row by row.

    Three layouts are understood:

    * without a header, as the sample script of AWS takes it: the image, then its labels, one a field;
    * with a header that names the image (``path``, ``filename``, ``image``, …) and its label (``label``,
      ``class``, …; fields behind the header are further labels);
    * with a header that has ``xmin``, ``ymin``, ``xmax`` and ``ymax``, too: one box a row, rows of one image
      together, ``width`` and ``height`` of the image where they are given.

    Empty label fields and empty rows are passed over. An image that comes again is left out, as the sample
    script of AWS does it.

    Args:
        path: The file, in UTF-8.
        images: Where the images are, a folder or an ``s3://`` prefix; by default the folder of the file.
            Names that are ``s3://`` URIs stand for themselves.
        header: Whether the first row is a header; None finds out from its words.
        delimiter: What stands between the fields.
        label_separator: What stands between several labels in one field, such as ``"|"``; None for nothing.
        on_problem: Called with a :class:`Problem` for each flaw; by default it is logged.

    Yields:
        One image a row (or for several rows, with boxes), in the order of the file.

    Raises:
        InvalidInput: The file cannot be read, is empty or not UTF-8, or its header names no image.
    """
    name = shown(os.fspath(path))
    report = Report(os.fspath(path), on_problem)
    base = Path(path).parent if images is None else images
    rows = _rows(path, delimiter, report)
    first = next(rows, None)
    if first is None:
        raise InvalidInput(f"{name}: has no rows; expected an image and its labels in each")
    words = [field.strip().lower() for field in first[1]]
    if header is None:
        header = words[0] in _PATHS or bool(set(words) & set(_PATHS) and set(words) & set(_LABELS))
    if not header:
        layout = _Layout(image=0)
        rows = itertools.chain([first], rows)
    else:
        layout = _Layout.of(words, name)
    return _images(rows, layout, base, label_separator, report)


@attrs.frozen
class _Layout:
    """In which columns what is."""

    image: int
    label: int | None = None
    """None: the labels are all fields behind the image."""
    columns: int = 0
    """Named columns; labels may stand behind them."""
    box: tuple[int, ...] = ()
    size: tuple[int, ...] = ()

    @classmethod
    def of(cls, words: Sequence[str], name: str) -> _Layout:
        image = next((words.index(word) for word in _PATHS if word in words), None)
        label = next((words.index(word) for word in _LABELS if word in words), None)
        if image is None or label is None:
            raise InvalidInput(
                f"{name}: the header {shown(','.join(words))} names no "
                f"{'image' if image is None else 'label'}; expected one of "
                f"{', '.join(_PATHS if image is None else _LABELS)}"
            )
        box = tuple(words.index(word) for word in _CORNERS if word in words)
        size = tuple(words.index(word) for word in ("width", "height") if word in words)
        both = len(_CORNERS)
        return cls(image, label, len(words), box if len(box) == both else (), size if len(size) > 1 else ())

    def labels(self, row: Sequence[str], separator: str | None) -> tuple[str, ...]:
        """The labels of a row, each once."""
        behind = row[self.image + 1 :] if self.label is None else row[self.columns :]
        fields = [*_fields(row, () if self.label is None else (self.label,)), *behind]
        if separator:
            fields = [part for field in fields for part in field.split(separator)]
        return tuple(dict.fromkeys(field.strip() for field in fields if field.strip()))


def _fields(row: Sequence[str], columns: Sequence[int]) -> list[str]:
    return [row[column] if column < len(row) else "" for column in columns]


def _rows(path: str | os.PathLike[str], delimiter: str, report: Report) -> Iterator[tuple[int, list[str]]]:
    """The rows that hold something, with the number of the line on which each ends."""
    with reading(path) as name, Path(path).open(encoding="utf-8-sig", newline="") as file:
        try:
            reader = csv.reader(_lines(file, name), delimiter=delimiter, strict=True)
        except TypeError as error:
            raise InvalidInput(f"delimiter: {error}, not {delimiter!r}") from error
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                # The parser goes on with the next line.
                report(f"not CSV: {error}", fix="Check the quotes.", line=reader.line_num, lost="image")
                continue
            if any(field.strip() for field in row):
                yield reader.line_num, row


def _lines(file: TextIO, name: str) -> Iterator[str]:
    """The lines of a file, unless one would fill the memory."""
    while line := file.readline(_MOST_LINE):
        if len(line) == _MOST_LINE:
            raise InvalidInput(f"{name}: has a line of {_MOST_LINE:,} characters or more; expected CSV")
        yield line


def _images(
    rows: Iterator[tuple[int, list[str]]], layout: _Layout, base: Place, separator: str | None, report: Report
) -> Iterator[LabelledImage]:
    seen: set[str] = set()

    def name_of(numbered: tuple[int, list[str]]) -> str:
        return "".join(_fields(numbered[1], (layout.image,))).strip()

    for name, grouped in itertools.groupby(rows, key=name_of):
        group = list(grouped)
        line = group[0][0]
        again = [] if layout.box else [number_of_line for number_of_line, _ in group[1:]]
        source = place_in(base, name, report, line=line)
        if source in seen:
            again.insert(0, line)
        for number_of_line in again:
            report(
                f"the image {shown(name)} is there again",
                fix="Put all labels of an image into one row.",
                line=number_of_line,
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
            report(f"the image {shown(name)} has no label", fix="Give it one.", line=line)
        yield LabelledImage(source=source, labels=labels)


def _with_boxes(
    rows: Sequence[tuple[int, list[str]]], layout: _Layout, source: str, report: Report
) -> LabelledImage:
    size: ImageSize | None = None
    boxes: list[BoundingBox | None] = []
    for line, row in rows:
        size = size or make_size(*(_fields(row, layout.size) or ("", "")))
        texts = _fields(row, layout.box)
        left, top, right, bottom = (number(text) for text in texts)
        label = "".join(_fields(row, () if layout.label is None else (layout.label,))).strip()
        if not label and not any(text.strip() for text in texts):
            continue  # an image without boxes
        sides: Sequence[object] = texts
        if left is not None and top is not None and right is not None and bottom is not None:
            sides = (left, top, right - left, bottom - top)
        boxes.append(make_box(label, sides, size, report, what="the box", line=line))
    return LabelledImage(source=source, boxes=[box for box in boxes if box is not None], size=size)


def write_csv(
    images: Iterable[LabelledImage],
    target: str | os.PathLike[str],
    *,
    header: bool = True,
    boxes: bool = False,
    relative_to: Place | None = None,
    on_problem: OnProblem = log_problem,
) -> int:
    """Write a CSV file of image-level labels, or of boxes.

    Args:
        images: The images.
        target: The file; it appears when it is complete.
        header: Whether to write ``path,label`` first; without it, the file has the layout of the AWS sample.
            Further labels of an image follow in further fields.
        boxes: Whether to write boxes, one a row with a header; else labels. What the chosen layout does not
            hold is reported and left out.
        relative_to: The folder or prefix that the names leave out.
        on_problem: Called for what the file cannot hold; by default it is logged.

    Returns:
        The number of images.

    Raises:
        InvalidInput: The file cannot be written.
    """
    count = 0
    with written(target) as file:
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
                writer.writerows(_box_rows(image, name))
                if image.labels:
                    report("this layout holds boxes only: labels of the whole image", lost="label")
                continue
            writer.writerow((name, *image.labels))
            if image.boxes:
                report("this layout holds image-level labels only: boxes", fix="Pass boxes=True.", lost="box")
    return count


def _box_rows(image: LabelledImage, name: str) -> Iterator[tuple[object, ...]]:
    size = ("", "") if image.size is None else (image.size.width, image.size.height)
    if not image.boxes:
        yield (name, *size, "", "", "", "", "")
    for box in image.boxes:
        yield (name, *size, box.label, box.left, box.top, box.left + box.width, box.top + box.height)
