"""Request bodies: lengths, the ``aws-chunked`` encoding, digests and checksums, XML documents.

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

from rekolabels.local._core._s3_xml import MalformedDocument, parse
from rekolabels.local._s3._errors import S3Error, not_implemented

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from xml.etree.ElementTree import Element

    from rekolabels.local._s3._request import ByteStream, Request

__all__ = [
    "BLOCK_SIZE",
    "CHECKSUM_SIZES",
    "HASHERS",
    "AwsChunkedReader",
    "BodyInfo",
    "PlainReader",
    "encode_checksum",
    "header_checksums",
    "md5",
    "parse_document",
    "read_document",
    "receive",
]

BLOCK_SIZE = 256 * 1024
"""Bytes that are read into memory at a time."""
_MAX_BODY = 5 * 1024**3  # bytes of one PUT
_MAX_DOCUMENT = 4 * 1024 * 1024  # bytes; 10,000 parts with their checksums need less than half
_MAX_LINE = 4096  # bytes of a chunk header or a trailer
_MAX_TRAILERS = 16
_CHECKSUM = "x-amz-checksum-"
_SHA256 = re.compile(r"[0-9a-f]{64}")

CHECKSUM_SIZES: Mapping[str, int] = {
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
"""Checksum algorithms of S3, and the length of their values in bytes.

crc32c, crc64nvme and xxhash are not in the standard library, and plain Python needs about a second per
megabyte. Their values are stored and returned, for the reader to verify, but not verified here.
"""


class Hasher(Protocol):
    """Incremental hash, as in `hashlib`."""

    def update(self, data: bytes, /) -> None:
        """Add bytes."""
        ...

    def digest(self) -> bytes:
        """Return the value of the bytes so far."""
        ...


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def md5() -> Hasher:
    """Return a new MD5 hash, for ETags; not used for security."""
    return hashlib.md5(usedforsecurity=False)


HASHERS: Mapping[str, Callable[[], Hasher]] = {
    "crc32": _Crc32,
    "md5": md5,
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
    "sha512": hashlib.sha512,
}
"""Constructors of the checksum algorithms that can be computed here."""


def encode_checksum(digest: bytes) -> str:
    """Encode a checksum in Base64, as S3 does."""
    return base64.b64encode(digest).decode()


@attrs.frozen
class BodyInfo:
    """Size and digests of a body."""

    size: int
    """Bytes."""
    md5: bytes
    checksums: Mapping[str, str]
    """Base64 by algorithm (``crc32``): those that the client sent or asked for."""


class PlainReader:
    """Reader of a body of a known length, or up to the end of the stream."""

    def __init__(self, stream: ByteStream, length: int | None) -> None:
        self._stream = stream
        self._remaining = length

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes; ``b""`` at the end.

        Raises:
            S3Error: ``IncompleteBody``.
        """
        if self._remaining is None:
            return self._stream.read(size)
        if not self._remaining:
            return b""
        return self._count(self._stream.read(min(size, self._remaining)))

    def readline(self, size: int, /) -> bytes:
        """Return one line, or the first ``size`` bytes of a longer one.

        Raises:
            S3Error: ``IncompleteBody``.
        """
        if self._remaining is None:
            return self._stream.readline(size)
        if not self._remaining:
            return b""
        return self._count(self._stream.readline(min(size, self._remaining)))

    def _count(self, data: bytes) -> bytes:
        if not data:
            raise S3Error("IncompleteBody")
        if self._remaining is not None:
            self._remaining -= len(data)
        return data


class AwsChunkedReader:
    """Reader that decodes an ``aws-chunked`` body.

    Attributes:
        trailers: Trailing headers by lower-case name; complete once the body has been read to its end.
    """

    def __init__(self, stream: ByteStream) -> None:
        self.trailers: dict[str, str] = {}
        self._stream = stream
        self._remaining = 0
        self._started = False
        self._finished = False

    def read(self, size: int) -> bytes:
        """Return up to ``size`` decoded bytes; ``b""`` at the end.

        Raises:
            S3Error: ``IncompleteBody``, ``InvalidRequest`` or ``MalformedTrailerError``.
        """
        if self._finished or not (self._remaining or self._next_chunk()):
            return b""
        data = self._stream.read(min(size, self._remaining))
        if not data:
            raise S3Error("IncompleteBody")
        self._remaining -= len(data)
        return data

    def _next_chunk(self) -> bool:
        if self._started and self._line():
            raise S3Error(
                "InvalidRequest", "A chunk of the aws-chunked body does not end after its declared size."
            )
        self._started = True
        number = self._line().partition(b";")[0]
        # int() alone would accept "-1", "0x10" and "1_0" as well.
        if not re.fullmatch(rb"[0-9a-fA-F]{1,16}", number):
            raise S3Error("InvalidRequest", "A chunk of the aws-chunked body has an invalid size.")
        self._remaining = int(number, 16)
        if not self._remaining:
            self._read_trailers()
            self._finished = True
        return not self._finished

    def _read_trailers(self) -> None:
        for _ in range(_MAX_TRAILERS):
            line = self._line(optional=True)
            if not line:
                return
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon:
                raise S3Error("MalformedTrailerError")
            self.trailers[name.strip().lower()] = value.strip()
        raise S3Error("MalformedTrailerError")

    def _line(self, *, optional: bool = False) -> bytes:
        line = self._stream.readline(_MAX_LINE)
        if line.endswith(b"\n"):
            return line.rstrip(b"\r\n")
        if optional and not line:
            return b""
        raise S3Error("IncompleteBody")


def _is_aws_chunked(request: Request) -> bool:
    # Not by Content-Encoding alone: programs pass on that of an object, from which S3 removes aws-chunked.
    if request.headers.get("x-amz-content-sha256", "").startswith("STREAMING-"):
        return True
    codings = request.headers.get("content-encoding", "").lower().split(",")
    is_announced = any(coding.strip() == "aws-chunked" for coding in codings)
    return is_announced and request.header("x-amz-decoded-content-length") is not None


def receive(
    request: Request,
    write: Callable[[bytes], object],
    *,
    algorithms: Collection[str] = (),
    checksums: bool = True,
) -> BodyInfo:
    """Read the body of a request to its end, and verify its length, digests and checksums.

    Args:
        request: The request.
        write: Called with each block of the decoded body.
        algorithms: Checksums to compute even when the client sent none.
        checksums: Whether the headers ``x-amz-checksum-*`` describe this body.

    Raises:
        S3Error: ``IncompleteBody``, ``BadDigest``, ``InvalidDigest``, ``XAmzContentSHA256Mismatch``,
            ``MissingContentLength``, ``EntityTooLarge``, ``InvalidRequest``, ``InvalidArgument``,
            ``MalformedTrailerError`` or ``NotImplemented``.
    """
    if request.length == 0 and "transfer-encoding" in request.headers:
        # This host passes a chunked transfer on undecoded, and WSGI offers no way to find its end.
        raise S3Error("MissingContentLength")
    if (request.length or 0) > _MAX_BODY:
        raise S3Error("EntityTooLarge", ProposedSize=str(request.length), MaxSizeAllowed=str(_MAX_BODY))
    plain = PlainReader(request.stream, request.length)
    chunked = AwsChunkedReader(plain) if _is_aws_chunked(request) else None
    size, hashers = _read_all(chunked or plain, write, _wanted_algorithms(request, algorithms))
    if chunked is not None:
        _check_decoded_length(request, size)
    digests = {name: hasher.digest() for name, hasher in hashers.items()}
    _check_md5(request, digests["md5"])
    _check_payload_hash(request, digests)
    given = _given_checksums(request, chunked.trailers if chunked else {}) if checksums else {}
    _check_checksums(given, digests)
    computed = {name: encode_checksum(digests[name]) for name in algorithms if name in digests}
    return BodyInfo(size=size, md5=digests["md5"], checksums={**computed, **given})


def _read_all(
    reader: PlainReader | AwsChunkedReader, write: Callable[[bytes], object], algorithms: Collection[str]
) -> tuple[int, dict[str, Hasher]]:
    hashers = {name: HASHERS[name]() for name in algorithms}
    size = 0
    while block := reader.read(BLOCK_SIZE):
        size += len(block)
        if size > _MAX_BODY:
            raise S3Error("EntityTooLarge", MaxSizeAllowed=str(_MAX_BODY))
        for hasher in hashers.values():
            hasher.update(block)
        write(block)
    return size, hashers


def _wanted_algorithms(request: Request, algorithms: Collection[str]) -> set[str]:
    names = {"md5", *algorithms, *_announced_algorithms(request)}
    names.update(name.removeprefix(_CHECKSUM) for name in request.headers if name.startswith(_CHECKSUM))
    if _SHA256.fullmatch(request.headers.get("x-amz-content-sha256", "")):
        names.add("sha256")
    return names & HASHERS.keys()


def _announced_algorithms(request: Request) -> list[str]:
    """Return the checksum algorithms that ``x-amz-trailer`` announces."""
    names = (name.strip().lower() for name in request.headers.get("x-amz-trailer", "").split(","))
    return [name.removeprefix(_CHECKSUM) for name in names if name.startswith(_CHECKSUM)]


def _check_decoded_length(request: Request, size: int) -> None:
    declared = request.header("x-amz-decoded-content-length")
    if declared is None:
        raise S3Error("MissingContentLength", "x-amz-decoded-content-length is missing.")
    if declared != str(size):
        raise S3Error(
            "IncompleteBody", f"The body holds {size} bytes, but x-amz-decoded-content-length is {declared}."
        )


def _check_md5(request: Request, digest: bytes) -> None:
    given = request.header("content-md5")
    if given is None:
        return
    if _decode_checksum(given, CHECKSUM_SIZES["md5"]) is None:
        raise S3Error("InvalidDigest", ContentMD5=given)
    if given != encode_checksum(digest):
        raise S3Error("BadDigest", ExpectedDigest=given, CalculatedDigest=encode_checksum(digest))


def _check_payload_hash(request: Request, digests: Mapping[str, bytes]) -> None:
    given = request.header("x-amz-content-sha256")
    if given is None or given == "UNSIGNED-PAYLOAD" or given.startswith("STREAMING-"):
        return
    if not _SHA256.fullmatch(given):
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
    for name in _announced_algorithms(request):
        if _CHECKSUM + name not in trailers:
            raise S3Error("MalformedTrailerError")
        given[name] = _checked_value(name, trailers[_CHECKSUM + name])
    if len(given) > 1:
        raise S3Error(
            "InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple are not allowed."
        )
    return given


def header_checksums(request: Request) -> dict[str, str]:
    """Return the checksums in the headers of a request, in Base64 by algorithm.

    Raises:
        S3Error: ``InvalidRequest`` for an invalid value, ``NotImplemented`` for an unknown algorithm.
    """
    given: dict[str, str] = {}
    for header, value in request.headers.items():
        name = header.removeprefix(_CHECKSUM)
        if header.startswith(_CHECKSUM) and name not in {"mode", "type", "algorithm"}:
            given[name] = _checked_value(name, value)
    return given


def _checked_value(name: str, value: str) -> str:
    if name not in CHECKSUM_SIZES:
        raise not_implemented(f"The checksum algorithm {name}")
    if _decode_checksum(value.partition("-")[0], CHECKSUM_SIZES[name]) is None:
        raise S3Error("InvalidRequest", f"Value for {_CHECKSUM}{name} header is invalid.")
    return value


def _check_checksums(given: Mapping[str, str], digests: Mapping[str, bytes]) -> None:
    for name, value in given.items():
        if name in digests and value != encode_checksum(digests[name]):
            raise S3Error(
                "BadDigest", f"The {name.upper()} you specified did not match the calculated checksum."
            )


def _decode_checksum(text: str, size: int) -> bytes | None:
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return value if len(value) == size else None


# -- XML documents -------------------------------------------------------------------------------------------


def read_document(
    request: Request, *, checksums: bool = True, limit: int = _MAX_DOCUMENT, code: str = "MalformedXML"
) -> bytes:
    """Read and verify a body that is a document.

    Args:
        request: The request.
        checksums: Whether the headers ``x-amz-checksum-*`` describe the document.
        limit: The length that it may have, in bytes.
        code: The error code for a document that is too long.

    Raises:
        S3Error: ``code``, or what `receive` raises.
    """
    blocks: list[bytes] = []
    too_long = S3Error(code, f"The document is too long: the limit is {limit} bytes.")
    if (request.length or 0) > 2 * limit:  # chunk sizes and signatures come on top of the document
        raise too_long

    def write(block: bytes) -> None:
        blocks.append(block)
        if sum(map(len, blocks)) > limit:
            raise too_long

    receive(request, write, checksums=checksums)
    return b"".join(blocks)


def parse_document(data: bytes, root: str) -> Element:
    """Parse an XML document from a client, and strip its namespaces.

    Args:
        data: The document in UTF-8; `read_document` has limited its size.
        root: Expected name of the root element.

    Raises:
        S3Error: ``MalformedXML`` for invalid XML, a declaration such as ``<!DOCTYPE``, or another root.
    """
    try:
        return parse(data, root)
    except MalformedDocument as error:
        raise S3Error("MalformedXML") from error
