"""Properties of the S3 directory that hold for any key, body, range and listing."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from s3_forms import encode_form

from rekolabels.local._http._in_process import make_session
from rekolabels.local._s3 import S3Directory
from rekolabels.local._s3._body import AwsChunkedReader
from rekolabels.local._s3._disk import plain_parts
from rekolabels.local._s3._form import read_form
from rekolabels.local._s3._request import Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

# Pieces of difficult keys, and any other text.
PIECES = st.one_of(
    st.sampled_from(
        ["a", "A", "..", ".", "/", "//", "\0", "\\", "~", "%2e", "é", "e\u0301", "ﬁ", "+", " ", "#", "?"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4),
)
KEYS = st.lists(PIECES, min_size=1, max_size=8).map("".join).filter(lambda key: len(key.encode()) <= 1024)
WORDS = st.lists(st.sampled_from(["a", "b", "/", "-", "é"]), min_size=1, max_size=6).map("".join)
# All examples share one application on purpose: each example empties the bucket.
SHARED = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Client]:
    """Yield a client of an S3 that holds the bucket ``dogs``."""
    with tempfile.TemporaryDirectory() as folder:
        app = S3Directory(Path(folder) / "root")
        client: S3Client = make_session(app, account="123456789012", region="us-east-1").client("s3")
        client.create_bucket(Bucket="dogs")
        yield client
        app.close()


def _empty(s3: S3Client) -> None:
    # One by one: the XML of DeleteObjects cannot hold every character that a key can.
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket="dogs"):
        for entry in page.get("Contents", []):
            s3.delete_object(Bucket="dogs", Key=entry["Key"])


@SHARED
@given(bodies=st.dictionaries(KEYS, st.binary(max_size=64), min_size=1, max_size=6))
def test_any_keys_are_listed_and_returned(s3: S3Client, bodies: dict[str, bytes]) -> None:
    """Any set of keys can coexist, however similar they are, and be deleted without leftovers."""
    for key, body in bodies.items():
        s3.put_object(Bucket="dogs", Key=key, Body=body)
    try:
        listed = s3.list_objects_v2(Bucket="dogs")["Contents"]
        assert [entry["Key"] for entry in listed] == sorted(bodies, key=str.encode)
        for key, body in bodies.items():
            assert s3.get_object(Bucket="dogs", Key=key)["Body"].read() == body
    finally:
        _empty(s3)
    assert s3.list_objects_v2(Bucket="dogs")["KeyCount"] == 0


@given(key=KEYS)
def test_plain_paths_never_leave_their_folder(key: str) -> None:
    """The plain file of a key has exactly the key's path, or the key has no plain file."""
    parts = plain_parts(key)
    assume(parts is not None)
    assert parts is not None

    folder = Path("/bucket")
    assert key == "/".join(parts)
    assert folder.joinpath(*parts).resolve().is_relative_to(folder.resolve())
    assert ".." not in parts


@SHARED
@given(
    keys=st.sets(WORDS, max_size=12),
    prefix=st.one_of(st.just(""), WORDS),
    delimiter=st.sampled_from(["", "/", "-", "a", "/a"]),
    size=st.integers(1, 5),
)
def test_listings_match_the_definition(
    s3: S3Client, keys: set[str], prefix: str, delimiter: str, size: int
) -> None:
    """Both versions, with any page size, equal a listing made from the definition."""
    expected_keys: list[str] = []
    expected_prefixes: list[str] = []
    for key in sorted(keys, key=str.encode):
        if not key.startswith(prefix):
            continue
        head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        if not found:
            expected_keys.append(key)
        elif prefix + head + found not in expected_prefixes:
            expected_prefixes.append(prefix + head + found)
    for key in keys:
        s3.put_object(Bucket="dogs", Key=key, Body=b"")
    try:
        for call in ("list_objects_v2", "list_objects"):
            paginator: Any = s3.get_paginator(call)
            pages = list(
                paginator.paginate(
                    Bucket="dogs", Prefix=prefix, Delimiter=delimiter, PaginationConfig={"PageSize": size}
                )
            )
            assert expected_keys == [entry["Key"] for page in pages for entry in page.get("Contents", [])]
            assert expected_prefixes == [
                entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])
            ]
            assert all(
                len(page.get("Contents", [])) + len(page.get("CommonPrefixes", [])) <= size for page in pages
            )
    finally:
        _empty(s3)


@SHARED
@given(body=st.binary(min_size=1, max_size=40), length=st.integers(1, 45), data=st.data())
def test_ranges_are_slices(s3: S3Client, body: bytes, length: int, data: st.DataObject) -> None:
    """A range returns that slice of the body."""
    first = data.draw(st.integers(0, len(body) - 1))
    s3.put_object(Bucket="dogs", Key="rex", Body=body)

    inside = s3.get_object(Bucket="dogs", Key="rex", Range=f"bytes={first}-{first + length - 1}")
    to_the_end = s3.get_object(Bucket="dogs", Key="rex", Range=f"bytes={first}-")
    tail = s3.get_object(Bucket="dogs", Key="rex", Range=f"bytes=-{length}")

    assert inside["Body"].read() == body[first : first + length]
    assert to_the_end["Body"].read() == body[first:]
    assert tail["Body"].read() == body[-length:]
    _empty(s3)


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=50), max_size=8),
    trailers=st.dictionaries(
        st.from_regex(r"[a-z][a-z-]{0,20}", fullmatch=True),
        st.from_regex(r"[!-~]{0,30}", fullmatch=True),
        max_size=3,
    ),
    signed=st.booleans(),
    block=st.integers(1, 64),
)
def test_aws_chunked_decodes_what_was_encoded(
    pieces: list[bytes], trailers: dict[str, str], *, signed: bool, block: int
) -> None:
    """The reader decodes any chunks, with and without signatures, at any read size."""
    signature = b";chunk-signature=" + b"0" * 64 if signed else b""
    encoded = b"".join(b"%x%s\r\n%s\r\n" % (len(piece), signature, piece) for piece in pieces)
    encoded += b"0" + signature + b"\r\n"
    encoded += b"".join(f"{name}:{value}\r\n".encode() for name, value in trailers.items()) + b"\r\n"

    reader = AwsChunkedReader(io.BytesIO(encoded))
    decoded = b"".join(iter(lambda: reader.read(block), b""))

    assert decoded == b"".join(pieces)
    assert reader.trailers == trailers


class _Slow(io.RawIOBase):
    """A stream that returns a given number of bytes at a time."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        super().__init__()
        self._data = data
        self._sizes = sizes
        self._at = 0

    def read(self, size: int = -1, /) -> bytes:
        self._at += 1
        size = min(size, self._sizes[self._at % len(self._sizes)])
        block, self._data = self._data[:size], self._data[size:]
        return block


@given(
    fields=st.dictionaries(
        st.text("abc-$.", min_size=1, max_size=4).map("x-{}".format),
        st.text(st.sampled_from("a\r\n-é:;"), max_size=20),
        max_size=4,
    ),
    content=st.lists(
        st.sampled_from([b"\r\n", b"--", b"\r\n--x-boundar", b"x-boundary", b"\0", b"a" * 50])
    ).map(b"".join),
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    reads=st.integers(1, 60),
)
def test_forms_are_read_as_they_were_sent(
    fields: dict[str, str], content: bytes, sizes: list[int], reads: int
) -> None:
    """Fields and file are the same, however the bytes arrive and are asked for."""
    assume(b"\r\n--x-boundary" not in content)
    assume(not any("\r\n--x-boundary" in value for value in fields.values()))
    body, content_type = encode_form(fields, content)
    request = Request(
        method="POST",
        bucket="dogs",
        key="",
        query={},
        headers={"content-type": content_type},
        stream=_Slow(body, sizes),
        length=len(body),
    )

    form = read_form(request)

    assert form.fields == fields
    assert b"".join(iter(lambda: form.file.read(reads), b"")) == content
