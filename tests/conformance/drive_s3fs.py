"""Use the embedded S3 with s3fs and fsspec. Arguments: the data folder. Runs in the environment of s3fs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import fsspec
from driver import step

MEGABYTE = 2**20


def main() -> None:
    """Upload, list, read, write and delete."""
    data = Path(sys.argv[1])
    files: Any = fsspec.filesystem("s3")
    files.mkdir("puppies")
    files.put(str(data), "puppies/images", recursive=True)
    files.invalidate_cache()
    assert len(files.find("puppies/images")) == 18
    assert len(files.glob("puppies/images/test/*/0.png")) == 2
    picture = data / "test" / "dark" / "0.png"
    assert files.info("puppies/images/test/dark/0.png")["size"] == picture.stat().st_size
    step("bucket, put, find, glob, info")
    with fsspec.open("s3://puppies/images/test/dark/0.png") as file:
        file.seek(1)
        assert file.read(3) == b"PNG"
    content = os.urandom(11 * MEGABYTE)
    with files.open("puppies/large", "wb", block_size=5 * MEGABYTE) as file:
        file.write(content)
    assert files.cat_file("puppies/large") == content
    assert files.cat_file("puppies/large", start=7, end=9) == content[7:9]
    step("reading a range, writing in parts")
    files.cp("puppies/large", "puppies/copy")
    files.mv("puppies/copy", "puppies/moved")
    files.pipe({"puppies/a": b"1", "puppies/b": b""})
    files.setxattr("puppies/a", stage="test")
    assert files.metadata("puppies/a") == {"stage": "test"}
    assert files.exists("puppies/b")
    assert not files.exists("puppies/copy")
    assert files.du("puppies/moved") == len(content)
    try:
        files.cat_file("puppies/missing")
    except FileNotFoundError:
        pass
    else:
        raise AssertionError("Expected FileNotFoundError.")
    step("copy, move, pipe, metadata, a missing object")
    files.rm("puppies", recursive=True)
    files.invalidate_cache()
    assert files.ls("") == []
    step("everything deleted")


if __name__ == "__main__":
    main()
