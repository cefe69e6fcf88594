"""boto3 sessions and clients, configured without botocore's own retries."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import attrs

from rekolabels._arguments import invalid
from rekolabels._aws._errors import call_boto3
from rekolabels._version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import boto3
    from botocore.config import Config

__all__ = [
    "SessionSettings",
    "check_session",
    "has_given_credentials",
    "make_client",
    "make_session",
    "settings_of",
]

_MAX_CONNECTIONS = 64

# Threads may share a boto3 session, but not while one of them makes a client.
_client_lock = threading.Lock()


@attrs.frozen
class SessionSettings:
    """What a session is made from, in this or another process; contains no credentials."""

    profile_name: str | None
    """Profile in the AWS configuration of the machine; None for the default."""
    region_name: str | None


def check_session(session: object) -> None:
    """Check that a value is a boto3 session, or None."""
    import boto3

    if session is None or isinstance(session, boto3.Session):
        return
    if isinstance(session, str):
        fix = f"To give a bucket, use `Client(bucket={session!r})`."
    elif hasattr(session, "meta"):
        fix = "Give the session that the boto3 client was made by: `Client(boto3.Session())`."
    elif callable(getattr(session, "client", None)):
        fix = "For an embedded service, use `service.client(bucket=...)`."
    else:
        fix = ""
    raise invalid("session", session, "a boto3 session, or None", fix)


def make_session(settings: SessionSettings) -> boto3.Session:
    """Return a session with boto3's credential chain.

    Raises:
        NoCredentials: The profile does not exist.
    """
    import boto3

    return call_boto3(
        "Client", boto3.Session, profile_name=settings.profile_name, region_name=settings.region_name
    )


def settings_of(session: boto3.Session) -> SessionSettings | None:
    """Return the settings for an equal session in another process.

    None for a session that exists in one process only, such as that of an embedded service.
    """
    import boto3

    if type(session) is not boto3.Session:
        return None
    profile = session.profile_name
    return SessionSettings(None if profile == "default" else profile, session.region_name)


def has_given_credentials(session: boto3.Session) -> bool:
    """Return whether the credentials were given in code, so that another process would not find them."""
    found = session.get_credentials()
    return found is not None and found.method == "explicit"


def make_client(
    session: boto3.Session, service: str, *, region_name: str | None, config: Config | None = None
) -> Any:
    """Return a boto3 client that makes each call once; ``RetryPolicy`` decides on retries.

    Raises:
        NoRegion: No Region is set.
    """
    from botocore.config import Config

    base = Config(
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=_MAX_CONNECTIONS,
        user_agent=_user_agent(getattr(config, "user_agent_appid", None)),
    )
    merged = base if config is None else base.merge(config)
    # The stubs of boto3 have an overload for each literal service name only.
    make: Callable[..., Any] = session.client  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]

    def locked() -> Any:
        with _client_lock:
            return make(service, region_name=region_name, config=merged)

    client = call_boto3("Client", locked)
    client.meta.events.register("response-received", _check_length)
    # Last, because it undoes what a handler of botocore does.
    client.meta.events.register_last("before-call.s3", _remove_expect)
    return client


def _user_agent(app_id: str | None) -> str:
    """Return the user agent, which CloudTrail shows.

    boto3 appends the version of botocore and the user's ``Config(user_agent_extra=...)``. Its default user
    agent is longer and built twice for each call, which takes a tenth of the time of a call.
    """
    import boto3

    ours = f"rekolabels/{__version__} Boto3/{boto3.__version__}"
    app = app_id or os.environ.get("AWS_SDK_UA_APP_ID")
    return f"{ours} app/{app}" if app else ours


def _remove_expect(params: dict[str, Any], **_: object) -> None:
    """Remove ``Expect: 100-continue``, which botocore adds to every upload and costs a round trip."""
    params["headers"].pop("Expect", None)


def _check_length(response_dict: Mapping[str, Any] | None, event_name: str, **_: object) -> None:
    """Check that a response is complete.

    botocore parses an incomplete response as one without members, so that a list would appear empty. It
    checks streams (GetObject) itself, and responses to HEAD have no body.

    Raises:
        IncompleteReadError: The body is shorter than its Content-Length.
    """
    from botocore.exceptions import IncompleteReadError

    if response_dict is None or ".Head" in event_name:
        return
    body, length = response_dict["body"], response_dict["headers"].get("Content-Length")
    if isinstance(body, bytes) and length is not None and len(body) != int(length):
        raise IncompleteReadError(actual_bytes=len(body), expected_bytes=int(length))
