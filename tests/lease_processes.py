"""A process that forks children on request; each runs a model and ends in a given way.

Importing boto3 takes longer than starting and ending a child, so this process does it once. It reads one JSON
request per line. For each child it answers with the process id; for ``{"wait": id}`` it waits for the child
and answers with its wait status. A child with ``"ending": "sweep"`` sweeps with a clock by which the leases
of all other processes have expired. Another child leaves the loop and ends as any program does: at its last
line, by an exception or by a signal.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

import attrs

from rekolabels import Client, ModelVersion, RetryPolicy
from rekolabels.errors import RekolabelsError

if TYPE_CHECKING:
    from rekolabels.models import RunningModel

MODEL_NOT_RUNNING = 99
"""Exit status of a child whose model was not running although it held a lease."""


TIMEOUT = float(os.environ.get("REKOLABELS_LEASE_TIMEOUT", "60"))
"""Seconds that a child waits for a start or a stop, such as one that a dead process announced."""


class BlockError(Exception):
    """Raised in a block that ends by an exception."""


def use(running: RunningModel, seconds: float) -> None:
    """Use the model, which must run until the lease ends (as it does if the interpreter exits meanwhile)."""
    model = running.model
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        status = model.status
        if status != "RUNNING":
            running._before_call()
            if "REKOLABELS_LEASE_TIMEOUT" in os.environ:
                return  # an early sweep may stop it
            sys.stderr.write(f"{model.version_name} is {status} in process {os.getpid()}\n")
            os._exit(MODEL_NOT_RUNNING)
        time.sleep(0.02)


def run(model: ModelVersion, ending: str, seconds: float) -> None:
    """Run a model, and end the block in a given way."""
    with model.running(timeout=TIMEOUT) as running:
        # A signal arrives within 20 seconds, or has arrived already.
        use(running, 20 if ending == "signal" else seconds)
        if ending == "exception":
            raise BlockError
        if ending == "exit":
            sys.exit(3)
        if ending == "hard exit":
            os._exit(4)
        if ending == "fork":
            child = os.fork()
            if child == 0:
                sys.exit(5)  # leaves the block, which belongs to its parent
            os.waitpid(child, 0)
            use(running, seconds)


def end(model: ModelVersion, ending: str, seconds: float) -> None:
    """End this process in a given way."""
    if ending in {"thread", "daemon"}:
        block_ending = "exception" if ending == "thread" else "return"
        duration = seconds if ending == "thread" else 20
        thread = threading.Thread(target=run, args=(model, block_ending, duration), daemon=ending == "daemon")
        thread.start()
        thread.join(None if ending == "thread" else seconds)
    elif ending == "never left":
        use(model.running().__enter__(), seconds)
    else:
        run(model, ending, seconds)


def answer(number: int) -> None:
    """Answer a request."""
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def next_request(client: Client) -> dict[str, Any] | None:
    """Return the request in each forked child; None in the parent after the last request."""
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        if "wait" in request:
            answer(os.waitpid(request["wait"], 0)[1])
            continue
        child = os.fork()
        if child == 0:
            return request
        answer(child)
    client._connection.rekognition.client.close()
    return None


if __name__ == "__main__":
    quick = RetryPolicy(first_poll=0.01, max_poll=0.05, first_delay=0.01, max_delay=0.1, attempts=4)
    sdk = Client(retry=quick)
    request = next_request(sdk)
    if request is not None:
        handle = ModelVersion(sdk._connection, request["arn"], request["project"])
        with contextlib.suppress(BlockError):
            try:
                if request["ending"] == "sweep":
                    early = attrs.evolve(quick, time=lambda: time.time() + 1000)
                    Client(retry=early).sweep(wait=request["seconds"] > 0.2, timeout=TIMEOUT)
                    sys.exit(0)
                end(handle, request["ending"], request["seconds"])
            except RekolabelsError:
                traceback.print_exc()
                sys.exit(1)
