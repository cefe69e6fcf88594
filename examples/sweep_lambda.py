"""Lambda function or cron job that stops models which killed processes left running.

Schedule it every 15 minutes with Amazon EventBridge, with a timeout of a few minutes. It stops only models
that ``model.running()`` started and that no process uses any more. If a Region or model fails, the
invocation fails after all others were swept. ``python examples/sweep_lambda.py`` sweeps once, with the AWS
settings of this machine. The role of the function needs these permissions only::

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
    """Stop abandoned models in the comma-separated Regions of ``REGIONS``, or else in its own Region."""
    regions = os.environ.get("REGIONS")
    # Do not pay Lambda for waiting: the next invocation stops a model that is still starting.
    swept = Client().sweep(regions=regions.split(",") if regions else None, wait=False)
    return {"stopped": [model.arn for model in swept]}


if __name__ == "__main__":
    print(handler({}, None))
