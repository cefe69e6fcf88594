"""Command ``python -m rekolabels.local``: serve the embedded service to other processes and languages."""

from __future__ import annotations

import argparse
import logging
import shlex
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from rekolabels.errors import InvalidInput, RekolabelsError
from rekolabels.local._core._memory import limit_retained_memory
from rekolabels.local._service import LocalService

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until the process receives SIGINT, SIGTERM, SIGHUP or SIGQUIT.

    The first line of the output is the endpoint; the others export the environment variables for AWS tools.

    Args:
        arguments: The command line; by default that of the process.

    Returns:
        The exit status: 2 when the service cannot start.
    """
    parser = argparse.ArgumentParser(
        prog="python -m rekolabels.local",
        description="Serve Amazon Rekognition Custom Labels and S3 on http://127.0.0.1.",
    )
    parser.add_argument("--port", type=int, default=0, help="port (default: 0, a free one)")
    parser.add_argument("--workspace", help="folder for all data (default: a temporary one)")
    parser.add_argument("--region", default="us-east-1", help="AWS Region to emulate (default: %(default)s)")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="IP address to listen on (default: %(default)s); one that other machines can reach, such as "
        "0.0.0.0, requires --token-file and --allow-host",
    )
    parser.add_argument(
        "--token-file",
        help="file with the access token, at least 32 characters, which clients send as their access key ID",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME[,NAME]",
        help="host names that clients use, besides localhost",
    )
    parser.add_argument("--verbose", action="store_true", help="log requests and trainings to stderr")
    options = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(message)s", level=logging.WARNING)
    if options.verbose:
        logging.getLogger("rekolabels.local").setLevel(logging.DEBUG)
    limit_retained_memory()
    stop = threading.Event()
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"):  # Windows has only the first two
        number = getattr(signal, name, None)
        if number is None or (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):  # nohup
            continue
        signal.signal(number, lambda _number, _frame: stop.set())
    try:
        with LocalService(options.workspace, region_name=options.region) as service:
            server = service.serve(
                options.port,
                host=options.host,
                token=None if options.token_file is None else _read_token(options.token_file),
                allowed_hosts=[name for names in options.allow_host for name in names.split(",")],
            )
            variables = dict(server.environment)
            if options.token_file is not None:  # what is printed may be kept as a log
                variables["AWS_ACCESS_KEY_ID"] = f'"$(cat {shlex.quote(options.token_file)})"'
            lines = [server.url, *(f"export {name}={value}" for name, value in variables.items())]
            sys.stdout.write("".join(f"{line}\n" for line in lines))
            sys.stdout.flush()
            stop.wait()
    except RekolabelsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _read_token(path: str) -> str:
    """Read the access token; no message contains what is in the file."""
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except UnicodeDecodeError:
        reason = "it is not ASCII text"
    except OSError as error:
        reason = error.strerror or "it cannot be read"
    raise InvalidInput(f"Cannot read the access token from {path}: {reason}.")


if __name__ == "__main__":
    sys.exit(main())
