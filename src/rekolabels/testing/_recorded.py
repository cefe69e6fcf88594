"""``Recorded``: clients that replay recorded AWS responses through botocore's Stubber."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import os

    from botocore.model import Shape
    from botocore.stub import Stubber

    from rekolabels._aws._retry import RetryPolicy
    from rekolabels.client import Client

__all__ = ["Recorded"]


class Recorded:
    """Creates clients that replay recorded responses in order; the fixture ``rekolabels_recorded``.

    A recording is a mapping, or a JSON file with one. Its keys are ``operation``, such as
    ``"DetectCustomLabels"``; ``response``, as boto3 returns it or the AWS CLI prints it, with times as text;
    and ``service``, ``"rekognition"`` (the default) or ``"s3"``. The response of an error has the key
    ``Error`` with its ``Code`` and ``Message``. Other keys are ignored. Responses are validated against
    botocore's model of the operation.
    """

    def __init__(self, retry: RetryPolicy) -> None:
        from rekolabels import RetryPolicy
        from rekolabels._arguments import check_instance

        self._retry = check_instance("retry", retry, RetryPolicy, "a RetryPolicy")
        self._stubs: list[Stubber] = []

    def __repr__(self) -> str:
        return f"<Recorded: {len(self._stubs) // 2} clients>"

    def __call__(
        self,
        *recordings: str | os.PathLike[str] | Mapping[str, Any],
        bucket: str | None = None,
        region_name: str = "us-east-1",
    ) -> Client:
        """Create a client that answers its requests with these recordings.

        The first request to a service gets the first response for that service, and so on. A request without
        a response, or for another operation than was recorded, is an error. Nothing reaches the network.

        Args:
            recordings: Paths of JSON files, or mappings.
            bucket: Bucket of the client.
            region_name: AWS Region of the client.

        Raises:
            InvalidInput: A recording cannot be read or does not match its operation; the message names it.
        """
        import boto3
        from botocore.stub import Stubber

        from rekolabels import Client
        from rekolabels._aws._connection import check_region_name

        check_region_name("region_name", region_name)

        class Session(boto3.Session):
            """Returns the two stubbed clients, also to an application that creates its own."""

            def client(self, service_name: str, *_: Any, **__: Any) -> Any:
                return stubs[service_name].client

        session: Any = boto3.Session("testing", "testing", region_name=region_name)
        stubs = {"rekognition": Stubber(session.client("rekognition")), "s3": Stubber(session.client("s3"))}
        for recording in recordings:
            _add(stubs, recording)
        for stub in stubs.values():
            stub.activate()
        self._stubs += stubs.values()
        return Client(Session(region_name=region_name), bucket=bucket, retry=self._retry)

    def check(self) -> None:
        """Check that every response was used; the fixture calls this at the end of the test.

        Raises:
            AssertionError: A response was not used; the message names its operation.
        """
        for stub in self._stubs:
            stub.assert_no_pending_responses()


def _add(stubs: Mapping[str, Stubber], recording: str | os.PathLike[str] | Mapping[str, Any]) -> None:
    from botocore import xform_name
    from botocore.exceptions import ParamValidationError
    from botocore.model import OperationNotFoundError

    from rekolabels.errors import InvalidInput

    name, found = _load(recording)
    service: Any = found.get("service", "rekognition")
    operation: Any = found.get("operation")
    response: Any = found.get("response")
    for part, value, valid in (
        ("service", service, service in list(stubs)),
        ("operation", operation, isinstance(operation, str)),
        ("response", response, isinstance(response, Mapping)),
    ):
        if not valid:
            shown = repr(value) if part in found and isinstance(value, str) else repr(part)
            raise InvalidInput(
                f"{name}: {shown} is missing or unknown. A recording has the keys 'operation', 'response' "
                "and, for S3, 'service': 's3'."
            )
    stub = stubs[service]
    try:
        model = stub.client.meta.service_model.operation_model(operation)
    except OperationNotFoundError as error:
        raise InvalidInput(f"{name}: {operation!r} is not an operation of the service.") from error
    if "Error" in response:
        code, message, status = _error_details(response)
        if not isinstance(code, str) or not isinstance(message, str) or type(status) is not int:
            raise InvalidInput(f"{name}: an 'Error' has a 'Code' and, optionally, a 'Message', both as text.")
        stub.add_client_error(xform_name(operation), code, message, status)
        return
    try:
        stub.add_response(xform_name(operation), _typed(model.output_shape, dict(response)))
    except (ParamValidationError, ValueError, OverflowError) as error:  # the last two: not a valid time
        raise InvalidInput(f"{name}: the response does not match {operation}: {error}") from error


def _error_details(response: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Return code, message and HTTP status of a recorded error."""
    details: Any = response["Error"]
    metadata: Any = response.get("ResponseMetadata", {})
    if not isinstance(details, dict) or not isinstance(metadata, dict):
        return None, None, None
    found, meta = cast("dict[str, Any]", details), cast("dict[str, Any]", metadata)
    return found.get("Code"), found.get("Message", ""), meta.get("HTTPStatusCode", 400)


def _load(recording: str | os.PathLike[str] | Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    from rekolabels._arguments import check_file
    from rekolabels.errors import InvalidInput

    if isinstance(recording, Mapping):
        return "a recording", recording
    path = check_file("A recording", recording, "the path of a JSON file, or a mapping")
    try:
        found: Any = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{recording}: cannot be read: {error}.") from error
    if not isinstance(found, dict):
        raise InvalidInput(f"{recording}: expected a JSON object with 'operation' and 'response'.")
    return str(recording), cast("dict[str, Any]", found)


def _typed(shape: Shape | None, value: Any) -> Any:
    """Convert times and bodies, which JSON has as text or numbers, to the types that botocore returns."""
    from botocore.model import ListShape, StructureShape

    if isinstance(shape, StructureShape) and isinstance(value, dict):
        items = cast("dict[str, Any]", value)
        return {key: _typed(shape.members.get(key), item) for key, item in items.items()}
    if isinstance(shape, ListShape) and isinstance(value, list):
        listed = cast("list[Any]", value)  # type: ignore[redundant-cast]  # pyright sees no element type
        return [_typed(shape.member, item) for item in listed]
    if shape is None:
        return value
    if shape.type_name == "timestamp" and isinstance(value, (str, int, float)):
        from botocore.utils import parse_timestamp

        return parse_timestamp(str(value))
    if shape.type_name == "blob" and isinstance(value, str):
        from botocore.response import StreamingBody

        data = value.encode()
        return StreamingBody(io.BytesIO(data), len(data))
    return value
