"""Test the embedded service with other clients: the AWS CLI, the SDK for JavaScript, web pages and S3 tools.

``make conformance`` installs what PyPI and npm have beside the project, and runs this. Each client gets a
``rekolabels serve`` of its own. The AWS CLI and the SDK run all steps of a project with their own waiters
and paginators: bucket, upload, datasets, training, start, detect, stop, delete. Web pages call Rekognition
and S3 from headless Chromium. s3cmd, rclone and s3fs use S3. A client that is not installed is skipped, with
a reason.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Literal

import attrs

sys.path.append(str(Path(__file__).parents[1]))

from chromium import CHROMIUM

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = Path(__file__).parent
LABELS = ("dark", "stripes")
SIDE = 64


@attrs.frozen
class Client:
    """A program that uses the service."""

    name: str
    command: tuple[str, ...]
    """The command; the data folder is appended."""
    missing: str = ""
    """Why the client cannot run here; empty if it can."""


def clients(tools: Path) -> list[Client]:
    """Return the clients, and why some cannot run here."""
    aws = tools / "cli" / "bin" / "aws"
    s3fs = tools / "s3fs" / "bin" / "python"
    node = which("node")
    sdk = node and (tools / "node" / "node_modules").is_dir()
    return [
        driven("AWS CLI", "drive_cli.py", aws.exists() and aws, "make conformance installs it"),
        Client(
            "AWS SDK for JavaScript",
            (node or "node", str(HERE / "drive_sdk.mjs"), str(tools / "node")),
            "" if sdk else "install Node.js 20 with npm, then remove .conformance",
        ),
        driven("Web pages in Chromium", "drive_browser.py", CHROMIUM, "install chromium"),
        driven("s3cmd", "drive_s3cmd.py", which("s3cmd"), "install s3cmd (Debian: apt-get install s3cmd)"),
        driven(
            "rclone", "drive_rclone.py", which("rclone"), "install rclone (Debian: apt-get install rclone)"
        ),
        Client(
            "s3fs",
            (str(s3fs), str(HERE / "drive_s3fs.py")),
            "" if s3fs.exists() else "make conformance installs it",
        ),
    ]


def driven(name: str, driver: str, program: Path | str | Literal[False] | None, how: str) -> Client:
    """Return a client that a driver of this folder runs by its program."""
    return Client(name, (sys.executable, str(HERE / driver), str(program)), "" if program else how)


def main() -> int:
    """Run each client with a new service, and report; return 0 if none failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tools", type=Path, required=True, help="folder with cli/, s3fs/ and node/")
    results: dict[str, str] = {}
    for client in clients(parser.parse_args().tools.absolute()):
        if client.missing:
            results[client.name] = f"skipped: {client.missing}"
        else:
            results[client.name] = "passed" if drive(client.name, client.command) else "FAILED"
    for name, result in results.items():
        sys.stdout.write(f"{name}: {result}\n")
    return 1 if "FAILED" in results.values() else 0


def drive(name: str, command: Sequence[str]) -> bool:
    """Run one client and return whether it succeeded."""
    sys.stdout.write(f"== {name}\n")
    sys.stdout.flush()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        write_data(Path(folder) / "data")
        with service(Path(folder) / "workspace") as environment:
            result = subprocess.run(  # noqa: S603 - the commands above
                [*command, str(Path(folder) / "data")], env=os.environ | environment, check=False
            )
    sys.stdout.write(f"== {name}: {time.monotonic() - start:.1f} s, status {result.returncode}\n")
    return result.returncode == 0


@contextmanager
def service(workspace: Path) -> Iterator[dict[str, str]]:
    """Start the service in a process of its own and yield the environment variables that it prints."""
    command = [sys.executable, "-m", "rekolabels", "serve", "--workspace", str(workspace)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own
        assert process.stdout is not None
        process.stdout.readline()
        environment = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
        while "AWS_EC2_METADATA_DISABLED" not in environment:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("The service ended while it started; see its output above.")
            name, _, value = line.strip().removeprefix("export ").partition("=")
            environment[name] = value
        try:
            yield environment
        finally:
            process.terminate()


def write_data(folder: Path) -> None:
    """Write pictures of two labels, and two manifests that refer to them in the bucket ``puppies``."""
    for kind, count in (("train", 6), ("test", 2)):
        lines: list[str] = []
        for label in LABELS:
            for number in range(count):
                path = folder / kind / label / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(picture(label, f"{kind}{number}"))
                lines.append(manifest_line(f"s3://puppies/images/{kind}/{label}/{number}.png", label))
        (folder / f"{kind}.manifest").write_text("\n".join(lines), encoding="utf-8")


def manifest_line(uri: str, label: str) -> str:
    """Return a manifest line with one image-level label."""
    metadata = {
        "class-name": label,
        "confidence": 1,
        "type": "groundtruth/image-classification",
        "human-annotated": "yes",
        "creation-date": "2024-03-01T09:30:00",
        "job-name": f"labeling-job/{label}",
    }
    return json.dumps({"source-ref": uri, label: 1, f"{label}-metadata": metadata})


def picture(label: str, seed: str) -> bytes:
    """Return a PNG that is dark or has stripes, with noise that depends on the seed."""
    noise = random.Random(f"{label}/{seed}")  # noqa: S311 - pictures, not secrets
    rows = bytearray()
    for y in range(SIDE):
        rows.append(0)
        for _ in range(SIDE):
            grey = noise.randrange(20) + (200 if label == "stripes" and y % 8 < SIDE // 16 else 0)
            rows += bytes((grey, grey, grey))
    head = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(bytes(rows))), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def chunk(name: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


if __name__ == "__main__":
    sys.exit(main())
