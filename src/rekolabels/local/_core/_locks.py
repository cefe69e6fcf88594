"""Locks that prove that a service is alive; the operating system releases them when its process ends."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING

from rekolabels._files import lock_file
from rekolabels.local._core._workspace import is_owner_name

if TYPE_CHECKING:
    from rekolabels._files import Folder

__all__ = ["OwnerLock", "is_owner_alive", "remove_dead_owners"]


class OwnerLock:
    """Proof that a service is alive: a locked file with a unique name, which its jobs are stored under.

    Create it within a write transaction of the store, so that no other service meets the file before it is
    locked.

    Args:
        folder: The folder of these files.
    """

    def __init__(self, folder: Folder) -> None:
        self.name = uuid.uuid4().hex
        self._folder = folder
        self._lock = lock_file(folder, self.name)

    def release(self) -> None:
        """Release the lock and remove its file. Idempotent."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None
            with contextlib.suppress(OSError):
                self._folder.remove_file(self.name)


def is_owner_alive(folder: Folder, name: str) -> bool:
    """Return whether the owner with this name still holds its lock; remove the file of a dead owner.

    Only a file that is missing or can be locked proves that its owner is dead. When it cannot be opened for
    another reason, for example because this process has too many open files, the owner counts as alive.
    """
    if not is_owner_name(name):
        raise ValueError(f"Not the name of an owner: {name!r}.")
    try:
        lock = lock_file(folder, name, create=False)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    if lock is None:
        return True
    lock.release()
    with contextlib.suppress(OSError):
        folder.remove_file(name)
    return False


def remove_dead_owners(folder: Folder) -> None:
    """Remove the files of dead owners. Call within a write transaction of the store."""
    for entry in folder.entries():
        if is_owner_name(entry.name):
            is_owner_alive(folder, entry.name)
