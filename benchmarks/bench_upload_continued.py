"""Kill an upload of many small images midway and run it again: images sent twice, time and memory.

The endpoint is that of ``bench_upload.py``. It also stores names and sizes, lists them a thousand at a time,
and counts what it receives.

    python benchmarks/bench_upload_continued.py --files 100000
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import attrs
from bench_upload import OURS, Endpoint, environment, serve
from PIL import Image

PAGE = 1000


@attrs.define
class Stored:
    """Content of the bucket, and counts of requests."""

    sizes: dict[str, int] = attrs.field(factory=dict[str, int])
    sent_again: int = 0
    listings: int = 0

    def put(self, key: str, size: int) -> bytes:
        """Store an object."""
        self.sent_again += key in self.sizes
        self.sizes[key] = size
        return b""

    def get(self, target: str) -> bytes:
        """Return a page of the listing, or the counts."""
        parts = urlsplit(target)
        if parts.path == "/counts":
            counts = {"stored": len(self.sizes), "sent_again": self.sent_again, "listings": self.listings}
            return json.dumps(counts).encode()
        self.listings += 1
        begin = int(parse_qs(parts.query).get("continuation-token", ["0"])[0])
        page = list(self.sizes.items())[begin : begin + PAGE]
        more = begin + PAGE < len(self.sizes)
        items = "".join(f"<Contents><Key>{key}</Key><Size>{size}</Size></Contents>" for key, size in page)
        token = f"<NextContinuationToken>{begin + PAGE}</NextContinuationToken>" if more else ""
        truncated = str(more).lower()
        return (
            f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{token}{items}</ListBucketResult>"
        ).encode()


class Bucket(Endpoint):
    """An endpoint that stores names and sizes."""

    def __init__(self, stored: Stored) -> None:
        super().__init__(0)
        self.stored = stored

    def body(self, method: str, target: str, size: int) -> bytes:
        """Return the body of the answer."""
        if method == "GET":
            return self.stored.get(target)
        return self.stored.put(unquote(target).removeprefix("/benchmark/"), size)


def write_images(folder: Path, count: int) -> None:
    """Write label folders with distinct images: each has a number after its last chunk."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (230, 160, 30)).save(buffer, "png")
    for label in ("amber", "blue"):
        (folder / label).mkdir()
    for number in range(count):
        label = ("amber", "blue")[number % 2]
        (folder / label / f"{number:06}.png").write_bytes(buffer.getvalue() + b"%06d" % number)


def counts(port: str) -> dict[str, int]:
    """Return the counts of the endpoint."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/counts") as answer:
        found: dict[str, int] = json.load(answer)
    return found


def run(folder: Path, port: str, *, until: int | None) -> str:
    """Upload; kill the process when ``until`` objects are stored. Return time and memory."""
    began = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603 -- our own command
        [sys.executable, "-c", OURS, str(folder), "2"], env=environment(port)
    )
    while until is not None and counts(port)["stored"] < until:
        time.sleep(0.05)
    if until is not None:
        process.kill()
    _, status, usage = os.wait4(process.pid, 0)
    assert until is not None or status == 0
    return f"{time.perf_counter() - began:.0f} s, at most {usage.ru_maxrss / 2**10:.0f} MB"


def main() -> None:
    """Upload half, kill, upload the rest, then upload again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        stored = Stored()
        asyncio.run(serve(lambda: Bucket(stored)))
        return
    command = [sys.executable, __file__, "--serve"]
    with (
        tempfile.TemporaryDirectory() as scratch,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,  # noqa: S603 -- this file
    ):
        try:
            folder = Path(scratch)
            write_images(folder, options.files)
            assert server.stdout is not None
            port = server.stdout.readline().strip()
            for name, until in (("killed", options.files // 2), ("continued", None), ("again", None)):
                before = counts(port)["stored"]
                took = run(folder, port, until=until)
                now = counts(port)
                print(
                    f"{name}: {now['stored'] - before:,} of {options.files:,} images sent, "
                    f"{now['sent_again']} twice so far, {now['listings']} pages listed so far; {took}"
                )
            assert now["stored"] == options.files
            assert now["sent_again"] == 0
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
