"""Folders whose names are the labels of the images in them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from rekolabels.errors import InvalidImage, InvalidInput
from rekolabels.formats._header import image_size
from rekolabels.formats._problems import OnProblem, Report, log_problem, shown
from rekolabels.images import LabelledImage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["read_folder", "write_folder"]

_LAYOUT = "expected one folder for each label with its JPEG or PNG images in it: {root}/<label>/<image>.jpg"
_WINDOWS_LITTER = frozenset({"thumbs.db", "desktop.ini"})
_NAMES_OF_PARTS = frozenset({"train", "training", "test", "testing", "val", "valid", "validation"})


def read_folder(
    path: str | os.PathLike[str], *, on_problem: OnProblem = log_problem
) -> Iterator[LabelledImage]:
    """Read images that are sorted into folders named after their labels.

    The label is the name of the first folder below ``path``; deeper folders only sort. That is how
    torchvision's ``ImageFolder`` and the service's console read a folder. Images are told by their content,
    not by their extension, and come in the order of their names, with ``size`` filled in from their headers.
    Hidden files and folders (``.name``) are passed over. Links to folders are followed, loops are not.

    Args:
        path: The folder that holds the label folders.
        on_problem: Called with a :class:`Problem` for each file that is left out: no JPEG or PNG, not
            readable, or not in a label folder. By default it is logged as a warning.

    Yields:
        One image a file; ``source`` is its path, beginning with ``path`` as it was given.

    Raises:
        InvalidInput: ``path`` is not a folder that can be read, or no image is in its label folders.
    """
    root = os.fspath(path)
    entries = _entries(root)
    parts = [entry.name for entry in entries if entry.name.lower() in _NAMES_OF_PARTS and _is_folder(entry)]
    if len(parts) > 1:
        Report(root, on_problem)(
            f"the folders {', '.join(parts)} become labels, but look like the parts of a split",
            fix=f"Read each alone: read_folder({os.path.join(root, parts[0])!r}).",  # noqa: PTH118 - text
        )
    return _images(root, entries, on_problem)


def _images(root: str, entries: list[os.DirEntry[str]], on_problem: OnProblem) -> Iterator[LabelledImage]:
    found = False
    for entry in entries:
        if _is_folder(entry):
            for file in _files(entry, (_identity(root), _identity(entry.path)), on_problem):
                image = _image(file, entry.name, on_problem)
                if image is not None:
                    found = True
                    yield image
        else:
            Report(entry.path, on_problem)(
                "not in a label folder",
                fix="Move it into a folder that has the name of its label, if it is an image.",
                lost="image",
            )
    if not found:
        raise InvalidInput(f"{shown(root)}: no images found; {_LAYOUT.format(root=shown(root.rstrip('/')))}")


def _image(file: str, label: str, on_problem: OnProblem) -> LabelledImage | None:
    report = Report(file, on_problem)
    try:
        file.encode()
    except UnicodeEncodeError:
        report("its name is not valid UTF-8, so no manifest can name it", fix="Rename it.", lost="image")
        return None
    try:
        size = image_size(file)
    except InvalidImage as error:
        message = str(error).removeprefix(f"{shown(file)}: ")
        report(message, fix="Remove it, or convert it to JPEG or PNG.", lost="image")
        return None
    return LabelledImage(source=file, labels=(label,), size=size)


def _files(
    folder: os.DirEntry[str], above: tuple[tuple[int, int], ...], on_problem: OnProblem
) -> Iterator[str]:
    """The files below a folder in the order of their names; ``above`` are the folders on the way to it."""
    report = Report(folder.path, on_problem)
    if above[-1] in above[:-1]:
        report("a link to a folder that holds it", fix="Remove the link.")
        return
    try:
        entries = _entries(folder.path)
    except InvalidInput as error:
        report(str(error).removeprefix(f"{shown(folder.path)}: "), fix="Check its permissions.", lost="image")
        return
    for entry in entries:
        if _is_folder(entry):
            yield from _files(entry, (*above, _identity(entry.path)), on_problem)
        else:
            yield entry.path


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            visible = [
                e for e in found if not e.name.startswith(".") and e.name.lower() not in _WINDOWS_LITTER
            ]
    except FileNotFoundError as error:
        raise InvalidInput(
            f"{shown(folder)}: there is no such folder; {_LAYOUT.format(root='folder')}"
        ) from error
    except NotADirectoryError as error:
        raise InvalidInput(
            f"{shown(folder)}: a file, not a folder; {_LAYOUT.format(root='folder')}"
        ) from error
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{shown(folder)}: cannot be read: {error}") from error
    return sorted(visible, key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _identity(folder: str) -> tuple[int, int]:
    try:
        found = os.stat(folder)  # noqa: PTH116 - called for the strings of os.scandir
    except OSError:
        return (-1, -1)
    return (found.st_dev, found.st_ino)


def write_folder(
    images: Iterable[LabelledImage],
    folder: str | os.PathLike[str],
    *,
    on_problem: OnProblem = log_problem,
) -> int:
    """Copy image files into folders named after their labels.

    A folder holds an image under one label only: images with no label or several, boxes, and images that are
    not in local files are reported and left out. Nothing that is there already is overwritten.

    Args:
        images: The images.
        folder: The folder for the label folders; it is made where it is not there.
        on_problem: Called for what label folders cannot hold; by default it is logged.

    Returns:
        The number of files that were copied.

    Raises:
        InvalidInput: A file cannot be written.
    """
    count = 0
    for image in images:
        report = Report(image.source, on_problem)
        if len(image.labels) != 1:
            report(f"a label folder holds images with one label; this has {len(image.labels)}", lost="image")
            continue
        label = image.labels[0]
        name = image.source.replace("\\", "/").rsplit("/", 1)[-1]
        if label.startswith(".") or not label.strip() or {"/", "\\", "\0"} & set(label):
            report(f"the label {shown(repr(label))} cannot be the name of a folder", lost="image")
            continue
        if image.boxes:
            report("a label folder holds image-level labels only", lost="box")
        target = Path(folder, label, name)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as to, Path(image.source).open("rb") as content:
                shutil.copyfileobj(content, to)
        except FileExistsError:
            report(f"{shown(target)} is there already", fix="Write to an empty folder.", lost="image")
        except FileNotFoundError:
            target.unlink(missing_ok=True)
            report("there is no such local file", fix="Download it first.", lost="image")
        except (OSError, ValueError) as error:
            raise InvalidInput(f"{shown(target)}: cannot be written: {error}") from error
        else:
            count += 1
    return count
