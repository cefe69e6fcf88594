"""Texts of a page: escaped, and without signs that could mislead."""

from __future__ import annotations

from html import escape

__all__ = ["label_text"]


def label_text(text: str) -> str:
    """Escape a label or name; signs that cannot be shown are spelled out."""
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )
    return escape(shown, quote=True)
