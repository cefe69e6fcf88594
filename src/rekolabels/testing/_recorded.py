"""Answers of AWS that were recorded, played back through botocore's Stubber."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import os

    from botocore.model import Shape
    from botocore.stub import Stubber

    from rekolabels._aws._retry import RetryPolicy
    from rekolabels.client import Client

__all__ = ["Recorded"]


class Recorded:
    """Makes clients that answer what was recorded, in order; the fixture ``rekolabels_recorded``.

    A recording is a mapping, or a JSON file that holds one: ``operation``, such as ``"DetectCustomLabels"``;
    ``response``, as boto3 returns it or the AWS CLI prints it, times as text; and ``service``, which is
    ``"rekognition"`` unless it says ``"s3"``. An error is a response with ``Error``: its ``Code`` and
    ``Message``. Other keys are for the reader. Responses are checked against botocore's description of the
    operation.
    """

    def __init__(self, retry: RetryPolicy) -> None:
        self._retry = retry
        self._stubs: list[Stubber] = []

    def __call__(
        self,
        *recordings: str | os.PathLike[str] | Mapping[str, Any],
        bucket: str | None = None,
        region_name: str = "us-east-1",
    ) -> Client:
        """Make a client that answers its requests with these recordings.

        The first request to a service gets the first answer of that service, and so on. A request that no
        answer is left for, or another operation than was recorded, is an error; nothing reaches the network.

        Args:
            recordings: Paths of JSON files, or mappings.
            bucket: As for ``rekolabels.Client``.
            region_name: As for ``rekolabels.Client``.

        Raises:
            InvalidInput: A recording cannot be read, or does not fit its operation; the message names it.
        """
        import boto3
        from botocore.stub import Stubber

        from rekolabels import Client

        class Session(boto3.Session):
            """Gives the two clients that answer, also to an application that asks for one itself."""

            def client(self, service_name: str, *_: Any, **__: Any) -> Any:
                return stubs[service_name].client

        plain: Any = boto3.Session("testing", "testing", region_name=region_name)
        stubs = {"rekognition": Stubber(plain.client("rekognition")), "s3": Stubber(plain.client("s3"))}
        for recording in recordings:
            _add(stubs, recording)
        for stub in stubs.values():
            stub.activate()
        self._stubs += stubs.values()
        return Client(Session(region_name=region_name), bucket=bucket, retry=self._retry)

    def check(self) -> None:
        """See that every answer was asked for; the fixture does it when the test ends.

        Raises:
            AssertionError: One was not; the message names its operation.
        """
        for stub in self._stubs:
            stub.assert_no_pending_responses()


def _add(stubs: Mapping[str, Stubber], recording: str | os.PathLike[str] | Mapping[str, Any]) -> None:
    from botocore import xform_name
    from botocore.exceptions import ParamValidationError
    from botocore.model import OperationNotFoundError

    from rekolabels.errors import InvalidInput

    name, found = _load(recording)
    try:
        stub = stubs[found.get("service", "rekognition")]
        operation, response = found["operation"], dict(found["response"])
        model = stub.client.meta.service_model.operation_model(operation)
    except KeyError as error:
        raise InvalidInput(
            f"{name}: {error} is missing or unknown; a recording has 'operation', 'response' and, for S3, "
            "'service': 's3'."
        ) from error
    except OperationNotFoundError as error:
        raise InvalidInput(f"{name}: {found['operation']!r} is no operation of the service.") from error
    if "Error" in response:
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
        refusal = response["Error"]
        stub.add_client_error(xform_name(operation), refusal["Code"], refusal.get("Message", ""), status)
        return
    try:
        stub.add_response(xform_name(operation), _typed(model.output_shape, response))
    except ParamValidationError as error:
        raise InvalidInput(f"{name}: the response is none of {operation}: {error}") from error


def _load(recording: str | os.PathLike[str] | Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    from rekolabels.errors import InvalidInput

    if isinstance(recording, Mapping):
        return "a recording", recording
    try:
        found: Any = json.loads(Path(recording).read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{recording}: cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise InvalidInput(f"{recording}: expected a JSON object with 'operation' and 'response'.")
    return str(recording), cast("dict[str, Any]", found)


def _typed(shape: Shape | None, value: Any) -> Any:
    """Give values the types that botocore gives them: JSON has neither times nor bytes."""
    from botocore.model import ListShape, StructureShape

    if isinstance(shape, StructureShape) and isinstance(value, dict):
        items = cast("dict[str, Any]", value)
        return {key: _typed(shape.members.get(key), item) for key, item in items.items()}
    if isinstance(shape, ListShape) and isinstance(value, list):
        listed = cast("list[Any]", value)  # type: ignore[redundant-cast]  # pyright sees no element type
        return [_typed(shape.member, item) for item in listed]
    if shape is None or not isinstance(value, str):
        return value
    if shape.type_name == "timestamp":
        from botocore.utils import parse_timestamp

        return parse_timestamp(value)
    if shape.type_name == "blob":
        from botocore.response import StreamingBody

        data = value.encode()
        return StreamingBody(io.BytesIO(data), len(data))
    return value
