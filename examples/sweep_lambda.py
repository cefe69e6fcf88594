"""A Lambda function, or a cron job, that stops the models that killed processes left running.

Schedule it every 15 minutes (Amazon EventBridge), with a time-out of some minutes. It stops only models that
``model.running()`` started, and that no living process uses any more; a Region or model that fails fails the
invocation, after all others were swept. Its role needs, and needs no more::

    {
      "Version": "2012-10-17",
      "Statement": [
        {
          "Effect": "Allow",
          "Action": [
            "rekognition:DescribeProjects",
            "rekognition:DescribeProjectVersions",
            "rekognition:ListTagsForResource",
            "rekognition:StopProjectVersion",
            "rekognition:TagResource",
            "rekognition:UntagResource"
          ],
          "Resource": "*"
        }
      ]
    }
"""

from __future__ import annotations

import os
from typing import Any

from rekolabels import Client


def handler(_event: dict[str, Any], _context: object) -> dict[str, list[str]]:
    """Stop what is abandoned in the Regions of ``REGIONS`` (comma-separated); by default its own."""
    regions = os.environ.get("REGIONS")
    # Nobody is paid for waiting: a model that is still starting is stopped next time.
    swept = Client().sweep(regions=regions.split(",") if regions else None, wait=False)
    return {"stopped": [model.arn for model in swept]}


if __name__ == "__main__":
    print(handler({}, None))
