"""The target ``service``: the embedded service behind its socket's reader, fed with what is nearly right.

The bytes of a connection go through the server's own HTTP reader, so everything from the request line to the
database and the disk is met. A finding is: an exception, a fault of the service's own (5xx, a line of its log
at the level of errors), an error that the operation does not declare, an answer that no client can read, or a
file that is touched outside of the workspace.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import sys
import sysconfig
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

import fuzz_mutation as mutation
from botocore.loaders import Loader
from fuzz_requests import Workspace, documents, json_request, s3_requests

from rekolabels.local._http._server import _Handler

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

_LIFETIME = 2_000
"""Requests that one workspace sees before it is made anew: a deleted project teaches nothing more."""
_METHODS = ("GET", "PUT", "POST", "HEAD", "DELETE", "OPTIONS", "get", "")
_OUR_ERRORS = {"UnknownOperationException", "AccessDeniedException", "InvalidParameterException"}
_KEYS = (
    "a", "train/a.png", "../../secret.txt", "..", "/etc/passwd", "%2e%2e/%2e%2e/secret.txt", "a//b", "a/",
    "a/../../secret.txt", "a\\..\\..\\secret.txt", "a\0b", ".rekolabels/index.sqlite", "x" * 300, "CON", "é",
)  # fmt: skip


class ServiceTarget:
    """Sends one connection's bytes; counts requests with their bodies.

    Args:
        recorded: Further requests of Rekognition: operation and parameters.
    """

    name = "service"
    unit = "protocol bodies"

    def __init__(self, recorded: Sequence[tuple[str, Mapping[str, Any]]] = ()) -> None:
        operations = Loader().load_service_model("rekognition", "service-2")["operations"]
        self._declared = {
            name: {error["shape"] for error in operation["errors"]} for name, operation in operations.items()
        }
        self._folder = tempfile.TemporaryDirectory()
        self.home = Path(self._folder.name).resolve()
        self.watch = Watch(self.home / "workspace")
        self.last_status = 0
        self._workspace = Workspace(self.home)
        self._log = _Errors()
        logging.getLogger("rekolabels").addHandler(self._log)
        self._service = self._workspace.open()
        self._life = 0
        requests = {**dict(recorded), **documents(self._workspace)}
        self._donors = [dict(document) for document in requests.values()]
        self.seeds = [json_request(operation, document) for operation, document in requests.items()]
        self.seeds += s3_requests(self._workspace)

    def renew(self) -> None:
        """Go on with a workspace as it was made."""
        self._service.close()
        self._service = self._workspace.open()
        self._life = 0

    def mutate(self, data: bytes, rng: Random) -> bytes:
        """The path, a header or the body changed; its length told as it is, mostly."""
        if rng.random() < 0.08:
            return mutation.raw(data, rng)
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        change = rng.randrange(10)
        if change < 3:
            lines = self._other_head(lines, rng)
        elif change < 5:
            lines[0] = _other_path(lines[0], rng)
        elif change == 5 and body:
            return _in_chunks(lines, body, rng.randrange(len(body) + 1))
        else:
            body = self._other_body(body, rng)
        if rng.random() < 0.95:
            lines = [
                f"Content-Length: {len(body)}" if line.startswith("Content-Length") else line
                for line in lines
            ]
        return "\r\n".join(lines).encode("utf-8", "replace") + b"\r\n\r\n" + body

    def _other_head(self, lines: list[str], rng: Random) -> list[str]:
        place = rng.randrange(len(lines))
        match rng.randrange(3):
            case 0:
                lines[place] = mutation.text(lines[place], rng)
            case 1:
                other = rng.choice(self.seeds).partition(b"\r\n\r\n")[0].decode("latin-1")
                lines.insert(1, other.split("\r\n")[-1])
            case _:
                lines[0] = " ".join([rng.choice(_METHODS), *lines[0].split(" ")[1:]])
        return lines

    def _other_body(self, body: bytes, rng: Random) -> bytes:
        if rng.random() < 0.15:
            return rng.choice(self.seeds).partition(b"\r\n\r\n")[2]
        if rng.random() < 0.15 or not body:
            return mutation.raw(body, rng)
        if body.startswith(b"<"):
            return mutation.xml_text(body, rng)
        return mutation.json_text(body, rng, self._donors)

    def run(self, data: bytes) -> int:
        """Send it and judge the answers; 1.

        Raises:
            Exception: Anything here is a finding.
        """
        self._life += 1
        if self._life > _LIFETIME:
            self.renew()
        with self.watch:
            written = _converse(self._service._app, data)
            self._service._jobs.wait()
        assert not self._log.lines, self._log.lines
        assert not self.watch.outside, self.watch.outside
        assert b"no request may reach" not in written
        called = {name.decode() for name in re.findall(rb"\bRekognitionService\.(\w+)", data)}
        for answer in _answers(written):
            self._judge(answer, called & self._declared.keys())
        return 1

    def _judge(self, answer: bytes, called: set[str]) -> None:
        head, _, body = answer.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        self.last_status = status
        assert status < 500 or status in {501, 503, 505}, answer[:2000]
        if not body or body.lstrip().startswith(b"<!DOCTYPE"):  # HEAD, and what came after it was no request
            return
        if b"\r\nContent-Type: application/x-amz-json-1.1" in head:
            document = json.loads(body)
            if status != 200 and called:
                declared = set().union(*(self._declared[name] for name in called))
                assert document["__type"] in declared | _OUR_ERRORS, answer
        elif b"\r\nContent-Type: application/xml" in head and not re.search(rb"&#x|\xef\xbf", body):
            ET.fromstring(body)  # noqa: S314 - an answer of our own, to be judged

    def close(self) -> None:
        """End the service, and let go of its workspace."""
        logging.getLogger("rekolabels").removeHandler(self._log)
        self._service.close()
        self._folder.cleanup()


class Watch:
    """Sees every file that Python opens, makes, renames or removes; ``with`` the block that is watched.

    Args:
        place: The folder outside of which nothing may be touched. Reading code is no matter.
    """

    _WRITES = frozenset(
        {"os.mkdir", "os.rmdir", "os.remove", "os.rename", "os.link", "os.symlink", "os.truncate"}
    )

    def __init__(self, place: Path) -> None:
        self.outside: list[tuple[str, str]] = []
        self._allowed = (
            str(place),
            *sysconfig.get_paths().values(),
            str(Path(__file__).parents[2]),
            "/dev/null",
        )
        self._on = False
        sys.addaudithook(self._see)

    def __enter__(self) -> None:
        self._on = True

    def __exit__(self, *_: object) -> None:
        self._on = False

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._on and (event == "open" or event in self._WRITES):
            for path in arguments[: 2 if event in {"os.rename", "os.link", "os.symlink"} else 1]:
                if isinstance(path, str | bytes | Path):
                    whole = str(path if not isinstance(path, bytes) else path.decode("utf-8", "replace"))
                    # a plain name is relative to a folder that is already open (shutil.rmtree)
                    plain = os.sep not in whole and whole != ".."
                    if not plain and (".." in Path(whole).parts or not whole.startswith(self._allowed)):
                        self.outside.append((event, whole))


def _other_path(line: str, rng: Random) -> str:
    """A request line with another key, query or bucket; mostly quoted as a client would."""
    method, _, rest = line.partition(" ")
    path, _, version = rest.rpartition(" ")
    bucket, slash, key = path[1:].partition("/")
    key, mark, query = key.partition("?")
    key = rng.choice(_KEYS) if rng.random() < 0.4 else mutation.text(key, rng)
    key = quote(key, safe=rng.choice(("/", "", "/%."))) if rng.random() < 0.8 else key
    query = mutation.text(query, rng) if rng.random() < 0.3 else query
    bucket = mutation.text(bucket, rng) if rng.random() < 0.1 else bucket
    return f"{method} /{bucket}{slash or '/'}{key}{mark}{query} {version}"


def _in_chunks(lines: list[str], body: bytes, cut: int) -> bytes:
    """The request with its body in two chunks."""
    parts = [part for part in (body[:cut], body[cut:]) if part]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    lines = [line for line in lines if not line.startswith("Content-Length")]
    head = "\r\n".join([*lines, "Transfer-Encoding: chunked"])
    return head.encode("latin-1", "replace") + b"\r\n\r\n" + chunks + b"0\r\n\r\n"


class _Errors(logging.Handler):
    """What the service logs as its own mistakes."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


class _Socket:
    """A connection whose client has sent everything and closed its side."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.written = bytearray()

    def makefile(self, *_: object) -> io.BufferedIOBase:
        return io.BytesIO(self._data)

    def sendall(self, data: bytes) -> None:
        self.written += data

    def settimeout(self, _: float) -> None:
        """There is nothing to wait for."""

    def setsockopt(self, *_: object) -> None:
        """There is nothing to delay."""


def _converse(app: Any, data: bytes) -> bytes:
    connection: Any = _Socket(data)
    listener: Any = SimpleNamespace(app=app, server_address=("127.0.0.1", 4900))
    _Handler(connection, ("127.0.0.1", 50000), listener)
    return bytes(connection.written)


def _answers(written: bytes) -> list[bytes]:
    """The answers of one connection, cut by their lengths."""
    found: list[bytes] = []
    while written.startswith(b"HTTP/1.1 "):
        head, _, rest = written.partition(b"\r\n\r\n")
        length = re.search(rb"\r\nContent-Length: (\d+)", head)
        # the answer to HEAD has a length and no body
        bare = length is None or rest.startswith(b"HTTP/1.1 ")
        end = 0 if bare or length is None else int(length[1])
        found.append(head + b"\r\n\r\n" + rest[:end])
        written = rest[end:]
    return found
