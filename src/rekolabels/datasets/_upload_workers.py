"""Sending many files to S3: by threads, and by further processes where the user allows them.

botocore works for about a millisecond on each small object, and one Python process does one such thing at a
time. A helper is this module run by another interpreter: it does not import the user's program, as
multiprocessing would, and so works in notebooks and scripts alike. It opens a s3 of its own, gets
batches of parcels through its standard input, and answers with those that it could not send. The worst that a
helper can do is to be of no help: whatever it did not send is sent by the threads here.
"""

from __future__ import annotations

import itertools
import logging
import pickle
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from rekolabels._threads import map_bounded
from rekolabels.descriptions import S3Location
from rekolabels.errors import InvalidImage, RekolabelsError

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Generator, Iterator

    from rekolabels._aws._s3 import S3, S3Settings

__all__ = ["Parcel", "helped", "send_all"]

_THREADS = 32
_PAYS_FROM = 500
"""Files; to start a helper takes as long as to send some hundreds."""
_MOST_AT_ONCE = 64

_log = logging.getLogger("rekolabels")


@attrs.frozen
class Parcel:
    """A file on its way to S3."""

    place: S3Location
    path: str
    content_type: str

    def send(self, s3: S3) -> None:
        """Send it.

        Raises:
            InvalidImage: The file cannot be read any more.
        """
        try:
            content = Path(self.path).read_bytes()
        except OSError as error:
            raise InvalidImage(f"{self.path}: cannot be read: {error.strerror or error}") from error
        s3.put(self.place, content, content_type=self.content_type)


def send_all(s3: S3, parcels: deque[Parcel], *, on_sent: Callable[[int], object]) -> None:
    """Send parcels until none is left."""
    for _ in map_bounded(lambda parcel: parcel.send(s3), _taken(parcels), workers=_THREADS):
        on_sent(1)


@contextmanager
def helped(s3: S3, parcels: deque[Parcel], *, on_sent: Callable[[int], object]) -> Generator[None]:
    """Let further processes send from the same parcels; put back what they could not send."""
    settings = s3.settings
    if s3.processes == 1 or settings is None or len(parcels) < _PAYS_FROM or not sys.executable:
        yield
        return
    helpers = [_start() for _ in range(s3.processes - 1)]
    threads = [
        threading.Thread(target=_feed, args=(helper, settings, parcels, on_sent), name="rekolabels-helper")
        for helper in helpers
    ]
    for thread in threads:
        thread.start()
    try:
        yield
        for thread in threads:
            thread.join()
    finally:
        for helper in helpers:
            helper.kill()
        for thread in threads:
            thread.join()
        for helper in helpers:
            helper.communicate()


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 -- this module and interpreter
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _feed(
    helper: subprocess.Popen[bytes],
    settings: S3Settings,
    parcels: deque[Parcel],
    on_sent: Callable[[int], object],
) -> None:
    """Give a helper batches until nothing is left or it fails."""
    assert helper.stdin is not None and helper.stdout is not None  # noqa: S101, PT018 -- both are pipes
    batch: list[Parcel] = []
    try:
        pickle.dump(settings, helper.stdin)
        helper.stdin.flush()
        pickle.load(helper.stdout)  # noqa: S301 -- our own process; it is ready
        while parcels:
            size = min(_MOST_AT_ONCE, len(parcels) // 4 + 1)
            batch = list(itertools.islice(_taken(parcels), size))
            pickle.dump(batch, helper.stdin)
            helper.stdin.flush()
            left: list[Parcel] = pickle.load(helper.stdout)  # noqa: S301 -- our own process
            on_sent(len(batch) - len(left))
            batch = left
            if left:
                break
    except (OSError, EOFError, pickle.PickleError) as error:
        _log.info("a process that helps to upload has ended: %r", error)
    parcels.extend(batch)


def _taken(parcels: deque[Parcel]) -> Iterator[Parcel]:
    """Take from parcels that others take from as well."""
    return iter(lambda: _take(parcels), None)


def _take(parcels: deque[Parcel]) -> Parcel | None:
    try:
        return parcels.popleft()
    except IndexError:
        return None


def _help() -> None:
    """Be a helper."""
    orders, answers = sys.stdin.buffer, sys.stdout.buffer
    settings: S3Settings = pickle.load(orders)  # noqa: S301 -- from the process that started this one
    s3 = settings.open()

    def answer(value: object) -> None:
        pickle.dump(value, answers)
        answers.flush()

    def try_to_send(parcel: Parcel) -> Parcel | None:
        try:
            parcel.send(s3)
        except RekolabelsError:
            return parcel
        return None

    answer("ready")
    while True:
        try:
            batch: list[Parcel] = pickle.load(orders)  # noqa: S301 -- the same
        except EOFError:
            return
        sent = map_bounded(try_to_send, batch, workers=_THREADS)
        answer([parcel for parcel in sent if parcel is not None])


if __name__ == "__main__":
    _help()
