"""Where the control plane keeps its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["version_folder"]


def version_folder(folder: Path, number: int) -> Path:
    """Where everything of one version lies; the number is that of its ARN."""
    return folder / "versions" / str(number)
