"""Progress on long work: a tqdm bar in a terminal or notebook when the extra ``progress`` is there."""

from __future__ import annotations

import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["Bar", "bar"]


class Bar(Protocol):
    """What long work needs of a progress bar."""

    def update(self, n: float = 1) -> object:
        """Move on by ``n``."""

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> object:  # noqa: FBT001, FBT002 -- tqdm's own
        """Write a word behind the bar."""


class _Silent:
    def update(self, n: float = 1) -> None:
        """Say nothing."""

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:  # noqa: FBT001, FBT002 -- tqdm's own
        """Say nothing."""


@contextmanager
def bar(
    description: str, *, total: int | None = None, unit: str | None = None, wanted: bool = True
) -> Generator[Bar]:
    """Show a bar while the block runs, if it is wanted, somebody watches, and tqdm is installed.

    With a unit it shows count and rate, with a total also the time that is left; with neither a stopwatch.
    """
    if not wanted or not _is_watched():
        yield _Silent()
        return
    try:
        from tqdm import TqdmWarning

        with warnings.catch_warnings():
            # a notebook without ipywidgets shows the bar as text, which needs no warning
            warnings.simplefilter("ignore", TqdmWarning)
            from tqdm.auto import tqdm
    except ImportError:
        yield _Silent()
        return
    form = "{desc} {elapsed}{postfix}" if unit is None else None
    with tqdm(total=total, desc=description, unit=f" {unit}s", bar_format=form, leave=False) as shown:
        yield shown


def _is_watched() -> bool:
    return sys.stderr.isatty() or "ipykernel" in sys.modules
