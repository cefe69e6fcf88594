"""The CPU time that the SDK adds to DetectCustomLabels, compared with boto3 and the same reply.

Measures single calls, and many calls from 32 threads: ``detect_many`` against a pool that maps boto3's call.
The replies to the many calls take 20 ms, like those of a nearby service. Without this delay the pool would
never idle, whereas ``detect_many`` would while it adapts its rate, and that alone would cost CPU time.
"""

from __future__ import annotations

import io
import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import boto3
from botocore.awsrequest import AWSResponse

from rekolabels import Client, S3Location

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS, CALLS = 30, 100
MANY_ROUNDS = 5
TARGET = 1.05
ARN = "arn:aws:rekognition:us-east-1:111122223333:project/p/version/v1/1690556751958"
PROJECT = "arn:aws:rekognition:us-east-1:111122223333:project/p/1690556751000"
KEYS = [S3Location("bucket", f"photos/{number:09}.jpg") for number in range(6000)]
LATENCY = 0.02
REPLY = json.dumps({"CustomLabels": [{"Name": "puppy", "Confidence": 93.5}]}).encode()


class Raw(io.BytesIO):
    """A response body with urllib3's interface."""

    def stream(self, **_: Any) -> Any:
        """Yield the body."""
        yield self.read()


def reply(request: Any, **_: Any) -> AWSResponse:
    """Reply without a network; botocore does everything else as usual."""
    body = (
        json.dumps({"ProjectDescriptions": [{"ProjectArn": PROJECT, "Status": "CREATED"}]}).encode()
        if request.headers["X-Amz-Target"].endswith(b"DescribeProjects")
        else REPLY
    )
    if b"S3Object" in request.body:
        time.sleep(LATENCY)
    return AWSResponse(request.url, 200, {"Content-Type": "application/x-amz-json-1.1"}, Raw(body))


def seconds(call: Callable[[], object], times: int) -> float:
    """Return the CPU seconds, of all threads, of a number of calls."""
    started = time.process_time()
    for _ in range(times):
        call()
    return time.process_time() - started


def main() -> None:
    """Measure single calls and many calls."""
    session = boto3.Session("test", "test", region_name="us-east-1")
    session.events.register_first("before-send.*.*", reply)
    bare = session.client("rekognition")
    model = Client(session).model(ARN)
    image = b"\xff\xd8\xff" + bytes(50_000)

    def ours() -> object:
        return model.detect(image)

    def boto() -> object:
        return bare.detect_custom_labels(ProjectVersionArn=ARN, Image={"Bytes": image})

    def many() -> object:
        return [outcome.detections for outcome in model.detect_many(KEYS, ordered=False)]

    def pool() -> object:
        with ThreadPoolExecutor(32) as threads:
            return list(threads.map(lambda key: bare.detect_custom_labels(**stored(key)), KEYS))

    compare("detect", ours, boto, times=CALLS, rounds=ROUNDS, images=1)
    compare("detect_many", many, pool, times=1, rounds=MANY_ROUNDS, images=len(KEYS))


def stored(key: S3Location) -> dict[str, Any]:
    """Return the parameters for an image in S3."""
    location = {"Bucket": key.bucket, "Name": key.key}
    return {"ProjectVersionArn": ARN, "Image": {"S3Object": location}}


def compare(
    name: str, ours: Callable[[], object], peer: Callable[[], object], *, times: int, rounds: int, images: int
) -> None:
    """Measure both alternately, so that other load on the machine slows both."""
    for warm in (ours, peer):
        seconds(warm, times)
    ratios, costs = [], []
    for _ in range(rounds):
        one, other = seconds(ours, times), seconds(peer, times)
        ratios.append(one / other)
        costs.append(other / times / images)
    print(
        f"{name}: {statistics.median(ratios):.3f} times the CPU time of the same boto3 calls, "
        f"{statistics.median(costs) * 1e6:.0f} us each (target {TARGET})"
    )


if __name__ == "__main__":
    main()
