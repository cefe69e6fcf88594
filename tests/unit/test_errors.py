"""The exceptions: documented, picklable, and one for each error of AWS and botocore."""

from __future__ import annotations

import inspect
import pickle
from typing import TYPE_CHECKING, Any

import boto3
import botocore.loaders
import botocore.model
import pytest
from botocore import exceptions as boto

from rekolabels import Client, errors
from rekolabels._aws._errors import CODES, call_boto3, translate

if TYPE_CHECKING:
    from pathlib import Path

    from rekolabels.testing import Recorded

EVERY = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.RekolabelsError)
]


def client_error(code: str, status: int = 400) -> boto.ClientError:
    """Make an error response of AWS, as botocore raises it."""
    return boto.ClientError(
        {
            "Error": {"Code": code, "Message": "what AWS says"},
            "ResponseMetadata": {
                "RequestId": "1-2-3",
                "HTTPStatusCode": status,
                "HTTPHeaders": {},
                "RetryAttempts": 0,
                "HostId": "",
            },
        },
        "CreateProject",
    )


def test_the_docstring_shows_the_tree() -> None:
    """The module's docstring lists every class below its base class."""
    tree = inspect.getdoc(errors) or ""
    for kind in EVERY:
        assert kind.__name__ in tree
        if kind is not errors.RekolabelsError:
            assert tree.index(kind.__bases__[0].__name__) < tree.index(f" {kind.__name__}")


def test_all_lists_every_error() -> None:
    """``from rekolabels.errors import *`` imports every exception."""
    assert sorted(kind.__name__ for kind in EVERY) == errors.__all__


def test_every_modelled_error_maps() -> None:
    """Each error in Rekognition's service model has an entry in the table."""
    model = botocore.model.ServiceModel(
        botocore.loaders.Loader().load_service_model("rekognition", "service-2")
    )
    modelled = {shape.name for shape in model.error_shapes}
    assert modelled - set(CODES) == set()


@pytest.mark.parametrize("code", sorted(CODES))
def test_code_request_id_and_cause_stay_on_the_error(code: str) -> None:
    """The error has the operation, code, request id, status and message of AWS."""
    error = translate(client_error(code), "CreateProject")
    assert isinstance(error, CODES[code])
    assert (error.operation, error.code, error.request_id, error.http_status, error.detail) == (
        "CreateProject",
        code,
        "1-2-3",
        400,
        "what AWS says",
    )
    assert "what AWS says" in str(error)


def test_an_unknown_code_becomes_a_service_error() -> None:
    """A code that is not in the table is kept on a plain ServiceError."""
    error = translate(client_error("NovelException"), "CreateProject")
    assert type(error) is errors.ServiceError
    assert error.code == "NovelException"


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "404", errors.ObjectNotFound),
        (403, "403", errors.AccessDenied),
        (503, "Odd", errors.ServiceFault),
    ],
)
def test_responses_without_a_body_map_by_status(
    status: int, code: str, kind: type[errors.ServiceError]
) -> None:
    """S3 answers HEAD without a body, so botocore knows only the status."""
    assert type(translate(client_error(code, status), "HeadBucket")) is kind


@pytest.mark.parametrize(
    ("raised", "kind", "says"),
    [
        (boto.NoCredentialsError(), errors.NoCredentials, "aws configure"),
        (boto.NoRegionError(), errors.NoRegion, "region_name"),
        (boto.ProfileNotFound(profile="x"), errors.NoCredentials, "AWS_PROFILE"),
        (boto.EndpointConnectionError(endpoint_url="http://x"), errors.ConnectionFailed, "AWS_ENDPOINT_URL"),
        (boto.ReadTimeoutError(endpoint_url="http://x"), errors.ConnectionFailed, "no response"),
        (boto.ParamValidationError(report="Missing name"), errors.InvalidInput, "Missing name"),
    ],
)
def test_errors_of_botocore_say_what_to_do(
    raised: Exception, kind: type[errors.RekolabelsError], says: str
) -> None:
    """Errors that botocore raises before AWS answers are translated, with a fix."""
    error = translate(raised, "CreateProject")
    assert isinstance(error, kind)
    assert says in str(error)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"ProjectName": 5}, "CreateProject: ProjectName is 5, of type int; expected str."),
        ({"ProjectName": ""}, "CreateProject: ProjectName has length 0; expected at least 1."),
        ({}, 'CreateProject: Missing required parameter in input: "ProjectName".'),
        (
            {"ProjectName": 5, "Feature": b"x" * 1000},
            (
                "CreateProject: ProjectName is 5, of type int; expected str. "
                f"Feature is {(b'x' * 200)!s:.100}..., of type bytes; expected str."
            ),
        ),
    ],
)
def test_reports_about_parameters_become_sentences(parameters: dict[str, object], message: str) -> None:
    """Botocore's "Parameter validation failed" is not what users see."""
    client: Any = boto3.Session("a", "b", region_name="us-east-1").client("rekognition")
    with pytest.raises(errors.InvalidInput) as raised:
        call_boto3("CreateProject", client.create_project, **parameters)
    assert message == str(raised.value)


def test_a_missing_profile_is_named_with_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error shows which profiles there are."""
    (tmp_path / "config").write_text("[default]\n[profile vision]\n", encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "vison")
    with pytest.raises(errors.NoCredentials) as raised:
        Client(region_name="us-east-1")
    assert (
        "The AWS profile 'vison' does not exist. This machine has 'default', 'vision'. Choose one with "
        "AWS_PROFILE or `boto3.Session(profile_name=...)`, or create it with `aws configure --profile vison`."
    ) == str(raised.value)


def test_other_exceptions_are_not_translated() -> None:
    """An exception that does not come from botocore is a bug and stays as it is."""
    assert translate(KeyError("x"), "CreateProject") is None


@pytest.mark.parametrize(
    "error",
    [
        errors.MissingExtra("local", "Training"),
        errors.ServiceError("m", operation="o", code="c", request_id="r", http_status=400, detail="d"),
        errors.TrainingFailed("m", arn="a", status="s", status_message="x", codes=["E"], summary={"a": 1}),
        errors.WaitTimedOut("m", arn="a", status="s", waited=1.5),
        errors.InvalidManifest("m", line=3, code="ERROR_INVALID_JSON_LINE"),
        errors.RekolabelsError("m"),
    ],
)
def test_errors_are_picklable(error: errors.RekolabelsError) -> None:
    """Class, message and attributes survive pickling."""
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 -- our own bytes
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_explained_keeps_what_aws_said() -> None:
    """The explained error keeps class, code and request id."""
    error = errors.ResourceInUse("m", operation="o", code="c", request_id="r", http_status=400, detail="d")
    explained = error.explained("Choose another name.")
    assert type(explained) is errors.ResourceInUse
    assert str(explained) == "Choose another name. [o: c: d]"
    assert explained.request_id == "r"


@pytest.mark.parametrize(
    ("bucket", "count"),
    [("puppies", 1), ("my-custom-labels-bucket", 0)],
)
def test_a_denied_bucket_mentions_the_managed_policy(
    rekolabels_recorded: Recorded, bucket: str, count: int
) -> None:
    """AWS's managed policy for Custom Labels covers only buckets with ``custom-labels`` in their names."""
    denied = {
        "service": "s3",
        "operation": "HeadBucket",
        "response": {"Error": {"Code": "403", "Message": "Forbidden"}},
    }
    with pytest.raises(errors.AccessDenied) as caught:
        rekolabels_recorded(denied, bucket=bucket).ensure_bucket()
    message = str(caught.value)
    assert f"No access to bucket {bucket!r}. The caller lacks the permission s3:ListBucket" in message
    assert message.count("covers only buckets whose names contain 'custom-labels'") == count
    assert (caught.value.operation, caught.value.code) == ("HeadBucket", "403")


def test_a_bucket_that_cannot_be_created_mentions_the_managed_policy(rekolabels_recorded: Recorded) -> None:
    """It does not allow CreateBucket, whatever the name."""
    answers = [("HeadBucket", "404", "Not Found"), ("CreateBucket", "AccessDenied", "Access Denied")]
    recordings = [
        {"service": "s3", "operation": name, "response": {"Error": {"Code": code, "Message": message}}}
        for name, code, message in answers
    ]
    with pytest.raises(errors.AccessDenied, match="does not allow CreateBucket"):
        rekolabels_recorded(*recordings, bucket="custom-labels-7").ensure_bucket()
