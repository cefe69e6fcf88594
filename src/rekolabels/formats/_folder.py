"""Folders named after the labels of the images in them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from rekolabels._arguments import check_path
from rekolabels.errors import InvalidImage, InvalidInput
from rekolabels.formats._common import file_name
from rekolabels.formats._files import image_size, is_file
from rekolabels.formats._inputs import check_callback
from rekolabels.formats._other_images import is_other_image
from rekolabels.formats._problems import OnProblem, Report, Summary, log_problem, printable, shown
from rekolabels.images import LabelledImage
from rekolabels.manifest._given_images import check_images

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["read_folder", "write_folder"]

_LAYOUT = "Expected a folder for each label, with its JPEG or PNG images: {root}/<label>/<image>.jpg"
_MOVE = "If they are images, move them into folders that are named after their labels."
_WINDOWS_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini"})
_WORKSPACE_FOLDERS = frozenset({"rekognition", "s3"})
_WORKSPACE_STATE = ("rekognition", "state.sqlite")
"""A file that the workspace of an embedded service has; the copies of the images are in its folder ``s3``."""
_SPLIT_NAMES = frozenset({"train", "training", "test", "testing", "val", "valid", "validation"})


def read_folder(
    path: str | os.PathLike[str], *, on_problem: OnProblem = log_problem
) -> Iterator[LabelledImage]:
    """Read images from folders that are named after their labels.

    The label is the name of the first folder below ``path``, as in torchvision's ``ImageFolder`` and in the
    service's console; deeper folders have no meaning. Images are recognized by their content, not by their
    extension. They come in the order of their names, with ``size`` read from the headers of JPEG and PNG
    files; WebP, HEIC, AVIF, TIFF, BMP and GIF images come without, and ``create_datasets(images,
    convert=True)`` converts them. Hidden files and folders (``.name``) are skipped. Links to folders are
    followed, loops of links are not. If the folder is also the workspace of an embedded service, the
    folders of the service are skipped.

    Args:
        path: The folder that holds the label folders.
        on_problem: Called with a :class:`Problem` for each file that is left out because it is not an
            image, not readable, or not in a label folder; by default problems are logged.

    Yields:
        One image per file; ``source`` is its path, beginning with ``path`` as it was given.

    Raises:
        InvalidInput: ``path`` is not a readable folder, or there is no image in its label folders.
    """
    check_callback(on_problem)
    check_path("path", path, "the path of a folder with a folder for each label")
    root = os.fspath(path)
    entries = _without_workspace(root, _entries(root), on_problem)
    splits = [entry.name for entry in entries if entry.name.lower() in _SPLIT_NAMES and _is_folder(entry)]
    if len(splits) > 1:
        Report(root, on_problem)(
            f"The folders {', '.join(splits)} are read as labels, but look like the parts of a split",
            fix=f"Read each part: read_folder({os.path.join(root, splits[0])!r}).",  # noqa: PTH118 - text
        )
    return _images(root, entries, on_problem)


def _without_workspace(
    root: str, entries: list[os.DirEntry[str]], on_problem: OnProblem
) -> list[os.DirEntry[str]]:
    """Leave out the folders of an embedded service whose workspace is the folder of the images."""
    if not is_file(os.path.join(root, *_WORKSPACE_STATE)):  # noqa: PTH118 - as strings, like the entries
        return entries
    Report(root, on_problem)(
        "The workspace of an embedded service is in this folder; its folders are no labels",
        fix="Use another folder for the service: LocalService('workspace').",
    )
    return [entry for entry in entries if entry.name not in _WORKSPACE_FOLDERS]


def _images(root: str, entries: list[os.DirEntry[str]], on_problem: OnProblem) -> Iterator[LabelledImage]:
    found = False
    summary = Summary(Report(root, on_problem))
    for entry in entries:
        if _is_folder(entry):
            for file in _files(entry, _identity(root), on_problem):
                image = _image(file, entry.name, on_problem)
                if image is not None:
                    found = True
                    yield image
        else:
            summary.add(entry.path, "Not in a label folder", fix=_MOVE, lost="image")
    summary.report()
    if not found:
        layout = _LAYOUT.format(root=printable(root.rstrip("/")))
        raise InvalidInput(f"{printable(root)}: Contains no images. {layout}.")


def _image(file: str, label: str, on_problem: OnProblem) -> LabelledImage | None:
    report = Report(file, on_problem)
    try:
        file.encode()
    except UnicodeEncodeError:
        report("Its name is not valid UTF-8, so a manifest cannot hold it", fix="Rename it.", lost="image")
        return None
    try:
        size = image_size(file)
    except InvalidImage as error:
        if is_other_image(file):
            return LabelledImage(source=file, labels=(label,))
        report.error(error, fix="Remove it or convert it to JPEG or PNG.", lost="image")
        return None
    return LabelledImage(source=file, labels=(label,), size=size)


def _files(folder: os.DirEntry[str], root: tuple[int, int], on_problem: OnProblem) -> Iterator[str]:
    """Yield the files below a folder by name; ``root`` identifies the folder that holds it."""
    # Without recursion: folders can be nested more deeply than Python's stack.
    above = [root]
    pending: list[Iterator[os.DirEntry[str]]] = [iter((folder,))]
    while pending:
        entry = next(pending[-1], None)
        if entry is None:
            pending.pop()
            above.pop()
        elif _is_folder(entry):
            identity = _identity(entry.path)
            if identity in above:
                Report(entry.path, on_problem)("A link to a folder above it", fix="Remove the link.")
                continue
            try:
                entries = _entries(entry.path)
            except InvalidInput as error:
                Report(entry.path, on_problem).error(error, fix="Check its permissions.", lost="image")
                continue
            above.append(identity)
            pending.append(iter(entries))
        else:
            yield entry.path


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            visible = [
                entry
                for entry in found
                if not entry.name.startswith(".") and entry.name.lower() not in _WINDOWS_SYSTEM_FILES
            ]
    except FileNotFoundError as error:
        raise InvalidInput(
            f"{printable(folder)}: The folder does not exist. {_LAYOUT.format(root='folder')}."
        ) from error
    except NotADirectoryError as error:
        raise InvalidInput(
            f"{printable(folder)}: A file, not a folder. {_LAYOUT.format(root='folder')}."
        ) from error
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{printable(folder)}: Cannot be read: {error}.") from error
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

    A label folder holds images with exactly one label. Images with no label or several, boxes, and images
    that are not local files are reported and left out. Existing files are not overwritten.

    Args:
        images: The images.
        folder: Folder for the label folders; it is created when it does not exist.
        on_problem: Called with a :class:`Problem` for what label folders cannot hold; by default it is
            logged.

    Returns:
        The number of copied files.

    Raises:
        InvalidInput: A file cannot be written.
    """
    checked = check_images(images)
    check_callback(on_problem)
    check_path("folder", folder, "the path of a folder")
    summary = Summary(Report(os.fspath(folder), on_problem))
    count = 0
    for image in checked:
        report = Report(image.source, on_problem)
        if len(image.labels) != 1:
            has = f"these have {len(image.labels) or 'none'}"
            summary.add(image.source, f"A label folder holds images with one label, and {has}", lost="image")
            continue
        label = image.labels[0]
        name = file_name(image.source)
        if label.startswith(".") or not label.strip() or {"/", "\\", "\0"} & set(label):
            report(f"Label {shown(label)} cannot be the name of a folder", lost="image")
            continue
        if image.boxes:
            summary.add(image.source, "A label folder has no boxes", lost="box")
        target = Path(folder, label, name)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as to, Path(image.source).open("rb") as content:
                shutil.copyfileobj(content, to)
        except FileExistsError:
            report(f"{printable(target)} already exists", fix="Write to an empty folder.", lost="image")
        except FileNotFoundError:
            target.unlink(missing_ok=True)
            summary.add(image.source, "Not local files", fix="Download them first.", lost="image")
        except (OSError, ValueError) as error:
            raise InvalidInput(f"{printable(target)}: Cannot be written: {error}.") from error
        else:
            count += 1
    summary.report()
    return count
