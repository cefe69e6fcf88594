"""The policies in ``docs/iam.md`` are current, and exactly sufficient for their jobs."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.loaders import Loader
from iam_jobs import EVERY_PROJECT, JOBS, here, policies, runs
from iam_policies import EVERYTHING, Permission, Wire, allows

from rekolabels.errors import AccessDenied

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "iam.md"
CANNOT_BE_LIMITED = {"rekognition:CreateProject", "rekognition:DescribeProjects"}


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """The tool that generates the page."""
    spec = importlib.util.spec_from_file_location("make_iam", ROOT / "tools" / "make_iam.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def written() -> dict[str, Any]:
    """Return the policies of the page by job."""
    blocks = re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return dict(zip(JOBS, map(json.loads, blocks), strict=True))


def actions(policy: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the actions of a policy with their resources."""
    return [
        (action, statement["Resource"]) for statement in policy["Statement"] for action in statement["Action"]
    ]


def test_the_page_is_current(tool: ModuleType, tmp_path: Path) -> None:
    """The page has the permissions that the jobs need; otherwise run ``python tools/make_iam.py``."""
    pytest.importorskip("onnxruntime", reason="the extra 'local' is not installed")

    assert PAGE.read_text(encoding="utf-8") == tool.page(JOBS, policies(tmp_path), EVERY_PROJECT)


def test_every_job_succeeds_with_its_policy(tmp_path: Path) -> None:
    """Each job runs with a guard that rejects every action and resource that is not in its policy."""
    pytest.importorskip("onnxruntime", reason="the extra 'local' is not installed")
    wire = Wire()
    with runs(tmp_path, wire) as run_job:
        for name, policy in written().items():
            needed = run_job(name, here(name, policy))
            assert (name, wire.rejected) == (name, [])
            assert needed


def test_the_guard_rejects(tmp_path: Path) -> None:
    """A role that may only detect cannot train, and the error is ours."""
    pytest.importorskip("onnxruntime", reason="the extra 'local' is not installed")
    wire, policy = Wire(), written()
    with runs(tmp_path, wire) as run_job:
        run_job("prepare", None)
        with pytest.raises(AccessDenied, match="CreateProjectVersion"):
            run_job("train", here("detect", policy["detect"]))

    assert [rejected.action for rejected in wire.rejected] == ["rekognition:CreateProjectVersion"]


@pytest.mark.parametrize("name", JOBS)
def test_policies_are_narrow(name: str) -> None:
    """Actions have no wildcards; resources are a project or a bucket where the service allows it."""
    operations = set(Loader().load_service_model("rekognition", "service-2")["operations"])
    for action, resource in actions(written()[name]):
        service, _, operation = action.partition(":")
        assert "*" not in action
        assert service == "s3" or operation in operations
        assert (resource == EVERYTHING) == (action in CANNOT_BE_LIMITED)
        assert resource == EVERYTHING or re.fullmatch(
            r"arn:aws:rekognition:REGION:ACCOUNT:project/(PROJECT|DESTINATION)/((dataset|version)/)?\*"
            r"|arn:aws:s3:::BUCKET(/(images|PROJECT|DESTINATION)/\*)?",
            resource,
        )


def test_reading_jobs_cannot_change_anything() -> None:
    """Jobs that read, evaluate or detect have no action that creates, changes or deletes anything."""
    changes = re.compile(r":(Create|Copy|Delete|Distribute|Put|Start|Stop|Tag|Untag|Update)")
    for name in ("evaluate", "read", "detect"):
        assert [action for action, _ in actions(written()[name]) if changes.search(action)] == []


def test_every_operation_of_the_gateway_belongs_to_a_job() -> None:
    """Each operation that the gateway calls is in a policy or in the text of the page."""
    source = (ROOT / "src" / "rekolabels" / "_aws" / "_rekognition.py").read_text(encoding="utf-8")
    operations = set(re.findall(r'"((?:Co|Cr|De|Di|Li|Pu|St|Ta|Un|Up)\w+)",?\s+self\.client\.', source))
    page = PAGE.read_text(encoding="utf-8")

    assert len(operations) > 20
    assert {name for name in operations if f"rekognition:{name}" not in page} == set()


def test_a_policy_allows_what_it_says() -> None:
    """Actions match exactly, resources with wildcards."""
    statement = {"Action": ["s3:GetObject"], "Resource": "arn:aws:s3:::dogs/images/*"}
    policy = {"Statement": [statement]}

    assert allows(policy, Permission("arn:aws:s3:::dogs/images/a/b.png", "s3:GetObject"))
    assert not allows(policy, Permission("arn:aws:s3:::dogs/images/a/b.png", "s3:PutObject"))
    assert not allows(policy, Permission("arn:aws:s3:::dogs/other/b.png", "s3:GetObject"))
