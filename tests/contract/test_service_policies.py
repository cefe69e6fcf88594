"""Project policies, and copies of model versions within and between accounts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from service_backends import (  # noqa: F401 - fixtures
    Backend,
    Trained,
    backend_fixture,
    describe_version,
    make_dataset,
    make_project,
    make_version,
    open_backend,
    picture,
    put_pictures,
    refused,
    trained_fixture,
)

if TYPE_CHECKING:
    from collections.abc import Callable

from rekolabels.local import Quotas

OTHER = "111122223333"
COPY = "rekognition:CopyProjectVersion"


def document(**changes: Any) -> str:
    """Return a policy that lets the other account copy everything; None removes a member."""
    statement = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{OTHER}:root"}, "Action": COPY}
    statement |= {"Resource": "*", **changes}
    kept = {name: value for name, value in statement.items() if value is not None}
    return json.dumps({"Version": "2012-10-17", "Statement": [kept]})


def client_of_account(backend: Backend, account: str) -> Any:
    """Return a Rekognition client of another account on the same host."""
    if backend.port is None:
        session = backend.service.session()
        return session.client("rekognition", aws_access_key_id=account, aws_secret_access_key="x")
    session = boto3.Session(account, "x", region_name="us-east-1")
    once = Config(retries={"total_max_attempts": 1})
    return session.client("rekognition", endpoint_url=f"http://127.0.0.1:{backend.port}", config=once)


def test_the_lifecycle_of_a_policy(backend: Backend) -> None:
    """A policy is created, listed, replaced and deleted; each change has a new revision."""
    client, project = backend.rekognition, make_project(backend)
    put = {"ProjectArn": project, "PolicyName": "share", "PolicyDocument": document()}
    first = client.put_project_policy(**put)["PolicyRevisionId"]
    assert len(first) == 32
    int(first, 16)
    with refused("ResourceAlreadyExistsException", "share", "PolicyRevisionId"):
        client.put_project_policy(**put)
    with refused("InvalidPolicyRevisionIdException", "abc"):
        client.put_project_policy(**put, PolicyRevisionId="abc")
    changed = put | {"PolicyDocument": document(Effect="Deny")}
    second = client.put_project_policy(**changed, PolicyRevisionId=first)["PolicyRevisionId"]
    assert second != first
    with refused("InvalidPolicyRevisionIdException"):
        client.put_project_policy(**put, PolicyRevisionId=first)
    answer = client.list_project_policies(ProjectArn=project)
    (listed,) = answer["ProjectPolicies"]
    assert listed["PolicyDocument"] == document(Effect="Deny")
    assert listed["PolicyRevisionId"] == second
    assert listed["LastUpdatedTimestamp"] > listed["CreationTimestamp"]
    with refused("InvalidPolicyRevisionIdException"):
        client.delete_project_policy(ProjectArn=project, PolicyName="share", PolicyRevisionId=first)
    client.delete_project_policy(ProjectArn=project, PolicyName="share", PolicyRevisionId=second)
    assert client.list_project_policies(ProjectArn=project)["ProjectPolicies"] == []
    with refused("ResourceNotFoundException", "share"):
        client.delete_project_policy(ProjectArn=project, PolicyName="share")
    with refused("InvalidPolicyRevisionIdException", "no policy"):
        client.put_project_policy(**put, PolicyRevisionId=second)


def test_pages_and_quota_of_policies(backend: Backend) -> None:
    """A project has at most five policies, listed in order and in pages; they are deleted with it."""
    client, project = backend.rekognition, make_project(backend)
    for number in range(5):
        client.put_project_policy(
            ProjectArn=project, PolicyName=f"p{number}", PolicyDocument=document(Sid=f"s{number}")
        )
    with refused("ServiceQuotaExceededException", "policies (5)"):
        client.put_project_policy(ProjectArn=project, PolicyName="p5", PolicyDocument=document())
    pages = list(
        client.get_paginator("list_project_policies").paginate(
            ProjectArn=project, PaginationConfig={"PageSize": 2}
        )
    )
    names = [policy["PolicyName"] for page in pages for policy in page["ProjectPolicies"]]
    assert names == ["p0", "p1", "p2", "p3", "p4"]
    assert [len(page["ProjectPolicies"]) for page in pages] == [2, 2, 1]
    with refused("InvalidPaginationTokenException"):
        client.list_project_policies(ProjectArn=project, NextToken="bm9uZQ==")
    client.delete_project(ProjectArn=project)
    backend.settle()
    again = make_project(backend)
    assert client.list_project_policies(ProjectArn=again)["ProjectPolicies"] == []
    calls: list[Callable[[], Any]] = [
        lambda: client.put_project_policy(ProjectArn=project, PolicyName="p", PolicyDocument=document()),
        lambda: client.list_project_policies(ProjectArn=project),
        lambda: client.delete_project_policy(ProjectArn=project, PolicyName="p"),
    ]
    for call in calls:
        with refused("ResourceNotFoundException"):
            call()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{", "JSON"),
        ("[]", "object"),
        ("{}", "Statement"),
        ('{"Statement": []}', "Statement"),
        ('{"Statement": [1]}', "statement 1"),
        ('{"Version": "2099-01-01", "Statement": [{}]}', "Version"),
        ('{"Version": ["2012-10-17"], "Statement": [{}]}', "Version"),
        ('{"Other": 1, "Statement": [{}]}', "'Other'"),
        (document(Effect=None), "Effect"),
        (document(Effect="Maybe"), "Effect"),
        (document(Effect=1), "Effect"),
        (document(Principal=None), "Principal"),
        (document(Principal="alice"), "Principal"),
        (document(Principal={"Other": "x"}), "Principal"),
        (document(Principal={"AWS": [1]}), "Principal"),
        (document(Action=None), "Action"),
        (document(Action="rekognition:*"), "Action"),
        (document(Action=[COPY, "s3:GetObject"]), "Action"),
        (document(Resource=None), "Resource"),
        (document(Resource="arn:aws:s3:::bucket"), "Resource"),
        (document(Resource=["*", 1]), "Resource"),
        (document(NotAction=COPY), "NotAction"),
        (document(NotResource="*"), "NotResource"),
        (document(NotPrincipal="*"), "NotPrincipal"),
        (document(Condition=[]), "Condition"),
        (document(Condition={"ArnEquals": "arn:aws:iam::111122223333:root"}), "Condition"),
    ],
)
def test_documents_that_are_refused(text: str, part: str) -> None:
    """Each broken rule gives a MalformedPolicyDocumentException that names the problem."""
    with open_backend("in process") as backend:
        project = make_project(backend)
        with refused("MalformedPolicyDocumentException", part):
            backend.rekognition.put_project_policy(ProjectArn=project, PolicyName="p", PolicyDocument=text)


@pytest.mark.parametrize(
    "text",
    [
        document(Effect="ALLOW", Principal="*", Sid="a"),
        document(
            Action=[COPY], Resource=["*", "arn:aws:rekognition:us-east-1:000000000000:project/a/version/*"]
        ),
        json.dumps({"Id": "x", "Statement": json.loads(document())["Statement"][0]}),
        document(Condition={}),
        document(Condition={"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::111122223333:role/Admin"}}),
    ],
)
def test_documents_in_equivalent_forms(text: str) -> None:
    """Statements and strings may be alone or in lists, Effect in capitals; a Condition is stored."""
    with open_backend("in process") as backend:
        backend.rekognition.put_project_policy(
            ProjectArn=make_project(backend), PolicyName="p", PolicyDocument=text
        )


def test_a_copy_within_the_account(trained: Trained) -> None:
    """The copy has its own result files in the new output location, and detects what the original detects."""
    backend, client = trained.backend, trained.backend.rekognition
    target = make_project(backend, "nest")
    source = {"SourceProjectArn": trained.project, "SourceProjectVersionArn": trained.version}
    output = {"S3Bucket": "puppies", "S3KeyPrefix": "copies/"}
    copying = source | {"DestinationProjectArn": target, "VersionName": "c1", "OutputConfig": output}
    with backend.held():
        arn = client.copy_project_version(**copying, Tags={"a": "b"}, KmsKeyId="alias/key")[
            "ProjectVersionArn"
        ]
        found = describe_version(backend, arn)
        assert (found["Status"], found["SourceProjectVersionArn"]) == ("COPYING_IN_PROGRESS", trained.version)
        calls: list[Callable[[], Any]] = [
            lambda: client.start_project_version(ProjectVersionArn=arn, MinInferenceUnits=1),
            lambda: client.delete_project_version(ProjectVersionArn=arn),
            lambda: client.delete_project_version(ProjectVersionArn=trained.version),
            lambda: client.copy_project_version(**copying),
            lambda: client.copy_project_version(
                **(
                    copying
                    | {"SourceProjectArn": target, "SourceProjectVersionArn": arn, "VersionName": "c2"}
                )
            ),
        ]
        for call in calls:
            with refused("ResourceInUseException"):
                call()
    copied, original = describe_version(backend, arn), describe_version(backend, trained.version)
    assert copied["Status"] == "COPYING_COMPLETED", copied["StatusMessage"]
    assert "BillableTrainingTimeInSeconds" not in copied
    assert copied["KmsKeyId"] == "alias/key"
    assert client.list_tags_for_resource(ResourceArn=arn)["Tags"] == {"a": "b"}
    place = copied["EvaluationResult"]["Summary"]["S3Object"]
    assert place == {"Bucket": "puppies", "Name": "copies/EvaluationResultSummary-nest-c1.json"}
    assert copied["EvaluationResult"]["F1Score"] == original["EvaluationResult"]["F1Score"]
    keys = [one["Key"] for one in backend.s3.list_objects_v2(Bucket="puppies", Prefix="copies/")["Contents"]]
    assert len(keys) == 6
    assert all(key.endswith("-nest-c1.json") for key in keys)
    answers = []
    for version in (arn, trained.version):
        client.start_project_version(ProjectVersionArn=version, MinInferenceUnits=1)
        backend.settle()
        image = {"Bytes": picture("blobs", 3)}
        answer = client.detect_custom_labels(ProjectVersionArn=version, Image=image, MinConfidence=0)
        answers.append(answer["CustomLabels"])
        client.stop_project_version(ProjectVersionArn=version)
        backend.settle()
    assert answers[0] == answers[1] != []


def test_a_copy_from_another_account(trained: Trained) -> None:
    """The policies of the source project decide: one must allow the copy, and none may deny it."""
    backend, client = trained.backend, trained.backend.rekognition
    other = client_of_account(backend, OTHER)
    target = other.create_project(ProjectName="abroad")["ProjectArn"]
    assert f":{OTHER}:" in target
    copying = {
        "SourceProjectArn": trained.project,
        "SourceProjectVersionArn": trained.version,
        "DestinationProjectArn": target,
        "OutputConfig": {"S3Bucket": "puppies", "S3KeyPrefix": "abroad"},
    }

    def put(name: str, **changes: Any) -> None:
        client.put_project_policy(
            ProjectArn=trained.project, PolicyName=name, PolicyDocument=document(**changes)
        )

    def denied() -> None:
        with refused("AccessDeniedException", OTHER, "CopyProjectVersion"):
            other.copy_project_version(**copying, VersionName="v0")

    denied()
    put("for-others", Principal={"AWS": "999999999999"})
    denied()
    put("other-version", Resource=trained.version.replace("/v1/", "/v2/"))
    denied()
    put("with-condition", Condition={"StringEquals": {"aws:PrincipalAccount": OTHER}})
    denied()
    put("this-one", Resource=[trained.version.rsplit("/", 2)[0] + "/*"], Principal={"AWS": [OTHER]})
    arn = other.copy_project_version(**copying, VersionName="v1")["ProjectVersionArn"]
    backend.settle()
    (found,) = other.describe_project_versions(ProjectArn=target)["ProjectVersionDescriptions"]
    assert (found["Status"], found["SourceProjectVersionArn"]) == ("COPYING_COMPLETED", trained.version)
    with refused("ResourceNotFoundException"):
        client.start_project_version(ProjectVersionArn=arn, MinInferenceUnits=1)
    put("deny", Effect="Deny", Principal="*", Condition={"Bool": {"aws:SecureTransport": "false"}})
    denied()
    own = make_project(backend, "own-account")
    with refused("AccessDeniedException"):
        client.copy_project_version(**(copying | {"DestinationProjectArn": own}), VersionName="v1")
    with refused("ResourceNotFoundException"):
        client.copy_project_version(**copying, VersionName="v9")
    for policy in client.list_project_policies(ProjectArn=trained.project)["ProjectPolicies"]:
        client.delete_project_policy(ProjectArn=trained.project, PolicyName=policy["PolicyName"])
    for version in other.describe_project_versions(ProjectArn=target)["ProjectVersionDescriptions"]:
        other.delete_project_version(ProjectVersionArn=version["ProjectVersionArn"])


def test_required_parameters_of_a_copy(trained: Trained) -> None:
    """All three resources, in one Region; a version of the source project; an output bucket."""
    backend, client = trained.backend, trained.backend.rekognition
    target = make_project(backend, "needs")
    good = {
        "SourceProjectArn": trained.project,
        "SourceProjectVersionArn": trained.version,
        "DestinationProjectArn": target,
        "VersionName": "v1",
        "OutputConfig": {"S3Bucket": "puppies"},
    }
    for name in ("SourceProjectArn", "SourceProjectVersionArn", "DestinationProjectArn"):
        with refused("ResourceNotFoundException"):
            client.copy_project_version(**(good | {name: f"{good[name]}9"}))
        with refused("InvalidParameterException", "Region"):
            client.copy_project_version(**(good | {name: str(good[name]).replace("us-east-1", "eu-west-1")}))
    with refused("InvalidParameterException", "is not in project"):
        client.copy_project_version(**(good | {"SourceProjectArn": target}))
    with refused("InvalidParameterException", "S3Bucket"):
        client.copy_project_version(**(good | {"OutputConfig": {}}))
    arn = client.copy_project_version(**(good | {"OutputConfig": {"S3Bucket": "no-such-bucket"}}))
    backend.settle()
    failed = describe_version(backend, arn["ProjectVersionArn"])
    assert failed["Status"] == "COPYING_FAILED"
    assert failed["StatusMessage"] == (
        "The model version could not be copied to no-such-bucket: the bucket does not exist."
    )
    with refused("ResourceInUseException", "COPYING_FAILED"):
        client.start_project_version(ProjectVersionArn=arn["ProjectVersionArn"], MinInferenceUnits=1)
    with refused("ResourceInUseException", "v1"):
        client.copy_project_version(**good)
    client.delete_project_version(ProjectVersionArn=arn["ProjectVersionArn"])
    backend.settle()


def test_copies_count_towards_the_quota_of_versions() -> None:
    """A copy is a version of its project."""
    with open_backend("in process", quotas=Quotas(versions_per_project=1)) as backend:
        backend.s3.create_bucket(Bucket="puppies")
        project = make_project(backend)
        make_dataset(backend, project, "TRAIN", put_pictures(backend, "train", 4))
        make_dataset(backend, project, "TEST", put_pictures(backend, "test", 1))
        arn = make_version(backend, project)
        with refused("ServiceQuotaExceededException", "versions (1)"):
            backend.rekognition.copy_project_version(
                SourceProjectArn=project,
                SourceProjectVersionArn=arn,
                DestinationProjectArn=project,
                VersionName="copy",
                OutputConfig={"S3Bucket": "puppies"},
            )


def test_a_workspace_with_the_first_schema_is_migrated(tmp_path: Any) -> None:
    """A workspace from before policies keeps its projects and gets the new tables."""
    with open_backend("in process", tmp_path) as backend:
        project = make_project(backend)
        with backend.service._store.write() as db:
            db.execute("DROP TABLE policies")
            db.execute("DROP TABLE media_jobs")
            db.execute("ALTER TABLE entry_labels DROP COLUMN position")
            db.execute("PRAGMA user_version = 1")
    with open_backend("in process", tmp_path) as backend:
        backend.rekognition.put_project_policy(ProjectArn=project, PolicyName="p", PolicyDocument=document())
