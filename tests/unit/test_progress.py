"""Where progress bars appear."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from rekolabels import _progress

if TYPE_CHECKING:
    from collections.abc import Callable


def show_bar(capsys: pytest.CaptureFixture[str]) -> str:
    """Show a bar, and return what was written to standard error."""
    with _progress.bar("checking", total=1, unit="image"):
        pass
    return capsys.readouterr().err


def test_a_program_that_runs_notebooks_shows_no_bars(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such a program has imported ipykernel, but no kernel runs it."""
    monkeypatch.setitem(sys.modules, "ipykernel", SimpleNamespace())
    assert show_bar(capsys) == ""


@pytest.mark.parametrize(
    ("shell", "shown"),
    [
        (lambda: SimpleNamespace(kernel=None), True),
        (SimpleNamespace, False),  # IPython in a pipe
        (lambda: None, False),  # IPython was only imported
    ],
)
def test_a_kernel_shows_bars(
    shell: Callable[[], object],
    shown: bool,  # noqa: FBT001 - a parameter of the test
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A notebook is recognized by the kernel of its shell."""
    pytest.importorskip("tqdm", reason="the extra progress")
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=shell))
    assert ("checking" in show_bar(capsys)) == shown


def test_a_stopwatch_is_not_redrawn_at_every_poll(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stored notebooks and logs keep everything that was drawn, so a long wait must not draw much."""
    pytest.importorskip("tqdm", reason="the extra progress")
    shell = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=None))
    monkeypatch.setitem(sys.modules, "IPython", shell)
    with _progress.bar("waiting") as bar:
        for number in range(1000):
            bar.set_postfix_str(str(number), refresh=False)
            bar.update(0)
    assert capsys.readouterr().err.count("waiting") < 10
