"""A process that forks others on request, each of which runs a model and ends in the way it is told.

Importing boto3 takes longer than a whole ending; so this process does it once. It reads a line with an order
(JSON) for each child and answers with its id; ``{"wait": id}`` waits for the child and answers with its
status. The child leaves the loop and ends as any program does: at the last line, by an exception or a signal.
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

from rekolabels import Client, ModelVersion, RetryPolicy
from rekolabels.errors import RekolabelsError

if TYPE_CHECKING:
    from rekolabels.models._lease import RunningModel

STOPPED_UNDER_ME = 99
"""Exit status of a child whose model was not running although it held a lease."""


class Ended(Exception):
    """What goes wrong in a block."""


def stay(running: RunningModel, seconds: float) -> None:
    """Use the model; it must run until the lease ends, as it does when the interpreter ends meanwhile."""
    model = running.model
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        status = model.status
        if status != "RUNNING":
            running._before_call()
            sys.stderr.write(f"{model.version_name} is {status} under {os.getpid()}\n")
            os._exit(STOPPED_UNDER_ME)
        time.sleep(0.02)


def run(model: ModelVersion, ending: str, seconds: float) -> None:
    """Run a model, and end."""
    with model.running() as running:
        # Who waits for a signal gets it in this time, or has had it.
        stay(running, 20 if ending == "signal" else seconds)
        if ending == "exception":
            raise Ended
        if ending == "exit":
            sys.exit(3)
        if ending == "hard exit":
            os._exit(4)
        if ending == "fork":
            child = os.fork()
            if child == 0:
                sys.exit(5)  # through the block, which is not its own
            os.waitpid(child, 0)
            stay(running, seconds)


def end(model: ModelVersion, ending: str, seconds: float) -> None:
    """End this process in the way it was told."""
    if ending in {"thread", "daemon"}:
        how = "exception" if ending == "thread" else "return"
        length = seconds if ending == "thread" else 20
        thread = threading.Thread(target=run, args=(model, how, length), daemon=ending == "daemon")
        thread.start()
        thread.join(None if ending == "thread" else seconds)
    elif ending == "never left":
        stay(model.running().__enter__(), seconds)
    else:
        run(model, ending, seconds)


def answer(number: int) -> None:
    """Answer to an order."""
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def next_order(client: Client) -> dict[str, Any] | None:
    """Fork until a child has its order; None in the parent, at the end of all orders."""
    for line in sys.stdin:
        order: dict[str, Any] = json.loads(line)
        if "wait" in order:
            answer(os.waitpid(order["wait"], 0)[1])
            continue
        child = os.fork()
        if child == 0:
            return order
        answer(child)
    client.api.client.close()
    return None


if __name__ == "__main__":
    sdk = Client(retry=RetryPolicy(first_poll=0.01, max_poll=0.05))
    order = next_order(sdk)
    if order is not None:
        handle = ModelVersion(sdk, order["arn"], order["project"])
        with contextlib.suppress(Ended):
            try:
                end(handle, order["ending"], order["seconds"])
            except RekolabelsError:
                traceback.print_exc()
                sys.exit(1)
