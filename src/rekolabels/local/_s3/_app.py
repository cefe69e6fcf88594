"""The door: which operation a request means, and how its outcome is sent."""

from __future__ import annotations

import logging
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from rekolabels.local._core._sqlite import DatabaseClosed
from rekolabels.local._core._wsgi import BadRequest
from rekolabels.local._s3 import _bucket_operations as buckets
from rekolabels.local._s3 import _multipart_operations as uploads
from rekolabels.local._s3 import _object_operations as objects
from rekolabels.local._s3._errors import S3Error, not_implemented
from rekolabels.local._s3._presigned import check_expiry
from rekolabels.local._s3._request import Answer, Request, read_request
from rekolabels.local._s3._store import Store

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_LOG = logging.getLogger("rekolabels.local.s3")

Operation: TypeAlias = Callable[[Store, Request], Answer]

_RESPONSES = (
    "response-cache-control response-content-disposition response-content-encoding response-content-language"
    " response-content-type response-expires"
)
_PAGING = "prefix delimiter encoding-type"

# What stands in the query decides: the operation, and which parameters it knows. The empty name is the
# operation without any of the others. Whatever else is asked for is refused, so that nothing is taken for
# what it is not.
_SERVICE: dict[tuple[str, str], tuple[Operation, str]] = {
    ("GET", ""): (buckets.list_buckets, "prefix max-buckets continuation-token bucket-region"),
}
_BUCKET: dict[tuple[str, str], tuple[Operation, str]] = {
    ("PUT", ""): (buckets.create_bucket, ""),
    ("HEAD", ""): (buckets.head_bucket, ""),
    ("DELETE", ""): (buckets.delete_bucket, ""),
    ("GET", ""): (buckets.list_objects_v1, f"{_PAGING} marker max-keys"),
    ("GET", "list-type"): (
        buckets.list_objects_v2,
        f"{_PAGING} max-keys continuation-token start-after fetch-owner",
    ),
    ("GET", "location"): (buckets.bucket_location, ""),
    ("POST", "delete"): (buckets.delete_objects, ""),
    ("GET", "uploads"): (uploads.list_uploads, f"{_PAGING} max-uploads key-marker upload-id-marker"),
}
_OBJECT: dict[tuple[str, str], tuple[Operation, str]] = {
    ("PUT", ""): (objects.put_object, ""),
    ("GET", ""): (objects.get_object, f"{_RESPONSES} versionId partNumber"),
    ("HEAD", ""): (objects.head_object, f"{_RESPONSES} versionId partNumber"),
    ("DELETE", ""): (objects.delete_object, "versionId"),
    ("GET", "tagging"): (objects.object_tagging, "versionId"),
    ("POST", "uploads"): (uploads.create_upload, ""),
    ("PUT", "uploadId"): (uploads.upload_part, "partNumber"),
    ("POST", "uploadId"): (uploads.complete_upload, ""),
    ("DELETE", "uploadId"): (uploads.abort_upload, ""),
    ("GET", "uploadId"): (uploads.list_parts, "max-parts part-number-marker"),
}
_COPIES: dict[str, Operation] = {"": objects.copy_object, "uploadId": uploads.copy_part}
_SIGNATURE = {"AWSAccessKeyId", "Signature", "Expires"}
# Headers that ask for what would have to be imitated.
_REFUSED = (
    "x-amz-server-side-encryption-customer-",
    "x-amz-copy-source-server-side-encryption-customer-",
    "x-amz-object-lock-",
    "x-amz-grant-",
    "x-amz-tagging",
    "x-amz-write-offset-bytes",
)


class S3Directory:
    """S3 on a directory, as a WSGI application.

    Speaks what boto3, ``aws s3`` and the JavaScript SDK need for work with files: buckets, objects (ranges,
    conditions, checksums, user metadata, presigned URLs, ``aws-chunked`` bodies), copies, listings of both
    versions, uploads in parts. Signatures are not verified, and nobody is refused anything. What S3 has
    beyond this is answered with ``NotImplemented``. Several threads, and several processes with one
    application each, can work on one directory.

    Args:
        root: The directory. Objects lie in ``<root>/<bucket>/<key>`` as plain files to be read, as far as
            the file system can hold the key.
        region: The Region for requests that are not signed for another one.
        clock: The time, in seconds since 1970.
        fsync: Whether every write is forced to the disk before it is answered. Without it what was answered
            survives the death of the process, not a loss of power.

    Raises:
        InvalidInput: The directory cannot be used, or a newer rekolabels wrote it.
    """

    def __init__(
        self,
        root: Path,
        *,
        region: str = "us-east-1",
        clock: Callable[[], float] = time.time,
        fsync: bool = False,
    ) -> None:
        self._clock = clock
        self._store = Store(Path(root), region=region, clock=clock, fsync=fsync)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        request_id = secrets.token_hex(8).upper()
        host_id = secrets.token_hex(24)
        method = environ["REQUEST_METHOD"].upper()
        try:
            request = read_request(environ, self._store.has_bucket)
            check_expiry(request.query, self._clock())
            answer = _operation(request)(self._store, request)
        except S3Error as error:
            answer = _refusal(error, environ.get("PATH_INFO", ""), request_id, host_id)
        except BadRequest:
            raise  # the host, whose matter HTTP is, answers
        except DatabaseClosed:
            refusal = S3Error("ServiceUnavailable")
            answer = _refusal(refusal, environ.get("PATH_INFO", ""), request_id, host_id)
        except (OSError, sqlite3.Error) as error:
            # The disk is full, or somebody took it away: the message is for whoever hosts the service.
            _LOG.exception("%s %s failed", method, environ.get("PATH_INFO", ""))
            internal = S3Error("InternalError", f"We encountered an internal error: {error}")
            answer = _refusal(internal, environ.get("PATH_INFO", ""), request_id, host_id)
        except Exception:  # noqa: BLE001 - whatever went wrong, a client of S3 understands only S3
            _LOG.exception("%s %s failed", method, environ.get("PATH_INFO", ""))
            answer = _refusal(S3Error("InternalError"), environ.get("PATH_INFO", ""), request_id, host_id)
        headers = {"x-amz-request-id": request_id, "x-amz-id-2": host_id, **answer.headers}
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", list(headers.items()))
        return () if method == "HEAD" else answer.body

    def close(self) -> None:
        """Let go of the directory; later requests are answered with ``ServiceUnavailable``."""
        self._store.close()


def _refusal(error: S3Error, path: str, request_id: str, host_id: str) -> Answer:
    if error.status == HTTPStatus.NOT_MODIFIED:
        return Answer(error.status, error.headers)
    resource = path.encode("latin-1", "replace").decode(errors="replace")
    body = error.document(resource=resource, request_id=request_id, host_id=host_id)
    headers = {"Content-Type": "application/xml", "Content-Length": str(len(body)), **error.headers}
    return Answer(error.status, headers, [body])


def _operation(request: Request) -> Operation:
    """The operation that a request means.

    Raises:
        S3Error: ``MethodNotAllowed``, or ``NotImplemented`` for everything that S3 can do and this cannot.
    """
    table = _OBJECT if request.key else _BUCKET if request.bucket else _SERVICE
    names = [name for name in request.query if not name.lower().startswith("x-") and name not in _SIGNATURE]
    chosen = next((name for name in names if (request.method, name) in table), "")
    if (request.method, chosen) not in table:
        if names:
            raise not_implemented(f"{request.method} with ?{names[0]}")
        raise S3Error("MethodNotAllowed", Method=request.method)
    operation, known = table[request.method, chosen]
    for name in names:
        if name not in {chosen, *known.split()}:
            raise not_implemented(f"{request.method} with ?{name}")
    for header in request.headers:
        if header.startswith(_REFUSED) and header != "x-amz-tagging-directive":
            raise not_implemented(f"The header {header}")
    if request.method == "PUT" and request.key and "x-amz-copy-source" in request.headers:
        return _COPIES[chosen]
    return operation
