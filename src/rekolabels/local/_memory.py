"""Memory that a training has used goes back to the system."""

from __future__ import annotations

import ctypes
import functools
import gc
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["give_back"]


def give_back() -> None:
    """Let free memory go.

    The allocator of glibc keeps what each thread has freed for that thread, and every training runs in a new
    one: a service that trains for hours would grow without holding anything. Elsewhere this does nothing but
    collect.
    """
    gc.collect()
    trim = _trim()
    if trim is not None:
        trim(0)


@functools.cache
def _trim() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # another C library, such as musl
        return None
    return trim
