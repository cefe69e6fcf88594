"""The embedded service: calls in process against stubbed replies, its socket against moto's, its memory."""

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
MOST_TIMES, LEAST_TIMES = 3, 2
"""What a call in process may cost, and how many requests a second are wanted, as multiples."""
SECONDS, CLIENTS = 1.5, 8
IMAGES, WARM, IMAGE_BYTES, MOST_MEGABYTES = 10_000, 100, 100_000, 50
JSON = "application/x-amz-json-1.1"
MOTO = """
import signal
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print("http://127.0.0.1:%d" % server.get_host_and_port()[1], flush=True)
signal.pause()
"""


class Raw:
    """A body as botocore reads it."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def stream(self) -> Iterator[bytes]:
        """All of it."""
        yield self.body


def verdict(met: bool) -> str:  # noqa: FBT001 - there is nothing else that it is about
    """In a word."""
    return "ok" if met else "missed"


def seconds(call: Callable[[], object]) -> float:
    """The CPU seconds of some calls; those of the service's own threads are among them."""
    start = time.process_time()
    for _ in range(CALLS):
        call()
    return time.process_time() - start


def in_process(service: LocalService) -> bool:
    """Compare a description with the same call and a stubbed reply: on the wire, and by botocore's Stubber.

    The Stubber takes a call before it is signed, sent and read: it spares botocore most of its own work.
    """
    ours = service.session().client("rekognition")
    answer = ours.describe_projects()
    del answer["ResponseMetadata"]
    wired: dict[str, bytes] = {}
    ours.meta.events.register(
        "before-parse.rekognition.*", lambda response_dict, **_: wired.update(response_dict)
    )
    ours.describe_projects()
    session = boto3.Session("test", "test", region_name="us-east-1")
    stubbed, bare = session.client("rekognition"), session.client("rekognition")
    stubbed.meta.events.register_first(
        "before-send.*.*",
        lambda request, **_: AWSResponse(request.url, 200, {"Content-Type": JSON}, Raw(wired["body"])),
    )
    assert stubbed.describe_projects()["ProjectDescriptions"] == answer["ProjectDescriptions"]
    ratios: list[tuple[float, float]] = []
    costs: list[float] = []
    for _ in range(ROUNDS):
        with Stubber(bare) as stubber:
            for _ in range(CALLS):
                stubber.add_response("describe_projects", answer)
            quickest = seconds(bare.describe_projects)
        own, other = seconds(ours.describe_projects), seconds(stubbed.describe_projects)
        ratios.append((own / other, own / quickest))
        costs.append(own / CALLS)
    at_wire, at_call = (statistics.median(column) for column in zip(*ratios, strict=True))
    print(
        f"DescribeProjects in process: {statistics.median(costs) * 1e6:.0f} us, {at_wire:.2f} times the same "
        f"boto3 call with a stubbed reply (at most {MOST_TIMES}) {verdict(at_wire <= MOST_TIMES)}; "
        f"{at_call:.2f} times a call that botocore's Stubber takes"
    )
    return at_wire <= MOST_TIMES


@contextmanager
def served(*arguments: str) -> Iterator[int]:
    """A server in a process of its own; its port."""
    command = [sys.executable, *arguments]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as process:  # noqa: S603 - this very Python
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline().strip().rpartition(":")[2])
        finally:
            process.terminate()


def rate(port: int, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> float:
    """Requests a second of some clients at once, each on one connection as long as the server keeps it."""
    counts: list[int] = []
    end = time.perf_counter() + SECONDS

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        done = 0
        while time.perf_counter() < end:
            connection.request(method, path, body, dict(headers))
            reply = connection.getresponse()
            content = reply.read()
            assert reply.status == http.HTTPStatus.OK, content
            done += 1
        connection.close()
        counts.append(done)

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counts) == CLIENTS
    return sum(counts) / SECONDS


def prepare(port: int) -> str:
    """Store an object; the path of a presigned URL for it."""
    session = boto3.Session("000000000000", "x", region_name="us-east-1")
    s3 = session.client("s3", endpoint_url=f"http://127.0.0.1:{port}")
    s3.create_bucket(Bucket="puppies")
    place = {"Bucket": "puppies", "Key": "dog.jpg"}
    s3.put_object(**place, Body=os.urandom(IMAGE_BYTES))
    return s3.generate_presigned_url("get_object", Params=place).partition(str(port))[2]


def call(operation: str, host: str) -> Mapping[str, str]:
    """The headers of a call of Rekognition."""
    return {
        "Authorization": "AWS4-HMAC-SHA256 Credential=000000000000/20240301/us-east-1/rekognition/x",
        "Content-Type": JSON,
        "Host": host,
        "X-Amz-Target": f"RekognitionService.{operation}",
    }


def over_sockets() -> bool:
    """Compare the requests a second with those of moto's server, in turn.

    Of the operations of Custom Labels moto answers only DetectCustomLabels, always alike, without a look at
    the image; here a description is read from the database. An object of 100 kB is the same for both.
    """
    version = "arn:aws:rekognition:us-east-1:000000000000:project/birds/version/v1/1"
    image = json.dumps({"ProjectVersionArn": version, "Image": {"Bytes": "eA=="}}).encode()
    with served("-m", "rekolabels.local") as own, served("-W", "ignore", "-c", MOTO) as moto:
        here, there = prepare(own), prepare(moto)
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
                rate(own, "GET", here, b"", {}),
                rate(moto, "GET", there, b"", {}),
            )
            for _ in range(ROUNDS)
        ]
    described, detected, ours, theirs = zip(*pairs, strict=True)
    return all(
        [
            told("DescribeProjects, against moto's canned DetectCustomLabels", described, detected),
            told("GetObject of 100 kB", ours, theirs),
        ]
    )


def told(what: str, ours: Sequence[float], theirs: Sequence[float]) -> bool:
    """Print a comparison of requests a second."""
    ratio = statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
    print(
        f"{what}: {statistics.median(ours):.0f} against {statistics.median(theirs):.0f} requests/s, "
        f"{ratio:.2f} times moto's server (at least {LEAST_TIMES}) {verdict(ratio >= LEAST_TIMES)}"
    )
    return ratio >= LEAST_TIMES


def memory() -> bool:
    """How much the process grows by storing many images in process."""
    if not Path("/proc/self/statm").exists():
        print("memory: only measured on Linux")
        return True
    with tempfile.TemporaryDirectory() as folder, LocalService(folder) as service:
        s3 = service.session().client("s3")
        s3.create_bucket(Bucket="puppies")
        before = 0.0
        for number in range(WARM + IMAGES):
            if number == WARM:  # everything has been used once
                before = resident()
            s3.put_object(Bucket="puppies", Key=f"images/{number:05d}.jpg", Body=os.urandom(IMAGE_BYTES))
        grown = resident() - before
    met = grown <= MOST_MEGABYTES
    print(f"{IMAGES:,} stored images of {IMAGE_BYTES // 1000} kB: the process grows by {grown:.1f} MB "
          f"(at most {MOST_MEGABYTES}) {verdict(met)}")  # fmt: skip
    return met


def resident() -> float:
    """Megabytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> int:
    """Run everything."""
    with LocalService() as service:
        service.session().client("rekognition").create_project(ProjectName="birds")
        good = [in_process(service)]
    good += [over_sockets(), memory()]
    print(f"{sum(good)} of {len(good)} targets met")
    return 0


if __name__ == "__main__":
    sys.exit(main())
