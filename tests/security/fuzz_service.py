"""Fuzz target ``service``: the embedded service, sent requests that are nearly valid.

The bytes of a connection go through the HTTP server, so everything from the request line to the database and
the disk is tested. Findings are exceptions, server faults (5xx, errors in the log), errors that the operation
does not declare, malformed responses, and access to files outside of the workspace.
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

from rekolabels.local._http._access import HostNames
from rekolabels.local._http._server import _Handler

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

_REQUESTS_PER_WORKSPACE = 2_000
"""Requests until the workspace is replaced: once its project is deleted, little is left to test."""
_METHODS = ("GET", "PUT", "POST", "HEAD", "DELETE", "OPTIONS", "get", "")
_GENERAL_ERRORS = {
    "AccessDeniedException",
    "InvalidParameterException",
    "SerializationException",
    "UnknownOperationException",
    "ValidationException",
}
_KEYS = (
    "a", "train/a.png", "../../secret.txt", "..", "/etc/passwd", "%2e%2e/%2e%2e/secret.txt", "a//b", "a/",
    "a/../../secret.txt", "a\\..\\..\\secret.txt", "a\0b", ".rekolabels/index.sqlite", "x" * 300, "CON", "é",
)  # fmt: skip


class ServiceTarget:
    """Sends the bytes of one connection to the service and checks the responses.

    Args:
        recorded: Further Rekognition requests to mutate: operation and parameters.
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
        self.monitor = FileAccessMonitor(self.home / "workspace")
        self.last_status = 0
        self._workspace = Workspace(self.home)
        self._log = _ErrorLog()
        logging.getLogger("rekolabels").addHandler(self._log)
        self._service = self._workspace.open()
        self._request_count = 0
        requests = {**dict(recorded), **documents(self._workspace)}
        self._donors = [dict(document) for document in requests.values()]
        self.seeds = [json_request(operation, document) for operation, document in requests.items()]
        self.seeds += s3_requests(self._workspace)

    def renew(self) -> None:
        """Continue with a new copy of the workspace."""
        self._service.close()
        self._service = self._workspace.open()
        self._request_count = 0

    def mutate(self, data: bytes, rng: Random) -> bytes:
        """Change the path, a header or the body; the Content-Length is mostly corrected."""
        if rng.random() < 0.08:
            return mutation.raw(data, rng)
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        change = rng.randrange(10)
        if change < 3:
            lines = self._mutate_head(lines, rng)
        elif change < 5:
            lines[0] = _mutate_path(lines[0], rng)
        elif change == 5 and body:
            return _in_chunks(lines, body, rng.randrange(len(body) + 1))
        else:
            body = self._mutate_body(body, rng)
        if rng.random() < 0.95:
            lines = [
                f"Content-Length: {len(body)}" if line.startswith("Content-Length") else line
                for line in lines
            ]
        return "\r\n".join(lines).encode("utf-8", "replace") + b"\r\n\r\n" + body

    def _mutate_head(self, lines: list[str], rng: Random) -> list[str]:
        index = rng.randrange(len(lines))
        match rng.randrange(3):
            case 0:
                lines[index] = mutation.text(lines[index], rng)
            case 1:
                other = rng.choice(self.seeds).partition(b"\r\n\r\n")[0].decode("latin-1")
                lines.insert(1, other.split("\r\n")[-1])
            case _:
                lines[0] = " ".join([rng.choice(_METHODS), *lines[0].split(" ")[1:]])
        return lines

    def _mutate_body(self, body: bytes, rng: Random) -> bytes:
        if rng.random() < 0.15:
            return rng.choice(self.seeds).partition(b"\r\n\r\n")[2]
        if rng.random() < 0.15 or not body:
            return mutation.raw(body, rng)
        if body.startswith(b"<"):
            return mutation.xml_text(body, rng)
        return mutation.json_text(body, rng, self._donors)

    def run(self, data: bytes) -> int:
        """Send the bytes, check the responses, and return the number of inputs (1).

        Raises:
            Exception: Any exception is a finding.
        """
        self._request_count += 1
        if self._request_count > _REQUESTS_PER_WORKSPACE:
            self.renew()
        with self.monitor:
            written = _exchange(self._service._app, data)
            self._service._jobs.wait()
        assert not self._log.lines, self._log.lines
        assert not self.monitor.outside, self.monitor.outside
        assert b"no request may reach" not in written
        called = {name.decode() for name in re.findall(rb"\bRekognitionService\.(\w+)", data)}
        for response in _split_responses(written):
            self._check(response, called & self._declared.keys())
        return 1

    def _check(self, response: bytes, called: set[str]) -> None:
        head, _, body = response.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        self.last_status = status
        assert status < 500 or status in {501, 503, 505}, response[:2000]
        # After HEAD there is no body; a page of http.server answers bytes that are not a request.
        if not body or body.lstrip().startswith(b"<!DOCTYPE"):
            return
        if b"\r\nContent-Type: application/x-amz-json-1.1" in head:
            document = json.loads(body)
            if status != 200 and called:
                declared = set().union(*(self._declared[name] for name in called))
                assert document["__type"] in declared | _GENERAL_ERRORS, response
        elif b"\r\nContent-Type: application/xml" in head and not re.search(rb"&#x|\xef\xbf", body):
            ET.fromstring(body)  # noqa: S314 - a response of the service under test

    def close(self) -> None:
        """Close the service and remove its workspaces."""
        logging.getLogger("rekolabels").removeHandler(self._log)
        self._service.close()
        self._folder.cleanup()


class FileAccessMonitor:
    """Records file access outside of a folder within its ``with`` block, by an audit hook.

    Args:
        folder: The folder that may be used. Reading Python code is allowed as well.
    """

    _WRITES = frozenset(
        {"os.mkdir", "os.rmdir", "os.remove", "os.rename", "os.link", "os.symlink", "os.truncate"}
    )

    def __init__(self, folder: Path) -> None:
        self.outside: list[tuple[str, str]] = []
        self._allowed = (
            "/proc/self/maps",  # threadpoolctl looks up the libraries of this process
            str(folder),
            *sysconfig.get_paths().values(),
            str(Path(__file__).parents[2]),
            "/dev/null",
        )
        self._enabled = False
        sys.addaudithook(self._record)

    def __enter__(self) -> None:
        self._enabled = True

    def __exit__(self, *_: object) -> None:
        self._enabled = False

    def _record(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._enabled and (event == "open" or event in self._WRITES):
            for path in arguments[: 2 if event in {"os.rename", "os.link", "os.symlink"} else 1]:
                if isinstance(path, str | bytes | Path):
                    name = str(path if not isinstance(path, bytes) else path.decode("utf-8", "replace"))
                    # a name without a separator is relative to an open folder (shutil.rmtree)
                    plain = os.sep not in name and name != ".."
                    if not plain and (".." in Path(name).parts or not name.startswith(self._allowed)):
                        self.outside.append((event, name))


def _mutate_path(line: str, rng: Random) -> str:
    """Return a request line with another key, query or bucket, mostly quoted as a client would do."""
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
    """Return the request with its body in two chunks."""
    parts = [part for part in (body[:cut], body[cut:]) if part]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    lines = [line for line in lines if not line.startswith("Content-Length")]
    head = "\r\n".join([*lines, "Transfer-Encoding: chunked"])
    return head.encode("latin-1", "replace") + b"\r\n\r\n" + chunks + b"0\r\n\r\n"


class _ErrorLog(logging.Handler):
    """Collects the errors that the service logs."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


class _Socket:
    """A connection whose client has sent all data and closed its side."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.written = bytearray()

    def makefile(self, *_: object) -> io.BufferedIOBase:
        return io.BytesIO(self._data)

    def sendall(self, data: bytes) -> None:
        self.written += data

    def settimeout(self, _: float) -> None:
        """Do nothing: all data is there."""

    def setsockopt(self, *_: object) -> None:
        """Do nothing: there is no socket."""

    def shutdown(self, _: int) -> None:
        """Do nothing: there is no socket."""


def _exchange(app: Any, data: bytes) -> bytes:
    connection: Any = _Socket(data)
    listener: Any = SimpleNamespace(app=app, host_names=HostNames(), server_address=("127.0.0.1", 4900))
    _Handler(connection, ("127.0.0.1", 50000), listener)
    return bytes(connection.written)


def _split_responses(written: bytes) -> list[bytes]:
    """Split the bytes of a connection into responses by their Content-Length."""
    found: list[bytes] = []
    while written.startswith(b"HTTP/1.1 "):
        head, _, rest = written.partition(b"\r\n\r\n")
        length = re.search(rb"\r\nContent-Length: (\d+)", head)
        # the response to HEAD has a length and no body
        bare = length is None or rest.startswith(b"HTTP/1.1 ")
        end = 0 if bare or length is None else int(length[1])
        found.append(head + b"\r\n\r\n" + rest[:end])
        written = rest[end:]
    return found
