"""Write ``docs/iam.md``: run every job on the embedded service, and make its policy from what it asks for."""

from __future__ import annotations

import inspect
import json
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "iam.md"
HEAD = """# Permissions on AWS

This page is written by `tools/make_iam.py`, which runs each of these jobs on the embedded service and watches
what goes over the wire; do not edit it. A test runs each job again under a guard that refuses whatever its
policy does not allow.

Give each job a role of its own, with this policy and nothing else:

* Write your own names for `REGION`, `ACCOUNT`, `PROJECT`, `DESTINATION` and `BUCKET`. With
  `Client(prefix="team-a/")` the prefix comes before the folder: `BUCKET/team-a/images/*`.
* Where the resource is `*`, Rekognition knows no narrower one for the action. It does not limit what may be
  done with a project; the other statements do.
* `s3:GetBucketAcl`, `s3:GetBucketLocation`, `s3:GetObjectAcl`, `s3:GetObjectTagging` and
  `s3:GetObjectVersion` are what the guide of Custom Labels asks for buckets of your own; the service uses
  them in your name. All other actions were seen.
* Datasets are tagged with a fingerprint of their images, and models that `model.running()` started with who
  uses them and until when. That is what the actions on tags are for.
* `model.run_cost()` needs `cloudwatch:GetMetricData` on `*` besides. `client.running_models()` asks for it
  only where a model was started by other means than `model.running()`, and does without when refused.
* `project.distribute_datasets()` needs `rekognition:DistributeDatasetEntries` on
  `arn:aws:rekognition:REGION:ACCOUNT:project/PROJECT/dataset/*` besides.
* The bucket must lie in the Region of the client, and belong to the same account. With a KMS key of your own,
  the role must be allowed to use the key, too.
"""
EACH = "This job goes over all projects: repeat the statements with `PROJECT` in them for each.\n"


def main() -> None:
    """Run the jobs and write the page."""
    sys.path[:0] = [str(ROOT / "tests" / folder) for folder in ("security", "contract", "")]
    from iam_jobs import EVERY_PROJECT, JOBS, policies

    with tempfile.TemporaryDirectory() as folder:
        found = policies(Path(folder))
    PAGE.write_text(page(JOBS, found, EVERY_PROJECT), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)} is written.")


def page(
    jobs: Mapping[str, Callable[..., None]],
    policies: Mapping[str, Mapping[str, Any]],
    every_project: frozenset[str],
) -> str:
    """The text of the page."""
    return HEAD + "".join(
        "\n".join(section(job, policies[name], repeated=name in every_project)) for name, job in jobs.items()
    )


def section(job: Callable[..., None], policy: Mapping[str, Any], *, repeated: bool) -> Iterator[str]:
    """What a job is, as words and as code, and its policy."""
    title, _, words = (job.__doc__ or "").partition(":")
    yield f"\n## {title}\n"
    yield f"{words.strip()[0].upper()}{words.strip()[1:]}\n"
    if repeated:
        yield EACH
    yield f"```text\n{code(job)}```\n"
    yield f"```json\n{json.dumps(policy, indent=2)}\n```\n"


def code(job: Callable[..., None]) -> str:
    """The body of a job, in the words of its reader."""
    lines = inspect.getsource(job).splitlines(keepends=True)
    body = textwrap.dedent("".join(lines[2:])).replace("stage.", "")
    return "".join(line.partition("  # noqa")[0].rstrip() + "\n" for line in body.splitlines())


if __name__ == "__main__":
    main()
