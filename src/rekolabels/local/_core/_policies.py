"""What the policy documents of AWS's services have in common."""

from __future__ import annotations

from typing import Any, Final

from rekolabels.manifest._json import is_list

__all__ = ["MEMBERS", "PRINCIPALS", "VERSIONS", "as_list"]

MEMBERS: Final = frozenset({"Version", "Id", "Statement"})
"""Members of a document."""
VERSIONS: Final = ("2012-10-17", "2008-10-17")
"""Versions of the language, the default first."""
PRINCIPALS: Final = frozenset({"AWS", "CanonicalUser", "Federated", "Service"})
"""Kinds of principals."""


def as_list(value: Any) -> list[Any]:
    """Return what may stand alone or in a list as a list; an empty one for None."""
    if value is None:
        return []
    return value if is_list(value) else [value]
