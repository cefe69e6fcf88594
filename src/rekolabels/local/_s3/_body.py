"""What a request carries: lengths, aws-chunked, digests and checksums.

``aws-chunked`` is described in "Signature calculations for the Authorization header: transferring payload in
multiple chunks" of the Amazon S3 API Reference. Signatures are skipped; lengths and checksums are verified.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import attrs

from rekolabels.local._s3._errors import S3Error, not_implemented

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from rekolabels.local._s3._request import Input, Request

BLOCK = 256 * 1024  # bytes that are held in memory at a time
LARGEST_BODY = 5 * 1024**3  # bytes of one PUT
_LONGEST_LINE = 4096
_MOST_TRAILERS = 16
_CHECKSUM = "x-amz-checksum-"
_HEX = re.compile(r"[0-9a-f]{64}")

SIZES: Mapping[str, int] = {
    "crc32": 4,
    "crc32c": 4,
    "crc64nvme": 8,
    "md5": 16,
    "sha1": 20,
    "sha256": 32,
    "sha512": 64,
    "xxhash64": 8,
    "xxhash3": 8,
    "xxhash128": 16,
}
"""The algorithms of S3 and the bytes of their values.

crc32c, crc64nvme and the xxhashes are not in the standard library (in plain Python a megabyte takes about a
second): their values are kept and given back, for the reader to verify, but not verified here.
"""


class Hasher(Protocol):
    """What a checksum needs."""

    def update(self, data: bytes, /) -> None:
        """Take in more bytes."""
        ...

    def digest(self) -> bytes:
        """The value so far."""
        ...


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def md5() -> Hasher:
    """The hash of ETags: no security hangs on it."""
    return hashlib.md5(usedforsecurity=False)


HASHERS: Mapping[str, Callable[[], Hasher]] = {
    "crc32": _Crc32,
    "md5": md5,
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
    "sha512": hashlib.sha512,
}
"""The algorithms that are computed."""


def encode(digest: bytes) -> str:
    """A checksum as S3 writes it."""
    return base64.b64encode(digest).decode()


@attrs.frozen
class Received:
    """What came in."""

    size: int
    md5: bytes
    checksums: Mapping[str, str]
    """Those that the client gave or asked for, by algorithm."""


class _Plain:
    """A body of a known length, or up to the end that the host marks."""

    def __init__(self, stream: Input, length: int | None) -> None:
        self._stream = stream
        self._left = length

    def read(self, size: int) -> bytes:
        if self._left is None:
            return self._stream.read(size)
        if not self._left:
            return b""
        return self._taken(self._stream.read(min(size, self._left)))

    def readline(self, size: int) -> bytes:
        if self._left is None:
            return self._stream.readline(size)
        if not self._left:
            return b""
        return self._taken(self._stream.readline(min(size, self._left)))

    def _taken(self, data: bytes) -> bytes:
        if not data:
            raise S3Error("IncompleteBody")
        if self._left is not None:
            self._left -= len(data)
        return data


class AwsChunked:
    """The reader of an ``aws-chunked`` body.

    Attributes:
        trailers: What followed the last chunk, names in lower case; filled when the body has been read.
    """

    def __init__(self, stream: Input) -> None:
        self.trailers: dict[str, str] = {}
        self._stream = stream
        self._left = 0
        self._begun = False
        self._ended = False

    def read(self, size: int) -> bytes:
        """At most so many bytes of what the chunks hold; none at the end."""
        if self._ended or not (self._left or self._next_chunk()):
            return b""
        data = self._stream.read(min(size, self._left))
        if not data:
            raise S3Error("IncompleteBody")
        self._left -= len(data)
        return data

    def _next_chunk(self) -> bool:
        if self._begun and self._line():
            raise S3Error("InvalidRequest", "A chunk of the aws-chunked body does not end where it should.")
        self._begun = True
        number = self._line().partition(b";")[0]
        # int() alone would take "-1", "0x10" and "1_0" as well.
        if not re.fullmatch(rb"[0-9a-fA-F]{1,16}", number):
            raise S3Error("InvalidRequest", "A chunk of the aws-chunked body has no valid size.")
        self._left = int(number, 16)
        if not self._left:
            self._read_trailers()
            self._ended = True
        return not self._ended

    def _read_trailers(self) -> None:
        for _ in range(_MOST_TRAILERS):
            line = self._line(last=True)
            if not line:
                return
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon:
                raise S3Error("MalformedTrailerError")
            self.trailers[name.strip().lower()] = value.strip()
        raise S3Error("MalformedTrailerError")

    def _line(self, *, last: bool = False) -> bytes:
        line = self._stream.readline(_LONGEST_LINE)
        if line.endswith(b"\n"):
            return line.rstrip(b"\r\n")
        if last and not line:
            return b""
        raise S3Error("IncompleteBody")


def is_chunked(request: Request) -> bool:
    """Whether the body of a request is ``aws-chunked``."""
    codings = request.headers.get("content-encoding", "").lower().split(",")
    return request.headers.get("x-amz-content-sha256", "").startswith("STREAMING-") or any(
        coding.strip() == "aws-chunked" for coding in codings
    )


def receive(
    request: Request,
    write: Callable[[bytes], object],
    *,
    also: Collection[str] = (),
    checksums: bool = True,
) -> Received:
    """Read the body of a request to its end, and verify it.

    Args:
        request: The request.
        write: Takes the blocks.
        also: Algorithms to compute whether or not the client gave a value.
        checksums: Whether the headers ``x-amz-checksum-*`` are about this body.

    Raises:
        S3Error: ``IncompleteBody``, ``BadDigest``, ``InvalidDigest``, ``XAmzContentSHA256Mismatch``,
            ``MissingContentLength``, ``EntityTooLarge`` or another one that says what does not fit.
    """
    if request.length == 0 and "transfer-encoding" in request.headers:
        # The host hands over a chunked transfer as it came, and WSGI gives no way to find its end.
        raise S3Error("MissingContentLength")
    if (request.length or 0) > LARGEST_BODY:
        raise S3Error("EntityTooLarge", ProposedSize=str(request.length), MaxSizeAllowed=str(LARGEST_BODY))
    plain = _Plain(request.stream, request.length)
    chunked = AwsChunked(plain) if is_chunked(request) else None
    size, hashers = _copy(chunked or plain, write, _algorithms(request, also))
    if chunked is not None:
        _check_decoded_length(request, size)
    digests = {name: hasher.digest() for name, hasher in hashers.items()}
    _check_md5(request, digests["md5"])
    _check_payload_hash(request, digests)
    given = _given_checksums(request, chunked.trailers if chunked else {}) if checksums else {}
    _check_checksums(given, digests)
    wanted = {name: encode(digests[name]) for name in also if name in digests}
    return Received(size=size, md5=digests["md5"], checksums={**wanted, **given})


def _copy(
    reader: _Plain | AwsChunked, write: Callable[[bytes], object], algorithms: Collection[str]
) -> tuple[int, dict[str, Hasher]]:
    hashers = {name: HASHERS[name]() for name in algorithms}
    size = 0
    while block := reader.read(BLOCK):
        size += len(block)
        if size > LARGEST_BODY:
            raise S3Error("EntityTooLarge", MaxSizeAllowed=str(LARGEST_BODY))
        for hasher in hashers.values():
            hasher.update(block)
        write(block)
    return size, hashers


def _algorithms(request: Request, also: Collection[str]) -> set[str]:
    names = {"md5", *also, *_announced(request)}
    names.update(name.removeprefix(_CHECKSUM) for name in request.headers if name.startswith(_CHECKSUM))
    if _HEX.fullmatch(request.headers.get("x-amz-content-sha256", "")):
        names.add("sha256")
    return names & HASHERS.keys()


def _announced(request: Request) -> list[str]:
    """The checksums that the request promises to send after its body."""
    names = (name.strip().lower() for name in request.headers.get("x-amz-trailer", "").split(","))
    return [name.removeprefix(_CHECKSUM) for name in names if name.startswith(_CHECKSUM)]


def _check_decoded_length(request: Request, size: int) -> None:
    declared = request.wants("x-amz-decoded-content-length")
    if declared is None:
        raise S3Error("MissingContentLength", "x-amz-decoded-content-length is missing.")
    if declared != str(size):
        raise S3Error(
            "IncompleteBody", f"The body holds {size} bytes, x-amz-decoded-content-length is {declared}."
        )


def _check_md5(request: Request, digest: bytes) -> None:
    given = request.wants("content-md5")
    if given is None:
        return
    if _decoded(given, SIZES["md5"]) is None:
        raise S3Error("InvalidDigest", ContentMD5=given)
    if given != encode(digest):
        raise S3Error("BadDigest", ExpectedDigest=given, CalculatedDigest=encode(digest))


def _check_payload_hash(request: Request, digests: Mapping[str, bytes]) -> None:
    given = request.wants("x-amz-content-sha256")
    if given is None or given == "UNSIGNED-PAYLOAD" or given.startswith("STREAMING-"):
        return
    if not _HEX.fullmatch(given):
        raise S3Error(
            "InvalidArgument",
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a STREAMING- value, or a valid sha256 value.",
        )
    if digests["sha256"].hex() != given:
        raise S3Error(
            "XAmzContentSHA256Mismatch",
            ClientComputedContentSHA256=given,
            S3ComputedContentSHA256=digests["sha256"].hex(),
        )


def _given_checksums(request: Request, trailers: Mapping[str, str]) -> dict[str, str]:
    given = header_checksums(request)
    for name in _announced(request):
        if _CHECKSUM + name not in trailers:
            raise S3Error("MalformedTrailerError")
        given[name] = _checked_value(name, trailers[_CHECKSUM + name])
    if len(given) > 1:
        raise S3Error(
            "InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple are not allowed."
        )
    return given


def header_checksums(request: Request) -> dict[str, str]:
    """The checksums in the headers of a request, by algorithm."""
    given: dict[str, str] = {}
    for header, value in request.headers.items():
        name = header.removeprefix(_CHECKSUM)
        if header.startswith(_CHECKSUM) and name not in {"mode", "type", "algorithm"}:
            given[name] = _checked_value(name, value)
    return given


def _checked_value(name: str, value: str) -> str:
    if name not in SIZES:
        raise not_implemented(f"The checksum algorithm {name}")
    if _decoded(value.partition("-")[0], SIZES[name]) is None:
        raise S3Error("InvalidRequest", f"Value for {_CHECKSUM}{name} header is invalid.")
    return value


def _check_checksums(given: Mapping[str, str], digests: Mapping[str, bytes]) -> None:
    for name, value in given.items():
        if name in digests and value != encode(digests[name]):
            raise S3Error(
                "BadDigest", f"The {name.upper()} you specified did not match the calculated checksum."
            )


def _decoded(text: str, size: int) -> bytes | None:
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return value if len(value) == size else None
