"""The services that the contract tests speak to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest
from service_backends import (
    DOORS,
    Backend,
    make_dataset,
    make_project,
    make_version,
    open_backend,
    put_pictures,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=DOORS)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """A fresh service with a bucket."""
    with open_backend(request.param) as opened:
        opened.s3.create_bucket(Bucket="puppies")
        yield opened


@attrs.frozen
class Trained:
    """A service with a project whose model is trained; tests may start and stop the model."""

    backend: Backend
    project: str
    version: str


@pytest.fixture(scope="module", params=DOORS)
def trained(request: pytest.FixtureRequest) -> Iterator[Trained]:
    """A trained model of three labels."""
    with open_backend(request.param) as opened:
        opened.s3.create_bucket(Bucket="puppies")
        project = make_project(opened)
        make_dataset(opened, project, "TRAIN", put_pictures(opened, "train", 6))
        make_dataset(opened, project, "TEST", put_pictures(opened, "test", 2))
        yield Trained(opened, project, make_version(opened, project))
