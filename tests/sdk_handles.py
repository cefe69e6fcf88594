"""Clients of handles, for tests that have only a handle in hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rekolabels import Client

if TYPE_CHECKING:
    from rekolabels import Dataset, Project
    from rekolabels.models._handle import ModelHandle

__all__ = ["client_of"]


def client_of(handle: Project | Dataset | ModelHandle) -> Client:
    """Return a client on the connection of a handle."""
    return Client._from_connection(handle._connection)
