"""Use the embedded S3 with s3cmd. Arguments: the ``s3cmd`` program, the data folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from driver import run, step

MEGABYTE = 2**20


def s3cmd(*arguments: str) -> str:
    """Run a command."""
    host = urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc
    # Without "%(bucket)s" in --host-bucket, the bucket stands in the path.
    place = (f"--config={os.devnull}", "--no-ssl", f"--host={host}", f"--host-bucket={host}")
    keys = (
        f"--access_key={os.environ['AWS_ACCESS_KEY_ID']}",
        f"--secret_key={os.environ['AWS_SECRET_ACCESS_KEY']}",
    )
    return run(sys.argv[1], *place, *keys, "--no-progress", *arguments)


def main() -> None:
    """Upload, list, download, copy, move and delete."""
    data = Path(sys.argv[2])
    s3cmd("mb", "s3://puppies")
    s3cmd("sync", f"{data}/", "s3://puppies/images/")
    assert len(s3cmd("ls", "--recursive", "s3://puppies/images/").splitlines()) == 18
    assert s3cmd("sync", f"{data}/", "s3://puppies/images/") == ""
    step("bucket, sync, a sync without changes, list")
    picture = data / "test" / "dark" / "0.png"
    back = data / "back.png"
    s3cmd("get", "s3://puppies/images/test/dark/0.png", str(back))
    assert picture.read_bytes() == back.read_bytes()
    described = s3cmd("info", "s3://puppies/images/test/dark/0.png")
    assert f"File size: {picture.stat().st_size}" in described
    assert "MIME type: image/png" in described
    step("get, info")
    large = data / "large"
    large.write_bytes(os.urandom(11 * MEGABYTE))
    s3cmd("put", "--multipart-chunk-size-mb=5", str(large), "s3://puppies/large")
    s3cmd("get", "--force", "s3://puppies/large", str(back))
    assert large.read_bytes() == back.read_bytes()
    step("an upload in parts")
    s3cmd("cp", "s3://puppies/large", "s3://puppies/copy")
    s3cmd("mv", "s3://puppies/copy", "s3://puppies/moved")
    names = [line.split()[-1] for line in s3cmd("ls", "s3://puppies").splitlines()]
    assert names == ["s3://puppies/images/", "s3://puppies/large", "s3://puppies/moved"], names
    s3cmd("del", "s3://puppies/large", "s3://puppies/moved")
    s3cmd("rb", "--recursive", "s3://puppies")
    assert s3cmd("ls") == ""
    step("copy, move, delete, remove the bucket with its objects")


if __name__ == "__main__":
    main()
