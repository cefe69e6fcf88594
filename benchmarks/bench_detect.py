"""What the SDK adds to a DetectCustomLabels call, against the same call of boto3 with the same reply."""

from __future__ import annotations

import io
import json
import statistics
import time
from typing import TYPE_CHECKING, Any

import boto3
from botocore.awsrequest import AWSResponse

from rekolabels import Client

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS, CALLS = 30, 100
TARGET = 1.05
ARN = "arn:aws:rekognition:us-east-1:111122223333:project/p/version/v1/1690556751958"
PROJECT = "arn:aws:rekognition:us-east-1:111122223333:project/p/1690556751000"
REPLY = json.dumps({"CustomLabels": [{"Name": "puppy", "Confidence": 93.5}]}).encode()


class Raw(io.BytesIO):
    """A body as urllib3 gives it."""

    def stream(self, **_: Any) -> Any:
        """Yield the body."""
        yield self.read()


def reply(request: Any, **_: Any) -> AWSResponse:
    """Answer without a network; everything else that botocore does for a call stays."""
    body = (
        json.dumps({"ProjectDescriptions": [{"ProjectArn": PROJECT, "Status": "CREATED"}]}).encode()
        if request.headers["X-Amz-Target"].endswith(b"DescribeProjects")
        else REPLY
    )
    return AWSResponse(request.url, 200, {"Content-Type": "application/x-amz-json-1.1"}, Raw(body))


def seconds(call: Callable[[], object]) -> float:
    """Time some calls, in CPU seconds."""
    started = time.process_time()
    for _ in range(CALLS):
        call()
    return time.process_time() - started


def main() -> None:
    """Measure both in turn, so that a busy machine slows both."""
    session = boto3.Session("test", "test", region_name="us-east-1")
    session.events.register_first("before-send.*.*", reply)
    bare = session.client("rekognition")
    model = Client(session).model(ARN)
    image = b"\xff\xd8\xff" + bytes(50_000)

    def ours() -> object:
        return model.detect(image)

    def boto() -> object:
        return bare.detect_custom_labels(ProjectVersionArn=ARN, Image={"Bytes": image})

    for warm in (ours, boto):
        seconds(warm)
    ratios, costs = [], []
    for _ in range(ROUNDS):
        one, other = seconds(ours), seconds(boto)
        ratios.append(one / other)
        costs.append(other / CALLS)
    print(
        f"detect: {statistics.median(ratios):.3f} times the same boto3 call of "
        f"{statistics.median(costs) * 1e6:.0f} us (target {TARGET})"
    )


if __name__ == "__main__":
    main()
