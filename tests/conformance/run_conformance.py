"""Test the embedded service with other clients: the AWS CLI, and the SDK for JavaScript on Node.js.

``make conformance`` installs both beside the project and runs this. Against ``rekolabels serve``,
each client runs all steps of a project with its own waiters and paginators: bucket, upload, datasets,
training, start, detect, stop, delete.
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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
LABELS = ("dark", "stripes")
SIDE = 64


def main() -> int:
    """Run both clients, each with a new service; return 0 if both succeed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tools", type=Path, required=True, help="folder with cli/ (a venv) and node/")
    tools: Path = parser.parse_args().tools.absolute()
    clients = {
        "AWS CLI": [sys.executable, str(HERE / "drive_cli.py"), str(tools / "cli" / "bin" / "aws")],
        "AWS SDK for JavaScript": ["node", str(HERE / "drive_sdk.mjs"), str(tools / "node")],
    }
    failed = [name for name, command in clients.items() if not drive(name, command)]
    for name in clients:
        sys.stdout.write(f"{name}: {'FAILED' if name in failed else 'passed'}\n")
    return 1 if failed else 0


def drive(name: str, command: list[str]) -> bool:
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
            name, _, value = process.stdout.readline().strip().removeprefix("export ").partition("=")
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
