"""``rekolabels serve``: the embedded service for other processes and languages, until a signal ends it."""

from __future__ import annotations

import json
import logging
import shlex
import signal
import sys
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from rekolabels.errors import InvalidInput
from rekolabels.local._core._memory import limit_retained_memory
from rekolabels.local._service import LocalService

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

__all__ = ["serve"]


def serve(
    workspace: str | os.PathLike[str] | None,
    *,
    region_name: str,
    port: int,
    host: str,
    token_file: str | os.PathLike[str] | None,
    allowed_hosts: Sequence[str],
    verbose: bool,
    as_json: bool,
) -> None:
    """Serve until the process receives SIGINT, SIGTERM, SIGHUP or SIGQUIT.

    Prints the endpoint and the environment variables for AWS tools: the first line is the endpoint, the
    others export the variables.

    Args:
        workspace: Folder for all data; None for a temporary one.
        region_name: The AWS Region to emulate.
        port: The port; 0 for a free one.
        host: The IP address to listen on.
        token_file: File with the access token; None to serve every program that reaches the port.
        allowed_hosts: The host names that clients use, besides localhost.
        verbose: Log requests and trainings to standard error.
        as_json: Print an object instead of lines, with ``url`` and ``environment``.

    Raises:
        InvalidInput: The service cannot start.
        MissingExtra: The extra ``local`` is not installed.
    """
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(message)s", level=logging.WARNING)
    if verbose:
        logging.getLogger("rekolabels.local").setLevel(logging.DEBUG)
    limit_retained_memory()
    stop: SimpleQueue[None] = SimpleQueue()  # an Event that a signal handler sets can wait for itself
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"):  # Windows has only the first two
        number = getattr(signal, name, None)
        if number is None or (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):  # nohup
            continue
        signal.signal(number, lambda _number, _frame: stop.put(None))
    with LocalService(workspace, region_name=region_name) as service:
        server = service.serve(
            port,
            host=host,
            token=None if token_file is None else _read_token(token_file),
            allowed_hosts=allowed_hosts,
        )
        variables = dict(server.environment)
        if token_file is not None:  # what is printed may be kept as a log
            if as_json:
                del variables["AWS_ACCESS_KEY_ID"]
            else:
                variables["AWS_ACCESS_KEY_ID"] = f'"$(cat {shlex.quote(str(token_file))})"'
        if as_json:
            text = json.dumps({"url": server.url, "environment": variables}, indent=1)
        else:
            text = "\n".join([server.url, *(f"export {name}={value}" for name, value in variables.items())])
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
        stop.get()


def _read_token(path: str | os.PathLike[str]) -> str:
    """Read the access token; no message contains what is in the file."""
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except UnicodeDecodeError:
        reason = "it is not ASCII text"
    except OSError as error:
        reason = error.strerror or "it cannot be read"
    raise InvalidInput(f"Cannot read the access token from {path}: {reason}.")
