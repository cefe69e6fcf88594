"""Checks of a workspace before it is used: it may come from another user.

Its databases and files may contain anything. The workspace is refused when a link or a special file is among
the folders of the service, or when a name in the databases is not of the form that the service writes. Where
such a name becomes a path it is checked again.
"""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, get_args

from rekolabels._files import names_another_file
from rekolabels.errors import InvalidInput
from rekolabels.local._core._job import JobKind

if TYPE_CHECKING:
    from sqlite3 import Connection

    from rekolabels._files import Folder

__all__ = ["check_state", "control_folder", "is_owner_name", "refuse", "refuse_links"]

_OWNER = re.compile(r"[0-9a-f]{32}")


def refuse(path: str, problem: str) -> InvalidInput:
    """Return the error for a workspace that cannot be trusted.

    Args:
        path: The folder, file or database.
        problem: What is wrong with it, as the end of a sentence.
    """
    return InvalidInput(
        f"Cannot use this workspace: {path} {problem}. It may have been made to reach files outside of the "
        "workspace. Choose another folder, or get the workspace from a source that you trust."
    )


def control_folder(parent: Folder, name: str) -> Folder:
    """Open a folder of the service; create it when it is missing.

    Raises:
        InvalidInput: It is a symbolic link, or not a folder.
    """
    if parent.exists(name) and not stat.S_ISDIR(parent.stat(name).st_mode):
        kind = "a symbolic link" if parent.is_link(name) else "not a folder"
        raise refuse(f"{parent.path}{os.sep}{name}", f"is {kind} where a folder was expected")
    return parent.folder(name, create=True)


def refuse_links(folder: Folder, depth: int) -> None:
    """Check what is in a folder of the service.

    Args:
        folder: The folder.
        depth: How many levels to check; 1 for the entries of the folder only.

    Raises:
        InvalidInput: A symbolic link or a special file is among them, or a journal that names another file.
    """
    for entry in folder.entries():
        path = f"{folder.path}{os.sep}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            if depth > 1:
                with folder.folder(entry.name) as inner:
                    refuse_links(inner, depth - 1)
        elif not entry.is_file(follow_symlinks=False):
            kind = "a symbolic link" if entry.is_symlink() else "a special file"
            raise refuse(path, f"is {kind} where a file or folder was expected")
        elif entry.name.endswith("-journal") and _is_of_several_databases(folder, entry.name):
            raise refuse(path, "is a journal of several databases")


def _is_of_several_databases(folder: Folder, name: str) -> bool:
    try:
        descriptor = folder.open(name, os.O_RDONLY)
    except FileNotFoundError:  # another process has just ended its transaction
        return False
    with open(descriptor, "rb") as journal:  # noqa: PTH123 - a descriptor
        return names_another_file(journal)


def is_owner_name(name: object) -> bool:
    """Return whether a name from a database can be that of an owner's lock."""
    return isinstance(name, str) and _OWNER.fullmatch(name) is not None


def check_state(db: Connection, path: str) -> None:
    """Check the names in the state of the control plane that lead to files.

    Args:
        db: A connection.
        path: The database, for the error.

    Raises:
        InvalidInput: A name is not of the form that the service writes.
    """
    for owner, kind, arn in db.execute("SELECT DISTINCT owner, kind, arn FROM jobs").fetchall():
        if not is_owner_name(owner) or kind not in get_args(JobKind) or not isinstance(arn, str):
            raise refuse(path, f"has an invalid job {kind!r} of {owner!r}")
    for (number,) in db.execute("SELECT number FROM versions WHERE typeof(number) != 'integer'").fetchall():
        raise refuse(path, f"has a model version with the number {number!r}")
