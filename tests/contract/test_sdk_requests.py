"""Headers of the SDK's requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import botocore
import pytest
from botocore.config import Config

import rekolabels
from rekolabels import S3Location
from rekolabels.local import LocalService

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def service() -> Iterator[LocalService]:
    """A local service."""
    with LocalService() as made:
        yield made


def sent_by(client: Any) -> list[dict[str, bytes]]:
    """Return a list that collects the headers of the requests of a boto3 client."""
    sent: list[dict[str, bytes]] = []

    def record(request: Any, **_: object) -> None:
        sent.append(dict(request.headers))

    client.meta.events.register_first("before-send", record)
    return sent


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_uploads_do_not_wait_for_permission(service: LocalService, size: int) -> None:
    """Uploads do not send ``Expect: 100-continue``, which costs a round trip."""
    client = service.client(bucket="requests")
    sent = sent_by(client._connection.s3.client)
    client._connection.s3.put(S3Location("requests", "object"), bytes(size))
    assert [int(headers["Content-Length"]) for headers in sent] == [size]
    assert "Expect" not in sent[0]


def test_the_user_agent(service: LocalService, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user agent names rekolabels and what the user adds."""

    def text(config: Config | None = None) -> str:
        client = rekolabels.Client(service.session(), config=config)
        sent = sent_by(client._connection.rekognition.client)
        list(client.projects())
        return sent[0]["User-Agent"].decode()

    ours, theirs = f"rekolabels/{rekolabels.__version__} Boto3/{boto3.__version__}", botocore.__version__
    assert text() == f"{ours} Botocore/{theirs}"
    assert text(Config(user_agent_extra="our-app/2")) == f"{ours} Botocore/{theirs} our-app/2"
    named = Config(user_agent_appid="bakery")  # type: ignore[call-arg] # the stubs do not know it yet
    assert text(named) == f"{ours} app/bakery Botocore/{theirs}"
    monkeypatch.setenv("AWS_SDK_UA_APP_ID", "dairy")
    assert text() == f"{ours} app/dairy Botocore/{theirs}"
