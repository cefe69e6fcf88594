"""Memory that a training has used goes back to the system."""

from __future__ import annotations

import ctypes
import functools
import gc
import sys

__all__ = ["give_back", "keep_little"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGE = 1 << 20


def keep_little() -> None:
    """Make the allocator return large blocks at once; for a process that does nothing but serve.

    glibc learns from the first large arrays to keep such blocks for the thread that freed them, up to 64 MB
    for each of some tens of threads. Blocks of 1 MB and more are fetched from the system one by one instead.
    """
    library = _library()
    if library is not None:
        library.mallopt(_M_MMAP_THRESHOLD, _LARGE)
        library.mallopt(_M_TRIM_THRESHOLD, _LARGE)


def give_back() -> None:
    """Let free memory go.

    The allocator of glibc keeps what each thread has freed for that thread, and every training runs in a new
    one: a service that trains for hours would grow without holding anything. Elsewhere this does nothing but
    collect.
    """
    gc.collect()
    library = _library()
    if library is not None:
        library.malloc_trim(0)


@functools.cache
def _library() -> ctypes.CDLL | None:
    """The C library, if it is glibc."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None
