"""Upload of many files to S3, by threads and optionally by worker processes.

botocore spends about a millisecond of CPU time on each small object, and one Python process does only one
such thing at a time. A worker is another interpreter that runs this module. Unlike a child of multiprocessing
it does not import the user's program, so it works in notebooks and scripts alike. It opens its own connection
to S3, reads batches of upload tasks from its standard input, and answers with the tasks that failed. Failed
tasks are done by the threads of this process, so a worker can slow an upload down but not make it fail.
"""

from __future__ import annotations

import itertools
import logging
import pickle
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
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

__all__ = ["UploadTask", "upload_all", "worker_processes"]

_THREADS = 32
_MIN_FILES = 500
"""Files below which workers are not started: a start takes as long as the upload of several hundred files."""
_MAX_BATCH = 64

_log = logging.getLogger("rekolabels")


@attrs.frozen
class UploadTask:
    """A file to upload."""

    location: S3Location
    path: str
    content_type: str
    converts: bool = False
    """Whether to convert the image first."""

    def run(self, s3: S3) -> None:
        """Upload the file (PutObject).

        Raises:
            InvalidImage: The file can no longer be read or converted.
        """
        try:
            content = Path(self.path).read_bytes()
        except OSError as error:
            raise InvalidImage(f"{self.path}: cannot read the file: {error.strerror or error}") from error
        if self.converts:
            from rekolabels.datasets._conversion import convert

            try:
                content = convert(content)
            except InvalidImage as error:
                raise InvalidImage(f"{self.path}: {error}") from error
        s3.put(self.location, content, content_type=self.content_type)


def upload_all(s3: S3, tasks: deque[UploadTask], *, on_uploaded: Callable[[int], object]) -> None:
    """Run upload tasks with threads until none is left.

    Args:
        s3: The gateway.
        tasks: The tasks, from which worker processes may take as well.
        on_uploaded: Called with the number of files that were uploaded.
    """
    uploads = map_bounded(lambda task: task.run(s3), _take_all(tasks), workers=_THREADS)
    with closing(uploads):
        for _ in uploads:
            on_uploaded(1)


@contextmanager
def worker_processes(
    s3: S3, tasks: deque[UploadTask], *, on_uploaded: Callable[[int], object]
) -> Generator[None]:
    """Let worker processes run tasks during the block, and put failed tasks back into ``tasks``.

    Does nothing if the client has one upload process, workers could not find its credentials, or there are
    few files.
    """
    settings = s3.settings
    if s3.processes == 1 or settings is None or len(tasks) < _MIN_FILES or not sys.executable:
        yield
        return
    workers = [_start_worker() for _ in range(s3.processes - 1)]
    threads = [
        threading.Thread(target=_feed, args=(worker, settings, tasks, on_uploaded), name="rekolabels-upload")
        for worker in workers
    ]
    for thread in threads:
        thread.start()
    try:
        yield
        for thread in threads:
            thread.join()
    finally:
        for worker in workers:
            worker.kill()
        for thread in threads:
            thread.join()
        for worker in workers:
            worker.communicate()


def _start_worker() -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 -- this module and interpreter
        [sys.executable, "-P", "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _feed(
    worker: subprocess.Popen[bytes],
    settings: S3Settings,
    tasks: deque[UploadTask],
    on_uploaded: Callable[[int], object],
) -> None:
    """Send batches to a worker until no task is left or the worker fails."""
    assert worker.stdin is not None and worker.stdout is not None  # noqa: S101, PT018 -- both are pipes
    batch: list[UploadTask] = []
    try:
        pickle.dump(settings, worker.stdin)
        worker.stdin.flush()
        pickle.load(worker.stdout)  # noqa: S301 -- our own process is ready
        while tasks:
            size = min(_MAX_BATCH, len(tasks) // 4 + 1)
            batch = list(itertools.islice(_take_all(tasks), size))
            pickle.dump(batch, worker.stdin)
            worker.stdin.flush()
            failed: list[UploadTask] = pickle.load(worker.stdout)  # noqa: S301 -- our own process
            on_uploaded(len(batch) - len(failed))
            batch = failed
            if failed:
                break
    except (OSError, EOFError, pickle.PickleError) as error:
        _log.info("An upload worker ended: %r. Its files are uploaded by this process.", error)
    tasks.extend(batch)


def _take_all(tasks: deque[UploadTask]) -> Iterator[UploadTask]:
    """Take tasks until none is left; other threads take from the same tasks."""
    return iter(lambda: _take(tasks), None)


def _take(tasks: deque[UploadTask]) -> UploadTask | None:
    try:
        return tasks.popleft()
    except IndexError:
        return None


def _run_worker() -> None:
    """Run the worker: settings and batches from standard input, failed tasks to standard output."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    settings: S3Settings = pickle.load(requests)  # noqa: S301 -- from the process that started this one
    s3 = settings.open()

    def answer(value: object) -> None:
        pickle.dump(value, answers)
        answers.flush()

    def run(task: UploadTask) -> UploadTask | None:
        """Upload a file; return the task if that failed."""
        try:
            task.run(s3)
        except RekolabelsError:
            return task
        return None

    answer("ready")
    while True:
        try:
            batch: list[UploadTask] = pickle.load(requests)  # noqa: S301 -- the same
        except EOFError:
            return
        results = map_bounded(run, batch, workers=_THREADS)
        answer([task for task in results if task is not None])


if __name__ == "__main__":
    _run_worker()
