"""Return of free memory to the operating system, which glibc's allocator would keep."""

from __future__ import annotations

import ctypes
import functools
import gc
import sys

__all__ = ["limit_retained_memory", "release_free_memory"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGE_BLOCK = 1 << 20


def limit_retained_memory() -> None:
    """Make the allocator return blocks of 1 MB and more as soon as they are freed.

    Meant for a process that only serves. By default glibc raises its threshold with the first large arrays
    and then keeps up to 64 MB for each of dozens of threads.
    """
    library = _glibc()
    if library is not None:
        library.mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)
        library.mallopt(_M_TRIM_THRESHOLD, _LARGE_BLOCK)


def release_free_memory() -> None:
    """Collect garbage and return free memory to the system; without glibc, only collect.

    glibc keeps freed memory for the thread that freed it. Every training runs in a new thread, so the memory
    of a service that trains for hours would grow although none of it is in use.
    """
    gc.collect()
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None
