"""Call the embedded service from web pages, in headless Chromium. Arguments: the browser, the data folder.

A page of ``localhost`` may call it and read its responses, as the SDK for JavaScript does in a browser. A
page of another host may not, even if its name leads to this machine.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))

import boto3
from driver import step

from chromium import FLAGS

DEADLINE = 60
FOREIGN = "page.example"

PAGE = """<!doctype html><title>Conformance</title><script type="module">
const endpoint = ENDPOINT;
const scope = (service) => ({authorization: "AWS4-HMAC-SHA256 Credential=KEY/20260101/us-east-1/" + service +
  "/aws4_request, SignedHeaders=host, Signature=0", "x-amz-date": "20260101T000000Z"});
const call = async (operation, input) => {
  const headers = {
    "content-type": "application/x-amz-json-1.1", "x-amz-target": "RekognitionService." + operation};
  const answer = await fetch(endpoint, {
    method: "POST", headers: {...headers, ...scope("rekognition")}, body: JSON.stringify(input)});
  return {status: answer.status, id: answer.headers.get("x-amzn-requestid"), body: await answer.json()};
};
const store = (method, path, body) => fetch(endpoint + path, {method, headers: scope("s3"), body});
const seen = {};
const note = async (name, what) => {
  try { seen[name] = await what(); } catch (error) { seen[name] = error.name; }
};
await note("made", () => call("CreateProject", {ProjectName: location.hostname.replace(".", "-")}));
await note("again", () => call("CreateProject", {ProjectName: location.hostname.replace(".", "-")}));
await note("bucket", async () => (await store("PUT", "/puppies")).status);
await note("put", async () =>
  (await store("PUT", "/puppies/a", new Uint8Array([1, 2, 3]))).headers.get("etag"));
await note("got", async () => [...new Uint8Array(await (await store("GET", "/puppies/a")).arrayBuffer())]);
await note("missing", async () => (await store("GET", "/puppies/b")).status);
await note("unread", async () => (await fetch(endpoint, {method: "POST", mode: "no-cors", body: "{}"})).type);
await fetch("/seen", {method: "POST", body: JSON.stringify(seen)});
</script>"""


def browse(browser: str, host: str, page: str) -> Any:
    """Open a page that this process serves under a host name, and return what it has seen."""
    answers: queue.Queue[Any] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def do_POST(self) -> None:
            answers.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, tempfile.TemporaryDirectory() as profile:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        rules = f"--host-resolver-rules=MAP {FOREIGN} 127.0.0.1"
        address = f"http://{host}:{server.server_port}/"
        command = [browser, *FLAGS, rules, f"--user-data-dir={profile}", "--remote-debugging-port=0", address]
        process = subprocess.Popen(  # noqa: S603 - the installed browser
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | {"HOME": profile}
        )
        try:
            return answers.get(timeout=DEADLINE)
        finally:
            process.terminate()
            process.wait()
            server.shutdown()


def main() -> None:
    """Open both pages and check what they could do."""
    page = PAGE.replace("ENDPOINT", json.dumps(os.environ["AWS_ENDPOINT_URL"]), 1)
    page = page.replace("KEY", os.environ["AWS_ACCESS_KEY_ID"], 1)
    foreign = browse(sys.argv[1], FOREIGN, page)
    assert {foreign[name] for name in ("made", "again", "bucket", "put", "got", "missing")} == {
        "TypeError"
    }, foreign
    assert boto3.client("rekognition").describe_projects()["ProjectDescriptions"] == []
    assert boto3.client("s3").list_buckets()["Buckets"] == []
    step("a page of another host is refused, and changes nothing")
    own = browse(sys.argv[1], "localhost", page)
    assert own["made"]["status"] == 200, own
    assert own["made"]["body"]["ProjectArn"].startswith("arn:aws:rekognition:"), own
    assert own["made"]["id"], own
    assert own["again"]["status"] == 400, own
    assert own["again"]["body"]["Code"] == "ResourceInUseException", own
    assert sorted(own["again"]["body"]) == ["Code", "Logref", "Message", "__type"], own
    step("a page of localhost calls Rekognition and reads its errors and request IDs")
    assert (own["bucket"], own["got"], own["missing"]) == (200, [1, 2, 3], 404), own
    assert own["put"] == '"5289df737df57326fcdd22597afb1fac"', own
    step("it stores and reads objects, and reads their ETag")


if __name__ == "__main__":
    main()
