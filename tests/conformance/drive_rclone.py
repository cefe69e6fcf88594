"""Use the embedded S3 with rclone. Arguments: the ``rclone`` program, the data folder."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from driver import run, step

MEGABYTE = 2**20


def rclone(*arguments: str) -> str:
    """Run a command."""
    return run(sys.argv[1], "--config", os.devnull, *arguments)


def main() -> None:
    """Upload, list, compare, move and delete."""
    options = {
        "type": "s3",
        "provider": "Other",
        "endpoint": os.environ["AWS_ENDPOINT_URL"],
        "region": os.environ["AWS_DEFAULT_REGION"],
        "access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
        "secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
    }
    os.environ.pop("AWS_CA_BUNDLE", None)  # rclone 1.60 cannot start with this variable
    os.environ.update({f"RCLONE_CONFIG_LOCAL_{name.upper()}": value for name, value in options.items()})
    data = Path(sys.argv[2])
    rclone("mkdir", "local:puppies")
    rclone("copy", str(data), "local:puppies/images")
    listed = json.loads(rclone("lsjson", "--recursive", "--files-only", "local:puppies"))
    assert len(listed) == 18
    rclone("check", str(data), "local:puppies/images")
    step("bucket, copy, list, check of sizes and checksums")
    gone = data / "test" / "dark" / "1.png"
    gone.unlink()
    rclone("sync", str(data), "local:puppies/images")
    rclone("check", str(data), "local:puppies/images")
    step("sync removes what is gone")
    large = data / "large"
    large.write_bytes(os.urandom(12 * MEGABYTE))
    rclone("copy", "--s3-upload-cutoff", "5M", "--s3-chunk-size", "5M", str(large), "local:puppies")
    rclone("moveto", "local:puppies/large", "local:puppies/moved/large")
    rclone("copyto", "local:puppies/moved/large", str(data / "back"))
    assert large.read_bytes() == (data / "back").read_bytes()
    assert rclone("cat", "--offset", "1", "--count", "3", "local:puppies/images/test/dark/0.png") == "PNG"
    step("an upload in parts, a move, a range")
    rclone("purge", "local:puppies")
    assert rclone("lsd", "local:") == ""
    step("everything deleted")


if __name__ == "__main__":
    main()
