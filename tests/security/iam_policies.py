"""IAM permissions of requests, policies made from them, and a guard that enforces a policy.

Sources: "Actions, resources, and condition keys for Amazon Rekognition" in the Service Authorization
Reference for the resources of Rekognition's actions; "Required permissions for Amazon S3 API operations" in
the S3 guide for the actions of S3.
"""

from __future__ import annotations

import re
import threading
from fnmatch import fnmatchcase
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = [
    "EVERYTHING",
    "Permission",
    "Wire",
    "allows",
    "documented",
    "general",
    "needed_permissions",
    "policy_of",
]

EVERYTHING = "*"
"""The resource of actions that cannot be limited to one."""
_UNLIMITED = frozenset({"CreateProject", "DescribeProjects"})
_S3: Mapping[str, str] = {
    "CopyObject": "PutObject",
    "CreateBucket": "CreateBucket",
    "GetObject": "GetObject",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListObjectsV2": "ListBucket",
    "PutObject": "PutObject",
}
_READS_BUCKET = ("s3:GetBucketAcl", "s3:GetBucketLocation")
_READS_OBJECTS = ("s3:GetObject", "s3:GetObjectAcl", "s3:GetObjectTagging", "s3:GetObjectVersion")
_READERS = frozenset({"CreateDataset", "CreateProjectVersion"})
_BUCKETS = "arn:aws:s3:::"
_SID = re.compile(r"[^A-Za-z]+")


@attrs.frozen(order=True)
class Permission:
    """One action on one resource."""

    resource: str
    action: str


def general(resource: str, names: Mapping[str, str]) -> str:
    """Return the pattern of a resource for the policies of users.

    Args:
        resource: An ARN.
        names: Placeholders for the names of buckets, folders and projects, such as ``{"birds": "PROJECT"}``.
    """
    if resource == EVERYTHING:
        return resource
    if resource.startswith(_BUCKETS):
        bucket, slash, key = resource.removeprefix(_BUCKETS).partition("/")
        folder = key.partition("/")[0]
        inner = f"/{names.get(folder, folder)}/*" if slash else ""
        return f"{_BUCKETS}{names.get(bucket, bucket)}{inner}"
    project, *rest = resource.split(":project/")[1].split("/")
    inner = f"{rest[0]}/*" if len(rest) > 1 else "*"
    return f"arn:aws:rekognition:REGION:ACCOUNT:project/{names.get(project, project)}/{inner}"


def needed_permissions(service: str, operation: str, parameters: Mapping[str, Any]) -> Iterator[Permission]:
    """Yield the permissions that a request needs.

    Raises:
        KeyError: The permission of an operation of S3 is missing in the table.
    """
    if service == "s3":
        key = parameters.get("Key")
        place = parameters["Bucket"] + (f"/{key}" if key else "")
        yield Permission(f"{_BUCKETS}{place}", f"s3:{_S3[operation]}")
        if "CopySource" in parameters:  # botocore has turned it into a header
            yield Permission(f"{_BUCKETS}{unquote(parameters['CopySource'])}", "s3:GetObject")
        return
    if operation in _UNLIMITED:
        yield Permission(EVERYTHING, f"rekognition:{operation}")
        return
    for arn in _arns(parameters):
        yield Permission(arn, f"rekognition:{operation}")
    if "Tags" in parameters and operation == "CreateDataset":
        dataset = f"{parameters['ProjectArn'].rpartition('/')[0]}/dataset/train/0"
        yield Permission(dataset, "rekognition:TagResource")


def documented(operation: str, bucket: str, folders: Iterable[str]) -> Iterator[Permission]:
    """Yield the permissions that AWS requires in addition to those of the local service.

    From "Accessing external Amazon S3 buckets" in the guide of Custom Labels.
    """
    if operation in _READERS:
        for action in _READS_BUCKET:
            yield Permission(f"{_BUCKETS}{bucket}", action)
        for folder in folders:
            for action in _READS_OBJECTS:
                yield Permission(f"{_BUCKETS}{bucket}/{folder}/", action)


def _arns(parameters: Any) -> Iterator[str]:
    """Yield the ARNs in a request, except those in policy documents."""
    if isinstance(parameters, str):
        if parameters.startswith("arn:aws:rekognition:"):
            yield parameters
    elif isinstance(parameters, dict):
        for value in parameters.values():
            yield from _arns(value)
    elif isinstance(parameters, list):
        for value in parameters:
            yield from _arns(value)


def policy_of(permissions: Iterable[Permission]) -> dict[str, Any]:
    """Return the policy that allows exactly these permissions, with one statement for each resource."""
    actions: dict[str, set[str]] = {}
    for permission in permissions:
        actions.setdefault(permission.resource, set()).add(permission.action)
    statements = [
        {"Sid": _sid(resource), "Effect": "Allow", "Action": sorted(actions[resource]), "Resource": resource}
        for resource in sorted(actions)
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def _sid(resource: str) -> str:
    if resource == EVERYTHING:
        return "Unlimited"
    words = _SID.split(re.split(r":project/|:::", resource)[1].lower())
    return "".join(word.capitalize() for word in words if word) or "Bucket"


class Wire:
    """Records the requests of clients, and rejects those that a policy does not allow."""

    def __init__(self) -> None:
        self.operations: set[str] = set()
        self.rejected: list[Permission] = []
        self._permissions: set[Permission] = set()
        self._policy: Mapping[str, Any] | None = None
        self._free: frozenset[str] = frozenset()
        self._on = False
        self._lock = threading.Lock()

    def attach(self, events: Any) -> None:
        """Attach to the events of a session, before its clients are made, or of a client."""
        events.register("before-parameter-build", self._see)
        events.register("before-call", self._judge)

    def begin(self, policy: Mapping[str, Any] | None, *, free: frozenset[str] = frozenset()) -> None:
        """Start recording, and reject what the policy does not allow.

        Args:
            policy: The policy; None allows everything.
            free: Operations whose answers are of use without a permission.
        """
        self._free = free
        self.operations, self.rejected, self._permissions = set(), [], set()
        self._policy, self._on = policy, True

    def end(self) -> set[Permission]:
        """Stop recording, and return the permissions that were needed."""
        self._on = False
        return self._permissions

    def _see(self, params: Mapping[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        if self._on and model.name not in self._free:
            wanted = list(needed_permissions(model.service_model.service_name, model.name, params))
            context["rekolabels.needed"] = wanted
            with self._lock:
                self._permissions.update(wanted)
                self.operations.add(model.name)

    def _judge(self, context: Mapping[str, Any], **_: Any) -> Any:
        if not self._on or self._policy is None:
            return None
        for permission in context.get("rekolabels.needed", ()):
            if not allows(self._policy, permission):
                with self._lock:
                    self.rejected.append(permission)
                message = f"You are not authorized to perform {permission.action} on {permission.resource}"
                code = "AccessDenied" if permission.action.startswith("s3:") else "AccessDeniedException"
                content = {"Code": code, "Message": message}
                meta = {"HTTPStatusCode": 403, "RequestId": "guard", "HTTPHeaders": {}}
                return SimpleNamespace(status_code=403), {"Error": content, "ResponseMetadata": meta}
        return None


def allows(policy: Mapping[str, Any], permission: Permission) -> bool:
    """Return whether a policy allows a permission; only resources may have wildcards."""
    return any(
        permission.action in statement["Action"] and fnmatchcase(permission.resource, statement["Resource"])
        for statement in policy["Statement"]
    )
