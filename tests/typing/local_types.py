"""Types of the embedded service and the pytest fixtures; not run, but checked by ``make check``."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import assert_type

import boto3

from rekolabels import Client, LabelledImage, ModelVersion, RetryPolicy
from rekolabels.evaluation import LabelIssue
from rekolabels.local import (
    Durations,
    Fault,
    FaultPlan,
    LocalService,
    ManualClock,
    Quotas,
    Tps,
    find_label_errors,
)
from rekolabels.testing import Recorded, Trainer


def services() -> None:
    """All options of a service."""
    clock = ManualClock()
    with LocalService(
        Path("workspace"),
        quotas=Quotas(running_models=1),
        tps=Tps(detect_per_unit=2),
        seed=7,
        engine="tiny",
        clock=clock,
        durations=Durations(training=3600),
        faults=FaultPlan([Fault.throttled(times=1)], seed=1),
    ) as service:
        assert_type(service, LocalService)
        assert_type(service.client(bucket="puppies", retry=RetryPolicy(clock=clock)), Client)
        assert_type(service.session(), boto3.Session)
        assert_type(service.path, Path)
        assert_type(service.inside_moto(), AbstractContextManager[None])
        with service.serve() as server:
            assert_type(server.url, str)
    assert_type(clock(), float)


def label_errors(images: list[LabelledImage]) -> None:
    """Label issues are a list."""
    assert_type(find_label_errors(images, limit=10), list[LabelIssue])


def fixtures(rekolabels_train: Trainer, rekolabels_recorded: Recorded, images: list[LabelledImage]) -> None:
    """What the fixtures return."""
    assert_type(rekolabels_train(images, version_name="v2"), ModelVersion)
    assert_type(rekolabels_recorded("answer.json", {"operation": "DescribeProjects", "response": {}}), Client)
