"""Sessions and clients of boto3, set up for rekolabels: no repetitions of botocore's own."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import attrs

from rekolabels._aws._errors import translated
from rekolabels._version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import boto3
    from botocore.config import Config

__all__ = ["SessionSettings", "has_given_credentials", "make_client", "make_session", "settings_of"]

_CONNECTIONS = 64

# boto3 sessions may be shared by threads, but not while one of them makes a client.
_making = threading.Lock()


@attrs.frozen
class SessionSettings:
    """What a session is made from, here or in another process: never credentials."""

    profile_name: str | None
    """The profile in the AWS settings of the machine; None for the default."""
    region_name: str | None


def make_session(settings: SessionSettings) -> boto3.Session:
    """Make a session with boto3's own credential chain.

    Raises:
        NoCredentials: The profile does not exist.
    """
    import boto3

    return translated(
        "Client", boto3.Session, profile_name=settings.profile_name, region_name=settings.region_name
    )


def settings_of(session: boto3.Session) -> SessionSettings | None:
    """Return what an equal session is made from in another process.

    None for a session that can be made in its own process only, such as that of an embedded service.
    """
    import boto3

    if type(session) is not boto3.Session:
        return None
    profile = session.profile_name
    return SessionSettings(None if profile == "default" else profile, session.region_name)


def has_given_credentials(session: boto3.Session) -> bool:
    """Whether the credentials were given in code: another process would find others, or none."""
    found = session.get_credentials()
    return found is not None and found.method == "explicit"


def make_client(
    session: boto3.Session, service: str, *, region_name: str | None, config: Config | None = None
) -> Any:
    """Make a client of a service that makes each call once: repeating is the matter of ``RetryPolicy``.

    Raises:
        NoRegion: No Region is set.
    """
    from botocore.config import Config

    once = Config(
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=_CONNECTIONS,
        user_agent=_user_agent(getattr(config, "user_agent_appid", None)),
    )
    merged = once if config is None else once.merge(config)
    # The stubs of boto3 know each service by its literal name only.
    make: Callable[..., Any] = session.client  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]

    def locked() -> Any:
        with _making:
            return make(service, region_name=region_name, config=merged)

    client = translated("Client", locked)
    client.meta.events.register("response-received", _check_length)
    # the last of them: it takes back what one of botocore's own does
    client.meta.events.register_last("before-call.s3", _send_at_once)
    return client


def _user_agent(app_id: str | None) -> str:
    """Say who calls, as CloudTrail will show it.

    boto3 adds the version of botocore and the user's ``Config(user_agent_extra=...)``. Left to itself it
    would put together a longer text, twice for each call, which is a tenth of its work.
    """
    import boto3

    ours = f"rekolabels/{__version__} Boto3/{boto3.__version__}"
    app = app_id or os.environ.get("AWS_SDK_UA_APP_ID")
    return f"{ours} app/{app}" if app else ours


def _send_at_once(params: dict[str, Any], **_: object) -> None:
    """Do not ask for leave to send a body.

    botocore makes a stream of every object that S3 gets, and asks before it sends a stream (``Expect:
    100-continue``): one more round trip for each.
    """
    params["headers"].pop("Expect", None)


def _check_length(response_dict: Mapping[str, Any] | None, event_name: str, **_: object) -> None:
    """See that an answer is whole.

    botocore takes the half of an answer that broke off for an answer without members: a list would look empty
    and a dataset small. It checks what it streams (GetObject), and answers to HEAD have no body.
    """
    from botocore.exceptions import IncompleteReadError

    if response_dict is None or ".Head" in event_name:
        return
    body, length = response_dict["body"], response_dict["headers"].get("Content-Length")
    if isinstance(body, bytes) and length is not None and len(body) != int(length):
        raise IncompleteReadError(actual_bytes=len(body), expected_bytes=int(length))
