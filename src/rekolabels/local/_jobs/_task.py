"""One training: what it works with, and how it says that it has come to nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from rekolabels.local._core._context import Context
from rekolabels.local._core._job_runner import Job
from rekolabels.local._jobs._images import Images
from rekolabels.local._jobs._results import Results

__all__ = ["Task", "TrainingStopped"]

_log = logging.getLogger("rekolabels.local")


class TrainingStopped(Exception):
    """The training ends with this message."""


@attrs.frozen
class Task:
    """One training."""

    context: Context
    job: Job
    folder: Path
    request: Mapping[str, Any]
    results: Results
    images: Images

    def report(self, stage: str, done: int, total: int) -> None:
        """Log the progress in steps of a tenth, and see whether the service is closing."""
        self.context.jobs.check()
        if done == total or done % max(1, -(-total // 10)) == 0:
            _log.info("training of %s: %s %d of %d", self.job.arn, stage, done, total)
