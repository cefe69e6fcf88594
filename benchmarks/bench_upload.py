"""Compare upload throughput with ``aws s3 cp --recursive``, against the same endpoint in the same run.

The endpoint is a separate process that discards objects: the embedded service takes as long to store an
object as a client takes to send it, which would hide the difference. It adds latency to each answer. Both
clients are measured as whole processes; ours also opens and hashes every image.

The AWS CLI is taken from ``.conformance`` (``make conformance``) or from the path.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

SIDE = 182
"""Side in pixels: RGB noise, 100 kB uncompressed."""
TARGETS = {0.0: 2.0, 0.03: 4.0}
"""Target ratio to the CLI's files per second, by seconds of latency."""
EMPTY = b"<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>"
OURS = """
import sys
from rekolabels import Client
from rekolabels.datasets._image_checks import check_images
from rekolabels.datasets._uploads import upload
from rekolabels.formats import read_folder

if __name__ == "__main__":
    client = Client(bucket="benchmark", upload_processes=int(sys.argv[2]))
    checked = check_images(list(read_folder(sys.argv[1])), "Cannot upload", convert=False)
    upload(list(checked.local.values()), client._connection.s3, "benchmark", "")
"""


class Endpoint(asyncio.Protocol):
    """The part of S3 that uploads use."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.head = b""
        self.left = self.length = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Parse request heads and skip bodies; clients do not pipeline."""
        if self.left:
            self.left -= len(data)
        else:
            self.head += data
            head, end, rest = self.head.partition(b"\r\n\r\n")
            if not end:
                return
            length = re.search(rb"\ncontent-length: *(\d+)", head, re.IGNORECASE)
            self.length = 0 if length is None else int(length[1])
            self.left = self.length - len(rest)
            if self.left and re.search(rb"\nexpect: *100", head, re.IGNORECASE):
                self.answer(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self.left == 0:
            method, target, _ = self.head.split(maxsplit=2)
            body = self.body(method.decode(), target.decode(), self.length)
            self.head = b""
            self.answer(b'HTTP/1.1 200 OK\r\nETag: "0"\r\nContent-Length: %d\r\n\r\n%s' % (len(body), body))

    def body(self, method: str, target: str, size: int) -> bytes:  # noqa: ARG002 -- for subclasses
        """Return the body of the answer; the bucket is always empty."""
        return EMPTY if method == "GET" else b""

    def answer(self, data: bytes) -> None:
        """Write data after the latency."""
        asyncio.get_running_loop().call_later(self.delay, self.transport.write, data)


async def serve(endpoint: Callable[[], Endpoint]) -> None:
    """Listen on a free port, and print it."""
    server = await asyncio.get_running_loop().create_server(endpoint, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def write_images(folder: Path, count: int) -> None:
    """Write label folders with noise images."""
    random = np.random.default_rng(0)
    for number in range(count):
        pixels = random.integers(0, 256, (SIDE, SIDE, 3), dtype="uint8")
        path = folder / f"label-{number % 2}" / f"{number:05}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path, compress_level=0)


def environment(port: str) -> dict[str, str]:
    """Return environment variables that point a process at the endpoint."""
    return os.environ | {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_SECRET_ACCESS_KEY": "benchmark",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
    }


def files_a_second(command: list[str], count: int, port: str) -> float:
    """Run an upload and return its files per second."""
    began = time.perf_counter()
    subprocess.run(command, env=environment(port), check=True, stdout=subprocess.DEVNULL)  # noqa: S603 -- our own commands
    return count / (time.perf_counter() - began)


def compare(folder: Path, count: int, delay: float, cli: str, rounds: int) -> None:
    """Measure all clients alternately and print the medians."""
    command = [sys.executable, __file__, "--serve", str(delay)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 -- this file
        try:
            assert server.stdout is not None
            port = server.stdout.readline().strip()
            peers = {
                "aws": [cli, "s3", "cp", "--recursive", "--quiet", str(folder), "s3://benchmark/"],
                "one": [sys.executable, "-c", OURS, str(folder), "1"],
                "two": [sys.executable, "-c", OURS, str(folder), "2"],
            }
            seen: dict[str, list[float]] = {name: [] for name in peers}
            for _ in range(rounds):
                for name, peer in peers.items():
                    seen[name].append(files_a_second(peer, count, port))
        finally:
            server.terminate()
    aws, one, two = (float(np.median(seen[name])) for name in peers)
    print(
        f"latency {delay * 1000:.0f} ms: {two:.0f} files/s from two processes, {one:.0f} from one, aws s3 cp "
        f"{aws:.0f}: {two / aws:.1f} and {one / aws:.1f} times (target {TARGETS[delay]:.0f})"
    )


def main() -> None:
    """Measure with and without latency."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        asyncio.run(serve(lambda: Endpoint(options.serve)))
        return
    own = Path(__file__).parents[1] / ".conformance" / "cli" / "bin" / "aws"
    cli = str(own) if own.exists() else shutil.which("aws")
    if cli is None:
        print("skipped: the AWS CLI is not there; 'make conformance' brings it")
        return
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), options.files)
        for delay in TARGETS:
            compare(Path(folder), options.files, delay, cli, options.rounds)


if __name__ == "__main__":
    main()
