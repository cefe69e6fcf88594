"""The error tree: complete, drawn, picklable, and every answer of AWS finds its place in it."""

from __future__ import annotations

import inspect
import pickle

import botocore.loaders
import botocore.model
import pytest
from botocore import exceptions as boto

from rekolabels import errors
from rekolabels._aws._errors import CODES, translate

EVERY = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.RekolabelsError)
]


def answer(code: str, status: int = 400) -> boto.ClientError:
    """An error answer of AWS, as botocore raises it."""
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


def test_the_tree_is_drawn() -> None:
    """The docstring of the module shows every class, below its parent."""
    drawing = inspect.getdoc(errors) or ""
    for kind in EVERY:
        assert kind.__name__ in drawing
        if kind is not errors.RekolabelsError:
            assert drawing.index(kind.__bases__[0].__name__) < drawing.index(f" {kind.__name__}")


def test_all_lists_every_error() -> None:
    """``from rekolabels.errors import *`` brings the whole tree."""
    assert sorted(kind.__name__ for kind in EVERY) == errors.__all__


def test_every_modelled_error_maps() -> None:
    """Each error that the service model of Rekognition declares becomes one of ours, on purpose."""
    model = botocore.model.ServiceModel(
        botocore.loaders.Loader().load_service_model("rekognition", "service-2")
    )
    modelled = {shape.name for shape in model.error_shapes}
    assert modelled - set(CODES) == set()


@pytest.mark.parametrize("code", sorted(CODES))
def test_code_request_id_and_cause_stay_on_the_error(code: str) -> None:
    """What AWS said can be read off the error."""
    error = translate(answer(code), "CreateProject")
    assert isinstance(error, CODES[code])
    assert (error.operation, error.code, error.request_id, error.http_status, error.detail) == (
        "CreateProject",
        code,
        "1-2-3",
        400,
        "what AWS says",
    )
    assert "what AWS says" in str(error)


def test_an_unknown_code_stays_readable() -> None:
    """A code of tomorrow becomes a plain ServiceError that names it."""
    error = translate(answer("NovelException"), "CreateProject")
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
def test_answers_without_a_body_go_by_their_status(
    status: int, code: str, kind: type[errors.ServiceError]
) -> None:
    """S3 answers HEAD without a body: botocore has only the status."""
    assert type(translate(answer(code, status), "HeadBucket")) is kind


@pytest.mark.parametrize(
    ("raised", "kind", "says"),
    [
        (boto.NoCredentialsError(), errors.NoCredentials, "aws configure"),
        (boto.NoRegionError(), errors.NoRegion, "region_name"),
        (boto.ProfileNotFound(profile="x"), errors.NoCredentials, "AWS_PROFILE"),
        (boto.EndpointConnectionError(endpoint_url="http://x"), errors.ConnectionFailed, "AWS_ENDPOINT_URL"),
        (boto.ReadTimeoutError(endpoint_url="http://x"), errors.ConnectionFailed, "no answer"),
        (boto.ParamValidationError(report="Missing name"), errors.InvalidInput, "Missing name"),
    ],
)
def test_errors_of_botocore_say_what_to_do(
    raised: Exception, kind: type[errors.RekolabelsError], says: str
) -> None:
    """What botocore raises before AWS answers is translated too, with the way out."""
    error = translate(raised, "CreateProject")
    assert isinstance(error, kind)
    assert says in str(error)


def test_foreign_errors_are_left_alone() -> None:
    """What is not botocore's is a bug, and comes through as it is."""
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
def test_errors_survive_the_way_home_from_a_worker(error: errors.RekolabelsError) -> None:
    """A pickled error comes back with its class, message and attributes."""
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 -- our own bytes
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_explained_keeps_what_aws_said() -> None:
    """An explanation for the situation keeps class, code and request id."""
    error = errors.ResourceInUse("m", operation="o", code="c", request_id="r", http_status=400, detail="d")
    told = error.explained("Choose another name.")
    assert type(told) is errors.ResourceInUse
    assert str(told) == "Choose another name. [o: c: d]"
    assert told.request_id == "r"
