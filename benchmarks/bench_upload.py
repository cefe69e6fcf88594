"""How many images a second are uploaded, against ``aws s3 cp --recursive`` and the same endpoint in one run.

The endpoint is a process of its own that takes objects and forgets them: the S3 of the embedded service needs
as much time to store an object as a client needs to send it, and would hide the difference. Latency is added
to each of its answers. Both sides are measured as processes, from their start to their end; ours also opens
and hashes every image.

The AWS CLI is looked for in ``.conformance`` (``make conformance``) and on the path.
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
"""Pixels: noise in three colours, 100 kB uncompressed."""
TARGETS = {0.0: 2.0, 0.03: 4.0}
"""Seconds of latency, and how many times as many files a second as the CLI."""
EMPTY = b"<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>"
OURS = """
import sys
from rekolabels import Client
from rekolabels.datasets._uploads import check_images, upload
from rekolabels.formats import read_folder

if __name__ == "__main__":
    client = Client(bucket="benchmark", upload_processes=int(sys.argv[2]))
    upload(check_images(read_folder(sys.argv[1])), client._connection.s3, "benchmark", "")
"""


class Endpoint(asyncio.Protocol):
    """S3, as far as uploads go."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.head = b""
        self.left = self.length = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Read heads, and count bodies; the clients send one request after the other."""
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

    def body(self, method: str, target: str, size: int) -> bytes:  # noqa: ARG002 -- for those that remember
        """Answer a request that came in whole: nothing is ever there."""
        return EMPTY if method == "GET" else b""

    def answer(self, data: bytes) -> None:
        """Write after the latency."""
        asyncio.get_running_loop().call_later(self.delay, self.transport.write, data)


async def serve(endpoint: Callable[[], Endpoint]) -> None:
    """Listen, and tell where."""
    server = await asyncio.get_running_loop().create_server(endpoint, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def write_images(folder: Path, count: int) -> None:
    """Write label folders with noise."""
    random = np.random.default_rng(0)
    for number in range(count):
        pixels = random.integers(0, 256, (SIDE, SIDE, 3), dtype="uint8")
        path = folder / f"label-{number % 2}" / f"{number:05}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path, compress_level=0)


def environment(port: str) -> dict[str, str]:
    """Tell the settings with which a process meets the endpoint, and no AWS."""
    return os.environ | {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_SECRET_ACCESS_KEY": "benchmark",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
    }


def files_a_second(command: list[str], count: int, port: str) -> float:
    """Run an upload against an endpoint."""
    began = time.perf_counter()
    subprocess.run(command, env=environment(port), check=True, stdout=subprocess.DEVNULL)  # noqa: S603 -- our own commands
    return count / (time.perf_counter() - began)


def compare(folder: Path, count: int, delay: float, cli: str, rounds: int) -> None:
    """Measure all, in turns, and print the medians."""
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
    """Measure without latency and with it."""
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
