"""``python -m rekolabels.local``: the embedded service for other processes and languages."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from typing import TYPE_CHECKING

from rekolabels.errors import RekolabelsError
from rekolabels.local._core._memory import keep_little
from rekolabels.local._service import LocalService

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until the process is told to end (SIGINT, SIGTERM).

    The first line of the output is the endpoint; the environment variables to set follow.
    """
    parser = argparse.ArgumentParser(
        prog="python -m rekolabels.local",
        description="Amazon Rekognition Custom Labels and S3 on this machine, behind http://127.0.0.1.",
    )
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 picks a free one")
    parser.add_argument("--workspace", help="folder that keeps everything; a temporary one when not given")
    parser.add_argument("--region", default="us-east-1", help="the AWS Region to stand for")
    parser.add_argument(
        "--verbose", action="store_true", help="log requests and trainings to the error output"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(message)s", level=logging.WARNING)
    if options.verbose:
        logging.getLogger("rekolabels.local").setLevel(logging.DEBUG)
    keep_little()
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda _number, _frame: stop.set())
    try:
        with LocalService(options.workspace, region_name=options.region) as service:
            server = service.serve(options.port)
            lines = [server.url, *(f"export {name}={value}" for name, value in server.environment.items())]
            sys.stdout.write("".join(f"{line}\n" for line in lines))
            sys.stdout.flush()
            stop.wait()
    except RekolabelsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
