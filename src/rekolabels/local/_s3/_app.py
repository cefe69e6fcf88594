"""WSGI application: routes requests to operations, and turns exceptions into S3 errors."""

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
from rekolabels.local._s3 import _acl_operations as acls
from rekolabels.local._s3 import _bucket_operations as buckets
from rekolabels.local._s3 import _cors_operations as cors
from rekolabels.local._s3 import _multipart_operations as uploads
from rekolabels.local._s3 import _object_operations as objects
from rekolabels.local._s3 import _policy_operations as policies
from rekolabels.local._s3 import _tag_operations as tags
from rekolabels.local._s3._attributes_operations import get_object_attributes
from rekolabels.local._s3._errors import S3Error, not_implemented
from rekolabels.local._s3._form_operations import post_object
from rekolabels.local._s3._object_store import ObjectStore
from rekolabels.local._s3._request import Request, check_expiry, parse_request
from rekolabels.local._s3._response import Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = ["S3Directory"]

_LOG = logging.getLogger("rekolabels.local.s3")

Operation: TypeAlias = Callable[[ObjectStore, Request], Response]

_OVERRIDES = (
    "response-cache-control response-content-disposition response-content-encoding response-content-language"
    " response-content-type response-expires"
)
_WRITING = frozenset({"PUT", "POST"})
"""Methods of the operations that write bodies."""
_PAGING = "prefix delimiter encoding-type"

# By method and by the query parameter that selects the operation ("" for the default operation): the
# operation, and its other parameters. Any other parameter is refused, so that no request is misunderstood.
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
    ("GET", "location"): (buckets.get_bucket_location, ""),
    ("GET", "versioning"): (buckets.get_bucket_versioning, ""),
    ("GET", "versions"): (
        buckets.list_object_versions,
        f"{_PAGING} max-keys key-marker version-id-marker",
    ),
    ("GET", "policy"): (policies.get_bucket_policy, ""),
    ("PUT", "policy"): (policies.put_bucket_policy, ""),
    ("DELETE", "policy"): (policies.delete_bucket_policy, ""),
    ("GET", "tagging"): (tags.get_bucket_tagging, ""),
    ("PUT", "tagging"): (tags.put_bucket_tagging, ""),
    ("DELETE", "tagging"): (tags.delete_bucket_tagging, ""),
    ("GET", "cors"): (cors.get_bucket_cors, ""),
    ("PUT", "cors"): (cors.put_bucket_cors, ""),
    ("DELETE", "cors"): (cors.delete_bucket_cors, ""),
    ("GET", "acl"): (acls.get_bucket_acl, ""),
    ("PUT", "acl"): (acls.put_bucket_acl, ""),
    ("POST", ""): (post_object, ""),
    ("POST", "delete"): (buckets.delete_objects, ""),
    ("GET", "uploads"): (
        uploads.list_multipart_uploads,
        f"{_PAGING} max-uploads key-marker upload-id-marker",
    ),
}
_OBJECT: dict[tuple[str, str], tuple[Operation, str]] = {
    ("PUT", ""): (objects.put_object, ""),
    ("GET", ""): (objects.get_object, f"{_OVERRIDES} versionId partNumber"),
    ("HEAD", ""): (objects.head_object, f"{_OVERRIDES} versionId partNumber"),
    ("DELETE", ""): (objects.delete_object, "versionId"),
    ("GET", "attributes"): (get_object_attributes, "versionId"),
    ("GET", "tagging"): (tags.get_object_tagging, "versionId"),
    ("PUT", "tagging"): (tags.put_object_tagging, "versionId"),
    ("DELETE", "tagging"): (tags.delete_object_tagging, "versionId"),
    ("GET", "acl"): (acls.get_object_acl, "versionId"),
    ("PUT", "acl"): (acls.put_object_acl, "versionId"),
    ("POST", "uploads"): (uploads.create_multipart_upload, ""),
    ("PUT", "uploadId"): (uploads.upload_part, "partNumber"),
    ("POST", "uploadId"): (uploads.complete_multipart_upload, ""),
    ("DELETE", "uploadId"): (uploads.abort_multipart_upload, ""),
    ("GET", "uploadId"): (uploads.list_parts, "max-parts part-number-marker"),
}
_COPIES: dict[str, Operation] = {"": objects.copy_object, "uploadId": uploads.upload_part_copy}
_SIGNATURE = {"AWSAccessKeyId", "Signature", "Expires"}
# Headers of features that are not implemented.
_UNSUPPORTED_HEADERS = (
    "x-amz-server-side-encryption-customer-",
    "x-amz-copy-source-server-side-encryption-customer-",
    "x-amz-object-lock-",
    "x-amz-grant-",
    "x-amz-write-offset-bytes",
)


class S3Directory:
    """S3 on a directory, as a WSGI application.

    Implements what boto3, ``aws s3`` and the JavaScript SDK need for work with files: buckets, objects
    (ranges, conditions, checksums, user metadata, tags, presigned URLs, ``aws-chunked`` bodies), copies,
    listings, and multipart uploads. Bucket policies, CORS rules, canned ACLs and encryption headers are kept
    and returned, without effect. Signatures and permissions are not checked. Other features of S3 are
    answered with ``NotImplemented``. Several threads, and several processes with one application
    each, can use the same directory.

    Args:
        root: The directory. Objects are plain files ``<root>/<bucket>/<key>`` for reading, as far as the
            file system can hold the key.
        region: Region of requests whose signature does not name one.
        clock: Returns seconds since 1970.
        fsync: Whether every write is flushed to the disk before it is answered. Without it, answered writes
            survive the death of the process, but not a loss of power.

    Raises:
        InvalidInput: The directory cannot be used, or a newer version of rekolabels wrote it.
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
        self._store = ObjectStore(Path(root), region=region, clock=clock, fsync=fsync)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        random = secrets.token_hex(32)
        request_id, host_id = random[:16].upper(), random[16:]
        method = environ["REQUEST_METHOD"].upper()
        path = environ.get("PATH_INFO", "")
        try:
            request = parse_request(environ, self._store.has_bucket)
            check_expiry(request.query, self._clock())
            operation = _route(request)
            if method in _WRITING:
                with self._store.writing():
                    response = operation(self._store, request)
            else:
                response = operation(self._store, request)
        except S3Error as error:
            response = _error_response(error, path, request_id, host_id)
        except BadRequest:
            raise  # invalid HTTP: the host answers it
        except DatabaseClosed:
            response = _error_response(S3Error("ServiceUnavailable"), path, request_id, host_id)
        except (OSError, sqlite3.Error) as error:
            # The disk is full, or the folder was removed: the message helps the user who runs the service.
            _LOG.exception("%s %s failed.", method, path)
            internal = S3Error("InternalError", f"We encountered an internal error: {error}")
            response = _error_response(internal, path, request_id, host_id)
        except Exception:  # noqa: BLE001 - a client of S3 understands only errors of S3
            _LOG.exception("%s %s failed.", method, path)
            response = _error_response(S3Error("InternalError"), path, request_id, host_id)
        headers = {"x-amz-request-id": request_id, "x-amz-id-2": host_id, **response.headers}
        start_response(f"{response.status} {HTTPStatus(response.status).phrase}", list(headers.items()))
        return () if method == "HEAD" else response.body

    def close(self) -> None:
        """Release the directory; later requests are answered with ``ServiceUnavailable``."""
        self._store.close()


def _error_response(error: S3Error, path: str, request_id: str, host_id: str) -> Response:
    if error.status == HTTPStatus.NOT_MODIFIED:
        return Response(error.status, error.headers)
    resource = path.encode("latin-1", "replace").decode(errors="replace")
    body = error.document(resource=resource, request_id=request_id, host_id=host_id)
    headers = {"Content-Type": "application/xml", "Content-Length": str(len(body)), **error.headers}
    return Response(error.status, headers, [body])


def _route(request: Request) -> Operation:
    """Return the operation for a request.

    Raises:
        S3Error: ``MethodNotAllowed``, or ``NotImplemented`` for features of S3 that are missing here.
    """
    table = _OBJECT if request.key else _BUCKET if request.bucket else _SERVICE
    names = [name for name in request.query if not name.lower().startswith("x-") and name not in _SIGNATURE]
    chosen = next((name for name in names if (request.method, name) in table), "")
    if (request.method, chosen) not in table:
        if names:
            raise not_implemented(f"{request.method} with ?{names[0]}")
        raise S3Error("MethodNotAllowed", Method=request.method)
    operation, parameters = table[request.method, chosen]
    for name in names:
        if name not in {chosen, *parameters.split()}:
            raise not_implemented(f"{request.method} with ?{name}")
    for header in request.headers:
        if header.startswith(_UNSUPPORTED_HEADERS):
            raise not_implemented(f"The header {header}")
    if request.method == "PUT" and request.key and "x-amz-copy-source" in request.headers:
        if chosen not in _COPIES:
            raise not_implemented(f"PUT with ?{chosen} and x-amz-copy-source")
        return _COPIES[chosen]
    return operation
