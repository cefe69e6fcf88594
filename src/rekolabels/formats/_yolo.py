"""YOLO: one text file per image, and a data.yaml with the names of the classes."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rekolabels._arguments import check_choice, check_folder, check_items, check_path, invalid
from rekolabels.errors import InvalidImage, InvalidInput, MissingExtra
from rekolabels.formats._common import (
    as_dict,
    as_list,
    file_name,
    make_box,
    make_size,
    to_number,
    writable_boxes,
)
from rekolabels.formats._files import (
    exists,
    image_size,
    is_file,
    is_folder,
    is_within,
    make_folder,
    read_text,
    writing,
)
from rekolabels.formats._inputs import check_callback, not_empty
from rekolabels.formats._other_images import EXTENSIONS, other_image_size
from rekolabels.formats._problems import OnProblem, Report, Summary, log_problem, printable, shown
from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.manifest._given_images import check_images

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["read_yolo", "write_yolo"]

_PARTS = ("train", "val", "test")
_PARTS_EXPECTED = "a list of parts, such as ['train']"
_SYNONYMS = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}
_EXTENSIONS = EXTENSIONS | {".jpg", ".jpeg", ".png"}
_ROUNDING = 0.005
"""Pixels: the error of a ratio with six digits at 4096 pixels."""
_MAX_YAML_BYTES = 1 << 18
"""The data.yaml of LVIS, with 1,203 classes, has 25 kB; PyYAML reads 100 kB per second."""
_MAX_YAML_DEPTH = 10
_MAX_YAML_VALUE = 4096
"""Characters of the name of a class or of a path."""
_BOX, _BOX_AND_CONFIDENCE, _POLYGON = 5, 6, 7
"""Fields of a line: of a box, of a box with its confidence, and of the smallest polygon."""


def read_yolo(
    path: str | os.PathLike[str],
    *,
    parts: Sequence[str] | None = None,
    root: str | os.PathLike[str] | None = None,
    on_problem: OnProblem = log_problem,
) -> Iterator[LabelledImage]:
    """Read the bounding boxes of a YOLO dataset: images, one label file per image, and ``data.yaml``.

    A label file is expected where YOLO expects it: at the path of its image with the last folder ``images``
    replaced by ``labels``, or beside the image. An image without one has no boxes. Ratios are converted to
    pixels with the size in the image's header. A polygon (segmentation) is read as its bounding box, and
    reported.

    Needs the extra ``formats`` (PyYAML).

    Args:
        path: The ``data.yaml`` or its folder; ``names``, ``path`` and the parts are used.
        parts: Parts to read, in this order, such as ``["train"]``; by default those of ``train``, ``val`` and
            ``test`` that ``data.yaml`` has.
        root: Folder of the dataset, instead of ``path`` in ``data.yaml``. Without it, only images in or
            beside the folder of ``data.yaml`` are read, because a file from elsewhere could name any folder.
        on_problem: Called with a :class:`Problem` for each flaw; by default flaws are logged.

    Yields:
        The images of each part, in the order of their names.

    Raises:
        InvalidInput: ``data.yaml`` does not exist, is not YAML, has no names or not the parts, or there is no
            image in them.
        MissingExtra: PyYAML is not installed.
    """
    check_callback(on_problem)
    file = check_path("path", path, "the path of a data.yaml or its folder")
    given = None if root is None else check_folder("root", root, "the folder of the dataset")
    if parts is not None:
        parts = check_items("parts", parts, str, _PARTS_EXPECTED)
        if not parts:
            raise invalid("parts", parts, _PARTS_EXPECTED)
    if is_folder(file):
        file = _data_yaml(file)
    report = Report(str(file), on_problem)
    data = _load(file)
    names = _class_names(data.get("names"), str(file))
    wanted = _parts(data, parts, file)
    locations = _Locations(file, data.get("path") if root is None else None, given)
    paths = ", ".join(f"{part} ({shown(value)})" for part, value in wanted.items())
    problem = f"Has no usable images in {paths}. Check the paths, or pass root='<folder of the dataset>'."
    return not_empty(_read(wanted, names, locations, report), file, problem)


def _data_yaml(folder: Path) -> Path:
    """Return the data.yaml of a folder, or the only other YAML file in it."""
    expected = folder / "data.yaml"
    others = [] if exists(expected) else [*folder.glob("*.yaml"), *folder.glob("*.yml")]
    return others[0] if len(others) == 1 else expected


def _parts(data: Mapping[str, Any], parts: Sequence[str] | None, file: Path) -> dict[str, Any]:
    """Return the parts to read, with their paths."""
    present = {key: value for key, value in data.items() if value and key in {*_PARTS, *(parts or ())}}
    if not present:
        raise InvalidInput(f"{printable(file)}: Has none of the parts {', '.join(parts or _PARTS)}.")
    if parts is None:
        return {part: present[part] for part in _PARTS if part in present}
    for number, part in enumerate(parts):
        check_choice(f"parts[{number}]", part, [*present], _SYNONYMS)
    return {part: present[part] for part in parts}


def _load(file: Path) -> Mapping[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise MissingExtra("formats", "Reading YOLO") from error
    text = read_text(file, "a data.yaml", limit=_MAX_YAML_BYTES)
    try:
        found = as_dict(_load_yaml(yaml, text))
    except InvalidInput as error:
        raise InvalidInput(f"{printable(file)}: {error}") from error
    except yaml.YAMLError as error:
        raise InvalidInput(f"{printable(file)}: Not YAML: {printable(error)}.") from error
    except Exception as error:  # PyYAML's conversions of values raise many kinds
        raise InvalidInput(f"{printable(file)}: Not valid YAML: {printable(error)}.") from error
    if found is None:
        raise InvalidInput(f"{printable(file)}: Expected the keys 'names' and 'train', 'val' or 'test'.")
    return found


def _load_yaml(yaml: Any, text: str) -> Any:
    """Read a YAML document without objects and aliases, in time that grows with its length only.

    Aliases can expand beyond any memory. PyYAML's work grows with the depth of the nesting, and it makes long
    numbers in quadratic time. A list of classes needs none of them.

    Raises:
        InvalidInput: The document has an alias, is nested too deeply or has a value that is too long.
    """

    class BoundedLoader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML is imported where it is needed
        depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            event = self.peek_event()
            if isinstance(event, yaml.AliasEvent):
                raise InvalidInput("Has YAML aliases, which a data.yaml does not need.")
            if len(getattr(event, "value", "")) > _MAX_YAML_VALUE:
                raise InvalidInput(f"Has a value of more than {_MAX_YAML_VALUE:,} characters.")
            if self.depth == _MAX_YAML_DEPTH:
                raise InvalidInput(f"Is nested more than {_MAX_YAML_DEPTH} levels deep.")
            self.depth += 1
            node = yaml.SafeLoader.compose_node(self, parent, index)
            self.depth -= 1
            return node

    loader = BoundedLoader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _class_names(names: Any, file: str) -> dict[int, str]:
    """Return the classes by number, from a list of names or a mapping from numbers."""
    listed = as_dict(names) or dict(enumerate(as_list(names) or []))
    try:
        found = {key: str(name) for key, name in listed.items() if isinstance(key, int) and name is not None}
    except ValueError as error:  # a number with more digits than Python writes
        raise InvalidInput(f"{printable(file)}: 'names': {printable(error)}.") from error
    if not found:
        raise InvalidInput(
            f"{printable(file)}: 'names' is neither a list of classes nor a mapping from numbers to classes."
        )
    return found


class _Locations:
    """Resolves the paths in a data.yaml to the folders that may be read."""

    def __init__(self, file: Path, stated: Any, given: Path | None) -> None:
        self.folder = file.parent
        self.stated = stated if isinstance(stated, str) else "."
        self.given = given

    def resolve(self, path: str, report: Report) -> Path | None:
        """Return the folder or image list at a path; None, with a problem reported, when there is none."""
        if "\0" in path:
            report(f"{shown(path)} is not a valid path", lost="file")
            return None
        if self.given is not None:
            choices = [self.given / path, self.given / path.removeprefix("../")]
        else:
            # Many exports write "../train/images" for "train/images"; Ultralytics accepts both, too.
            starts = [self.folder / self.stated, self.folder]
            choices = [start / relative for start in starts for relative in (path, path.removeprefix("../"))]
        existing = [choice for choice in choices if exists(choice)]
        allowed = self.given if self.given is not None else self.folder.parent
        for choice in existing:
            if self.given is not None or is_within(choice, allowed):
                return choice
        if existing:
            report(
                f"{shown(path)} is outside the folder of the dataset",
                fix="To read it, pass root='<folder of the dataset>'.",
                lost="file",
            )
        else:
            report(
                f"{shown(path)} does not exist",
                fix="Fix the path or pass root='<folder of the dataset>'.",
                lost="file",
            )
        return None


def _read(
    parts: Mapping[str, Any], names: Mapping[int, str], locations: _Locations, report: Report
) -> Iterator[LabelledImage]:
    for part, value in parts.items():
        # A part is one path or several.
        for path in as_list(value) or [value]:
            if not isinstance(path, str):
                report(f"{part!r}: expected a path, found {shown(path)}", lost="file")
                continue
            found = locations.resolve(path, report)
            if found is not None:
                for image in _image_files(found, Report(str(found), report.on_problem)):
                    labelled = _labelled_image(image, names, Report(str(image), report.on_problem))
                    if labelled is not None:
                        yield labelled


def _image_files(location: Path, report: Report) -> Iterator[Path]:
    """Yield the images of a folder, or those that a text file lists."""
    if is_folder(location):
        yield from (
            path
            for path in sorted(_paths_below(location, report))
            if path.suffix.lower() in _EXTENSIONS and not path.name.startswith(".")
        )
        return
    try:
        lines = read_text(location, "a list of images", limit=1 << 26).splitlines()
    except InvalidInput as error:
        report.error(error, lost="file")
        return
    for number, line in enumerate(lines, start=1):
        if line.strip():
            image = location.parent / line.strip()
            if "\0" in line or not is_within(image, location.parent):
                report(f"{shown(line)} is outside the folder of the list", line=number, lost="image")
            else:
                yield image


def _paths_below(folder: Path, report: Report) -> Iterator[Path]:
    """Yield everything below a folder, without following links and, unlike ``rglob``, without recursion."""
    pending = [folder]
    while pending:
        inside = pending.pop()
        try:
            with os.scandir(inside) as entries:
                listed = list(entries)
        except OSError as error:
            Report(str(inside), report.on_problem)(f"Cannot be read: {error.strerror}", lost="image")
            continue
        yield from (Path(entry.path) for entry in listed)
        pending += [Path(entry.path) for entry in listed if entry.is_dir(follow_symlinks=False)]


def _labelled_image(image: Path, names: Mapping[int, str], report: Report) -> LabelledImage | None:
    size = _image_size(image, report)
    if size is None:
        return None
    file = _label_file(image)
    if file is None:
        return LabelledImage(source=str(image), size=size)
    label_report = Report(str(file), report.on_problem)
    try:
        lines = read_text(file, "a YOLO label file").splitlines()
    except InvalidInput as error:
        label_report.error(error, fix="Export it again.", lost="image")
        return None
    boxes = [
        _box(line.split(), names, size, label_report, line=n)
        for n, line in enumerate(lines, 1)
        if line.strip()
    ]
    return LabelledImage(source=str(image), boxes=[box for box in boxes if box is not None], size=size)


def _image_size(image: Path, report: Report) -> ImageSize | None:
    """Return the size of an image, or None after reporting why it is not known."""
    try:
        return image_size(image)
    except InvalidImage as error:
        size = other_image_size(image)  # which create_datasets can convert
        if size is None:
            report.error(error, fix="Fix or remove it.", lost="image")
        return size


def _label_file(image: Path) -> Path | None:
    parts = list(image.parts)
    candidates = [image.with_suffix(".txt")]
    if "images" in parts[:-1]:
        last = len(parts) - 2 - parts[-2::-1].index("images")
        candidates.insert(0, Path(*parts[:last], "labels", *parts[last + 1 :]).with_suffix(".txt"))
    return next((found for found in candidates if is_file(found)), None)


def _box(
    fields: Sequence[str], names: Mapping[int, str], size: ImageSize, report: Report, *, line: int
) -> BoundingBox | None:
    """Read one line: a class, then centre, width and height as ratios, or the corners of a polygon."""
    values = [to_number(field) for field in fields[1:]]
    numbers = [value for value in values if value is not None]
    polygon = len(fields) >= _POLYGON and len(fields) % 2 == 1
    if len(numbers) < len(values) or not (len(fields) in {_BOX, _BOX_AND_CONFIDENCE} or polygon):
        report(
            f"Expected a class and four ratios, found {printable(' '.join(fields))}",
            fix="Fix or remove the line.",
            line=line,
            lost="box",
        )
        return None
    key = to_number(fields[0])
    label = names.get(int(key)) if key is not None and key == int(key) else None
    if label is None:
        report(
            f"Class {printable(fields[0])} has no name",
            fix="Add it to 'names' in data.yaml.",
            line=line,
            lost="box",
        )
        return None
    if polygon:
        report(
            f"A polygon of {len(numbers) // 2} corners ({printable(label)}) is read as its bounding box",
            line=line,
        )
        left, right = min(numbers[::2]), max(numbers[::2])
        top, bottom = min(numbers[1::2]), max(numbers[1::2])
    else:
        x, y, width, height = numbers[:4]
        left, right, top, bottom = x - width / 2, x + width / 2, y - height / 2, y + height / 2
    left, right = _pixels(left, size.width), _pixels(right, size.width)
    top, bottom = _pixels(top, size.height), _pixels(bottom, size.height)
    return make_box(
        label, (left, top, right - left, bottom - top), size, report, subject="The box", line=line
    )


def _pixels(ratio: float, side: int) -> float:
    """Convert a ratio to pixels; coordinates within rounding error of a whole pixel are rounded."""
    value = ratio * side
    nearest = round(value)
    return nearest if abs(value - nearest) <= _ROUNDING else value


def write_yolo(
    images: Iterable[LabelledImage],
    folder: str | os.PathLike[str],
    *,
    names: Sequence[str] | None = None,
    on_problem: OnProblem = log_problem,
) -> int:
    """Write YOLO label files and a ``data.yaml``.

    Writes ``<folder>/labels/<name>.txt`` for each image; put the images into ``<folder>/images``. YOLO has no
    image-level labels: they are reported and left out.

    Args:
        images: The images, each with its size.
        folder: Folder of the dataset; it is created when it does not exist.
        names: Classes in the order of their numbers. Labels that are not among them are added in the order in
            which they occur.
        on_problem: Called with a :class:`Problem` for what the files cannot hold; by default it is logged.

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
        raise MissingExtra("formats", "Writing YOLO") from error
    checked = check_images(images)
    check_callback(on_problem)
    target = check_path("folder", folder, "the path of a folder")
    if names is not None:
        names = check_items("names", names, str, "a list of labels")
    summary = Summary(Report(str(target), on_problem))
    classes = {name: index for index, name in enumerate(names or ())}
    stems: set[str] = set()
    for image in checked:
        report = Report(image.source, on_problem)
        name = file_name(image.source)
        stem = name.rsplit(".", 1)[0] or name
        if image.labels:
            summary.add(image.source, "YOLO has no image-level labels", lost="label")
        if image.size is None or make_size(image.size.width, image.size.height) is None:
            summary.add(
                image.source, "YOLO needs sizes, and these have none", fix="Set their size.", lost="image"
            )
        elif stem in stems:
            report(
                f"Another image is also named {printable(stem)}",
                fix="Write it to another folder.",
                lost="image",
            )
        else:
            stems.add(stem)
            make_folder(target / "labels")
            with writing(target / "labels" / f"{stem}.txt", sync=False) as file:
                file.writelines(_line(box, image.size, classes) for box in writable_boxes(image, report))
    for part in ("images", "labels"):
        make_folder(target / part)
    with writing(target / "data.yaml") as file:
        content = {"path": ".", "train": "images", "names": dict(enumerate(classes))}
        file.write(yaml.safe_dump(content, allow_unicode=True, sort_keys=False))
    summary.report()
    return len(stems)


def _line(box: BoundingBox, size: ImageSize, classes: dict[str, int]) -> str:
    number = classes.setdefault(box.label, len(classes))
    x, y = (box.left + box.width / 2) / size.width, (box.top + box.height / 2) / size.height
    return f"{number} {x:.8f} {y:.8f} {box.width / size.width:.8f} {box.height / size.height:.8f}\n"
