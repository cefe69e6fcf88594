"""The lease behind ``model.running()``, for tests that check its limits or end it themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rekolabels.models._lease import Lease

if TYPE_CHECKING:
    from rekolabels import ModelVersion, RunningModel

__all__ = ["new_lease"]


def new_lease(model: ModelVersion, **options: Any) -> Lease[RunningModel]:
    """Return ``model.running(**options)`` as the lease that it is."""
    lease = model.running(**options)
    assert isinstance(lease, Lease)
    return lease
