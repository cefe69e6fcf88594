"""YOLO: a text file an image, and a data.yaml with the names of the classes."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rekolabels.errors import InvalidImage, InvalidInput, MissingExtra
from rekolabels.formats._common import (
    as_dict,
    as_list,
    exists,
    is_file,
    is_folder,
    is_within,
    make_box,
    number,
    read_text,
)
from rekolabels.formats._header import image_size
from rekolabels.formats._problems import OnProblem, Report, log_problem, shown
from rekolabels.formats._writing import written
from rekolabels.images import BoundingBox, ImageSize, LabelledImage

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["read_yolo", "write_yolo"]

_PARTS = ("train", "val", "test")
_ENDINGS = frozenset({".jpg", ".jpeg", ".png"})
_NOISE = 0.005  # pixels: six digits of 4096
_BOX, _BOX_AND_CONFIDENCE, _POLYGON = 5, 6, 7


def read_yolo(
    path: str | os.PathLike[str],
    *,
    parts: Sequence[str] = _PARTS,
    root: str | os.PathLike[str] | None = None,
    on_problem: OnProblem = log_problem,
) -> Iterator[LabelledImage]:
    """Read a YOLO dataset: images, a text file with the boxes of each, and ``data.yaml``.

    A text file lies where YOLO expects it: under the path of its image with the last folder ``images``
    replaced by ``labels``, or beside the image. An image without one has no boxes. Ratios become pixels by
    the size in the image's header. A polygon (segmentation) is read as the box around it, and reported.

    Needs the extra ``formats`` (PyYAML).

    Args:
        path: The ``data.yaml``, or the folder that holds it; ``names``, ``path`` and the parts are used.
        parts: Which parts to read, those that ``data.yaml`` has of them, in this order.
        root: The folder of the dataset, in place of ``path`` in ``data.yaml``. Without it only images in or
            beside the folder of ``data.yaml`` are read, as a file from elsewhere may name any folder.
        on_problem: Called with a :class:`Problem` for each flaw; by default it is logged.

    Yields:
        The images of the parts, in the order of their names.

    Raises:
        InvalidInput: ``data.yaml`` is not there, is not YAML, or has no names or none of the parts.
        MissingExtra: PyYAML is not installed.
    """
    file = Path(path)
    if is_folder(file):
        file /= "data.yaml"
    report = Report(str(file), on_problem)
    data = _loaded(file)
    names = _names(data.get("names"), str(file))
    wanted = {part: data[part] for part in parts if data.get(part)}
    if not wanted:
        raise InvalidInput(f"{shown(file)}: has none of the parts {', '.join(parts)}")
    base = _Root(file, data.get("path") if root is None else None, None if root is None else Path(root))
    return _read(wanted, names, base, report)


def _loaded(file: Path) -> Mapping[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise MissingExtra("formats", "reading YOLO") from error
    text = read_text(file, "a data.yaml")
    try:
        # Aliases can stand for more than any memory holds; a list of classes needs none.
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise InvalidInput(f"{shown(file)}: has YAML aliases, which no data.yaml needs")
        data = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise InvalidInput(f"{shown(file)}: not YAML: {shown(str(error) or type(error).__name__)}") from error
    except ValueError as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"{shown(file)}: not usable YAML: {shown(error)}") from error
    found = as_dict(data)
    if found is None:
        raise InvalidInput(f"{shown(file)}: expected the keys 'names' and 'train', 'val' or 'test'")
    return found


def _names(names: Any, file: str) -> dict[int, str]:
    """The classes by their number: a list of names, or a mapping from numbers."""
    listed = as_dict(names) or dict(enumerate(as_list(names) or []))
    found = {key: str(name) for key, name in listed.items() if isinstance(key, int) and name is not None}
    if not found:
        raise InvalidInput(
            f"{shown(file)}: 'names' is neither a list of classes nor a mapping from their numbers"
        )
    return found


class _Root:
    """Where the images of a dataset may lie."""

    def __init__(self, file: Path, stated: Any, given: Path | None) -> None:
        self.folder = file.parent
        self.stated = stated if isinstance(stated, str) else "."
        self.given = given

    def resolve(self, place: str, report: Report) -> Path | None:
        """The folder or list of a part; None, and a report, where it is not there or not allowed."""
        if "\0" in place:
            report(f"{shown(repr(place))} is no path", lost="file")
            return None
        if self.given is not None:
            choices = [self.given / place, self.given / place.removeprefix("../")]
        else:
            # Many exports say "../train/images" and mean "train/images" (Ultralytics reads them so, too).
            starts = [self.folder / self.stated, self.folder]
            choices = [start / way for start in starts for way in (place, place.removeprefix("../"))]
        existing = [choice for choice in choices if exists(choice)]
        allowed = self.given if self.given is not None else self.folder.parent
        for choice in existing:
            if self.given is not None or is_within(choice, allowed):
                return choice
        if existing:
            report(
                f"{shown(repr(place))} lies outside of the dataset's folder",
                fix="Pass root= if it is meant.",
                lost="file",
            )
        else:
            report(f"{shown(repr(place))} is not there", fix="Pass root= or mend the path.", lost="file")
        return None


def _read(
    parts: Mapping[str, Any], names: Mapping[int, str], base: _Root, report: Report
) -> Iterator[LabelledImage]:
    for part, value in parts.items():
        # A part is one path or several.
        for place in as_list(value) or [value]:
            if not isinstance(place, str):
                report(f"{part!r}: expected a path, found {shown(repr(place))}", lost="file")
                continue
            found = base.resolve(place, report)
            if found is not None:
                for image in _files(found, Report(str(found), report.on_problem)):
                    labelled = _labelled(image, names, Report(str(image), report.on_problem))
                    if labelled is not None:
                        yield labelled


def _files(place: Path, report: Report) -> Iterator[Path]:
    """The images of a folder, or of a text file that lists them."""
    if is_folder(place):
        try:
            inside = sorted(place.rglob("*"))
        except OSError as error:
            report(f"cannot be read: {error}", lost="file")
            return
        yield from (
            path for path in inside if path.suffix.lower() in _ENDINGS and not path.name.startswith(".")
        )
        return
    try:
        lines = read_text(place, "a list of images", most=1 << 26).splitlines()
    except InvalidInput as error:
        report(str(error).removeprefix(f"{shown(place)}: "), lost="file")
        return
    for number_of_line, line in enumerate(lines, start=1):
        if line.strip():
            image = place.parent / line.strip()
            if "\0" in line or not is_within(image, place.parent):
                report(
                    f"{shown(repr(line))} is outside of the list's folder", line=number_of_line, lost="image"
                )
            else:
                yield image


def _labelled(image: Path, names: Mapping[int, str], report: Report) -> LabelledImage | None:
    try:
        size = image_size(image)
    except InvalidImage as error:
        report(str(error).removeprefix(f"{shown(image)}: "), fix="Mend or remove it.", lost="image")
        return None
    file = _labels_of(image)
    if file is None:
        return LabelledImage(source=str(image), size=size)
    about = Report(str(file), report.on_problem)
    try:
        lines = read_text(file, "a YOLO label file").splitlines()
    except InvalidInput as error:
        about(str(error).removeprefix(f"{shown(file)}: "), fix="Write it anew.", lost="image")
        return None
    boxes = [
        _box(line.split(), names, size, about, line=n) for n, line in enumerate(lines, 1) if line.strip()
    ]
    return LabelledImage(source=str(image), boxes=[box for box in boxes if box is not None], size=size)


def _labels_of(image: Path) -> Path | None:
    parts = list(image.parts)
    places = [image.with_suffix(".txt")]
    if "images" in parts[:-1]:
        last = len(parts) - 2 - parts[-2::-1].index("images")
        places.insert(0, Path(*parts[:last], "labels", *parts[last + 1 :]).with_suffix(".txt"))
    return next((place for place in places if is_file(place)), None)


def _box(
    fields: Sequence[str], names: Mapping[int, str], size: ImageSize, report: Report, *, line: int
) -> BoundingBox | None:
    """One line: class, then centre and sides as ratios of the image, or the corners of a polygon."""
    values = [number(field) for field in fields[1:]]
    numbers = [value for value in values if value is not None]
    polygon = len(fields) >= _POLYGON and len(fields) % 2 == 1
    if len(numbers) < len(values) or not (len(fields) in {_BOX, _BOX_AND_CONFIDENCE} or polygon):
        report(
            f"expected a class and four ratios, found {shown(' '.join(fields))}",
            fix="Mend or remove the line.",
            line=line,
            lost="box",
        )
        return None
    key = number(fields[0])
    label = names.get(int(key)) if key is not None and key == int(key) else None
    if label is None:
        report(
            f"class {shown(fields[0])} is not among the {len(names)} names",
            fix="Add it to 'names' in data.yaml.",
            line=line,
            lost="box",
        )
        return None
    if polygon:
        report(
            f"a polygon of {len(numbers) // 2} corners ({shown(label)}) is read as the box around it",
            line=line,
        )
        left, right = min(numbers[::2]), max(numbers[::2])
        top, bottom = min(numbers[1::2]), max(numbers[1::2])
    else:
        x, y, width, height = numbers[:4]
        left, right, top, bottom = x - width / 2, x + width / 2, y - height / 2, y + height / 2
    left, right = _pixels(left, size.width), _pixels(right, size.width)
    top, bottom = _pixels(top, size.height), _pixels(bottom, size.height)
    return make_box(label, (left, top, right - left, bottom - top), size, report, what="the box", line=line)


def _pixels(ratio: float, side: int) -> float:
    """Pixels from a ratio; what only the text's six digits part from a whole number is one."""
    value = ratio * side
    nearest = round(value)
    return nearest if abs(value - nearest) <= _NOISE else value


def write_yolo(
    images: Iterable[LabelledImage],
    folder: str | os.PathLike[str],
    *,
    names: Sequence[str] | None = None,
    on_problem: OnProblem = log_problem,
) -> int:
    """Write YOLO label files and a ``data.yaml``.

    For each image ``<folder>/labels/<name>.txt`` is written; put the images into ``<folder>/images``. YOLO
    has no place for labels of whole images: they are reported.

    Args:
        images: The images, each with its size.
        folder: The folder of the dataset; it is made where it is not there.
        names: The classes in the order of their numbers; by default in the order in which they come. Labels
            that are not among them are added.
        on_problem: Called for what the files cannot hold; by default it is logged.

    Returns:
        The number of label files.

    Raises:
        InvalidInput: A file cannot be written.
        MissingExtra: PyYAML is not installed.
    """
    try:
        # Any: some releases of types-PyYAML use a typeshed that pyright does not ship yet.
        yaml: Any = importlib.import_module("yaml")
    except ImportError as error:
        raise MissingExtra("formats", "writing YOLO") from error
    target = Path(folder)
    classes = {name: index for index, name in enumerate(names or ())}
    stems: set[str] = set()
    try:
        for part in ("images", "labels"):
            (target / part).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"{shown(target)}: cannot be made: {error}") from error
    for image in images:
        report = Report(image.source, on_problem)
        name = image.source.replace("\\", "/").rsplit("/", 1)[-1]
        stem = name.rsplit(".", 1)[0] or name
        if image.labels:
            report("YOLO holds boxes only: labels of the whole image", lost="label")
        if image.size is None:
            report("YOLO needs the size of each image, this one has none", fix="Fill in size.", lost="image")
        elif stem in stems:
            report(
                f"another image is called {shown(stem)}, too", fix="Write it to another folder.", lost="image"
            )
        else:
            stems.add(stem)
            with written(target / "labels" / f"{stem}.txt") as file:
                file.writelines(_line(box, image.size, classes) for box in image.boxes)
    with written(target / "data.yaml") as file:
        content = {"path": ".", "train": "images", "names": dict(enumerate(classes))}
        file.write(yaml.safe_dump(content, allow_unicode=True, sort_keys=False))
    return len(stems)


def _line(box: BoundingBox, size: ImageSize, classes: dict[str, int]) -> str:
    number_of_class = classes.setdefault(box.label, len(classes))
    x, y = (box.left + box.width / 2) / size.width, (box.top + box.height / 2) / size.height
    return f"{number_of_class} {x:.8f} {y:.8f} {box.width / size.width:.8f} {box.height / size.height:.8f}\n"
