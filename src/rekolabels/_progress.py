"""Progress bars for long operations (tqdm in terminals and notebooks; extra ``progress``)."""

from __future__ import annotations

import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["Bar", "bar"]


class Bar(Protocol):
    """The part of tqdm's interface that long operations use."""

    def update(self, n: float = 1) -> object:
        """Advance by ``n``, and redraw the bar if it is time to."""

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> object:  # noqa: FBT001, FBT002 -- tqdm's signature
        """Show a text after the bar."""


class _NoBar:
    """A bar that shows nothing."""

    def update(self, n: float = 1) -> None:
        """Do nothing."""

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:  # noqa: FBT001, FBT002 -- tqdm's signature
        """Do nothing."""


@contextmanager
def bar(
    description: str, *, total: int | None = None, unit: str | None = None, enabled: bool = True
) -> Generator[Bar]:
    """Show a progress bar while the block runs.

    Shows nothing when disabled, when standard error is neither a terminal nor a notebook, and when tqdm is
    not installed.

    Args:
        description: Text before the bar.
        total: Number of units, to show the remaining time.
        unit: Singular noun of what is counted, to show count and rate; without it the bar is a stopwatch.
        enabled: Whether to show the bar at all.
    """
    if not enabled or not _is_interactive():
        yield _NoBar()
        return
    try:
        from tqdm import TqdmWarning

        with warnings.catch_warnings():
            # In a notebook without ipywidgets tqdm warns and falls back to a text bar, which is fine here.
            warnings.simplefilter("ignore", TqdmWarning)
            from tqdm.auto import tqdm
    except ImportError:
        yield _NoBar()
        return
    # A stopwatch is redrawn once a second: logs and stored notebooks keep each state that was drawn.
    bar_format, interval = ("{desc} {elapsed}{postfix}", 1.0) if unit is None else (None, 0.1)
    with tqdm(
        total=total,
        desc=description,
        unit=f" {unit}s",
        bar_format=bar_format,
        mininterval=interval,
        leave=False,
    ) as tqdm_bar:
        yield tqdm_bar


def _is_interactive() -> bool:
    return sys.stderr.isatty() or _is_notebook()


def _is_notebook() -> bool:
    """Return whether a kernel runs this code; a program that runs notebooks has ipykernel imported, too."""
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get_ipython is not None and hasattr(get_ipython(), "kernel")
