"""``RunningModel``: the model inside a ``with model.running()`` block."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rekolabels.inference import Detects

if TYPE_CHECKING:
    from collections.abc import Callable

    from rekolabels.models._model_version import ModelVersion

__all__ = ["RunningModel"]


class RunningModel(Detects):
    """A model that runs until its ``with model.running()`` block ends.

    Each call counts as use for the ``idle_timeout`` of the block. After the block has ended, or one of its
    limits has stopped the model, calls raise :class:`~rekolabels.errors.LeaseEnded`.

    Examples:
        ::

            with model.running(idle_timeout=600) as running:
                detections = running.detect("dog.jpg")
    """

    def __init__(self, model: ModelVersion, before_call: Callable[[], None]) -> None:
        self.model = model
        """The model version."""
        self.client = model.client
        """The client of the model version."""
        self.arn = model.arn
        """ARN of the model version."""
        self._record_use = before_call

    def __repr__(self) -> str:
        return f"<RunningModel {self.arn}>"

    def _before_call(self) -> None:
        self._record_use()
