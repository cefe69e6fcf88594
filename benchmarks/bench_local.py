"""Benchmark the embedded service: in-process calls, HTTP throughput compared with moto, memory."""

from __future__ import annotations

import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.awsrequest import AWSResponse
from botocore.stub import Stubber

from rekolabels.local import LocalService

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

CALLS, ROUNDS = 300, 5
MAX_CALL_RATIO = 3
"""Target for the time of an in-process call, as a multiple of a stubbed call."""
MIN_THROUGHPUT_RATIO = 2
"""Target for the requests per second, as a multiple of moto's server."""
SECONDS, CLIENTS = 1.5, 8
IMAGES, WARMUP_IMAGES, IMAGE_BYTES, MAX_MEGABYTES = 10_000, 100, 100_000, 50
JSON = "application/x-amz-json-1.1"
MOTO = """
import signal
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print("http://127.0.0.1:%d" % server.get_host_and_port()[1], flush=True)
signal.pause()
"""


class RawBody:
    """A response body as botocore reads it."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def stream(self) -> Iterator[bytes]:
        """Yield the whole body."""
        yield self.body


def ok_or_missed(met: bool) -> str:  # noqa: FBT001 - the only argument
    """Return whether a target is met, as a word."""
    return "ok" if met else "missed"


def seconds(call: Callable[[], object]) -> float:
    """Return the CPU seconds of `CALLS` calls, including those of the service's threads."""
    start = time.process_time()
    for _ in range(CALLS):
        call()
    return time.process_time() - start


def in_process(service: LocalService) -> bool:
    """Compare DescribeProjects with a stubbed response, at HTTP level and by botocore's Stubber.

    The Stubber intercepts calls before they are signed and sent, which saves botocore most of its own work.
    """
    client = service.session().client("rekognition")
    response = client.describe_projects()
    del response["ResponseMetadata"]
    raw: dict[str, bytes] = {}
    client.meta.events.register(
        "before-parse.rekognition.*", lambda response_dict, **_: raw.update(response_dict)
    )
    client.describe_projects()
    session = boto3.Session("test", "test", region_name="us-east-1")
    with_stubbed_http, with_stubber = session.client("rekognition"), session.client("rekognition")
    with_stubbed_http.meta.events.register_first(
        "before-send.*.*",
        lambda request, **_: AWSResponse(request.url, 200, {"Content-Type": JSON}, RawBody(raw["body"])),
    )
    assert with_stubbed_http.describe_projects()["ProjectDescriptions"] == response["ProjectDescriptions"]
    ratios: list[tuple[float, float]] = []
    costs: list[float] = []
    for _ in range(ROUNDS):
        with Stubber(with_stubber) as stubber:
            for _ in range(CALLS):
                stubber.add_response("describe_projects", response)
            stubber_time = seconds(with_stubber.describe_projects)
        own_time, http_time = seconds(client.describe_projects), seconds(with_stubbed_http.describe_projects)
        ratios.append((own_time / http_time, own_time / stubber_time))
        costs.append(own_time / CALLS)
    http_ratio, stubber_ratio = (statistics.median(column) for column in zip(*ratios, strict=True))
    print(
        f"DescribeProjects in process: {statistics.median(costs) * 1e6:.0f} us, {http_ratio:.2f} times the "
        f"same boto3 call with a stubbed response (target: at most {MAX_CALL_RATIO}) "
        f"{ok_or_missed(http_ratio <= MAX_CALL_RATIO)}; {stubber_ratio:.2f} times a call "
        "with botocore's Stubber"
    )
    return http_ratio <= MAX_CALL_RATIO


@contextmanager
def served(*arguments: str) -> Iterator[int]:
    """Start a server in a process of its own and yield its port."""
    command = [sys.executable, *arguments]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as process:  # noqa: S603 - our own command
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline().strip().rpartition(":")[2])
        finally:
            process.terminate()


def rate(port: int, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> float:
    """Return the requests per second of several clients, with keep-alive if the server allows it."""
    counts: list[int] = []
    end = time.perf_counter() + SECONDS

    def send() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        done = 0
        while time.perf_counter() < end:
            connection.request(method, path, body, dict(headers))
            http_response = connection.getresponse()
            content = http_response.read()
            assert http_response.status == http.HTTPStatus.OK, content
            done += 1
        connection.close()
        counts.append(done)

    threads = [threading.Thread(target=send) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counts) == CLIENTS
    return sum(counts) / SECONDS


def prepare(port: int) -> str:
    """Store an object and return the path of a presigned URL for it."""
    session = boto3.Session("000000000000", "x", region_name="us-east-1")
    s3 = session.client("s3", endpoint_url=f"http://127.0.0.1:{port}")
    s3.create_bucket(Bucket="puppies")
    location = {"Bucket": "puppies", "Key": "dog.jpg"}
    s3.put_object(**location, Body=os.urandom(IMAGE_BYTES))
    return s3.generate_presigned_url("get_object", Params=location).partition(str(port))[2]


def call(operation: str, host: str) -> Mapping[str, str]:
    """Return the headers of a Rekognition request."""
    return {
        "Authorization": "AWS4-HMAC-SHA256 Credential=000000000000/20240301/us-east-1/rekognition/x",
        "Content-Type": JSON,
        "Host": host,
        "X-Amz-Target": f"RekognitionService.{operation}",
    }


def over_sockets() -> bool:
    """Compare the requests per second with those of moto's server, alternately.

    Of the Custom Labels operations, moto implements only DetectCustomLabels, with a constant response. It is
    compared with DescribeProjects of the service, which reads its database. GetObject is the same for both.
    """
    version = "arn:aws:rekognition:us-east-1:000000000000:project/birds/version/v1/1"
    image = json.dumps({"ProjectVersionArn": version, "Image": {"Bytes": "eA=="}}).encode()
    with served("-m", "rekolabels", "serve") as own, served("-W", "ignore", "-c", MOTO) as moto:
        own_path, moto_path = prepare(own), prepare(moto)
        session = boto3.Session("000000000000", "x", region_name="us-east-1")
        rekognition = session.client("rekognition", endpoint_url=f"http://127.0.0.1:{own}")
        rekognition.create_project(ProjectName="birds")
        pairs = [
            (
                rate(own, "POST", "/", b"{}", call("DescribeProjects", "127.0.0.1")),
                rate(
                    moto,
                    "POST",
                    "/",
                    image,
                    call("DetectCustomLabels", "rekognition.us-east-1.amazonaws.com"),
                ),
                rate(own, "GET", own_path, b"", {}),
                rate(moto, "GET", moto_path, b"", {}),
            )
            for _ in range(ROUNDS)
        ]
    described, detected, own_gets, moto_gets = zip(*pairs, strict=True)
    return all(
        [
            report("DescribeProjects, compared with moto's constant DetectCustomLabels", described, detected),
            report("GetObject of 100 kB", own_gets, moto_gets),
        ]
    )


def report(name: str, own: Sequence[float], moto: Sequence[float]) -> bool:
    """Print a comparison of requests per second and return whether the target is met."""
    ratio = statistics.median(one / other for one, other in zip(own, moto, strict=True))
    print(
        f"{name}: {statistics.median(own):.0f} against {statistics.median(moto):.0f} requests/s, "
        f"{ratio:.2f} times moto's server (target: at least {MIN_THROUGHPUT_RATIO}) "
        f"{ok_or_missed(ratio >= MIN_THROUGHPUT_RATIO)}"
    )
    return ratio >= MIN_THROUGHPUT_RATIO


def memory() -> bool:
    """Measure how much the process grows while it stores many images."""
    if not Path("/proc/self/statm").exists():
        print("memory: only measured on Linux")
        return True
    with tempfile.TemporaryDirectory() as folder, LocalService(folder) as service:
        s3 = service.session().client("s3")
        s3.create_bucket(Bucket="puppies")
        before = 0.0
        for number in range(WARMUP_IMAGES + IMAGES):
            if number == WARMUP_IMAGES:  # all code paths have run once
                before = resident()
            s3.put_object(Bucket="puppies", Key=f"images/{number:05d}.jpg", Body=os.urandom(IMAGE_BYTES))
        grown = resident() - before
    met = grown <= MAX_MEGABYTES
    print(f"{IMAGES:,} stored images of {IMAGE_BYTES // 1000} kB: the process grows by {grown:.1f} MB "
          f"(target: at most {MAX_MEGABYTES}) {ok_or_missed(met)}")  # fmt: skip
    return met


def resident() -> float:
    """Return the resident memory of this process in megabytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> int:
    """Run all benchmarks."""
    with LocalService() as service:
        service.session().client("rekognition").create_project(ProjectName="birds")
        met = [in_process(service)]
    met += [over_sockets(), memory()]
    print(f"{sum(met)} of {len(met)} targets met")
    return 0


if __name__ == "__main__":
    sys.exit(main())
