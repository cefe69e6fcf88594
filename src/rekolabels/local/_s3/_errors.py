"""Error codes of S3, from "Error Responses" in the Amazon S3 API Reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rekolabels.local._core._s3_xml import error_document

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CODES", "S3Error", "not_implemented"]

CODES: Mapping[str, tuple[int, str]] = {
    "AccessDenied": (403, "Access Denied"),
    "AuthorizationQueryParametersError": (400, "The authorization query parameters are not valid."),
    "BadDigest": (
        400,
        ("The Content-MD5 or checksum value that you specified did not match what the server received"),
    ),
    "BadRequest": (400, "Bad Request"),
    "BucketAlreadyOwnedByYou": (
        409,
        "Your previous request to create the named bucket succeeded and you already own it.",
    ),
    "BucketNotEmpty": (409, "The bucket you tried to delete is not empty."),
    "EntityTooLarge": (400, "Your proposed upload exceeds the maximum allowed size."),
    "EntityTooSmall": (400, "Your proposed upload is smaller than the minimum allowed size."),
    "IllegalLocationConstraintException": (
        400,
        (
            "The unspecified location constraint is incompatible for the region specific endpoint"
            " this request was sent to."
        ),
    ),
    "IncompleteBody": (
        400,
        "You did not provide the number of bytes specified by the Content-Length HTTP header.",
    ),
    "InternalError": (500, "We encountered an internal error. Please try again."),
    "InvalidArgument": (400, "Invalid Argument"),
    "InvalidBucketName": (400, "The specified bucket is not valid."),
    "InvalidDigest": (400, "The Content-MD5 you specified is not valid."),
    "InvalidLocationConstraint": (400, "The specified location-constraint is not valid."),
    "InvalidPart": (
        400,
        (
            "One or more of the specified parts could not be found. The part may not have been"
            " uploaded, or the specified entity tag may not match the part's entity tag."
        ),
    ),
    "InvalidPartNumber": (416, "The requested partnumber is not satisfiable."),
    "InvalidPartOrder": (
        400,
        "The list of parts was not in ascending order. Parts must be ordered by part number.",
    ),
    "InvalidPolicyDocument": (
        400,
        "The content of the form does not meet the conditions specified in the policy document.",
    ),
    "InvalidRange": (416, "The requested range is not satisfiable"),
    "InvalidRequest": (400, "Invalid Request"),
    "InvalidStorageClass": (400, "The storage class you specified is not valid."),
    "InvalidTag": (400, "The tag provided was not a valid tag."),
    "InvalidURI": (400, "Couldn't parse the specified URI."),
    "KeyTooLongError": (400, "Your key is too long."),
    "MalformedACLError": (
        400,
        "The ACL that you provided was not well formed or did not validate against our published schema.",
    ),
    "MalformedPOSTRequest": (400, "The body of your POST request is not well-formed multipart/form-data."),
    "MalformedPolicy": (400, "Policy has invalid syntax."),
    "MalformedTrailerError": (400, "The request contained trailing data that was not well-formed."),
    "MalformedXML": (
        400,
        "The XML you provided was not well-formed or did not validate against our published schema.",
    ),
    "MaxPostPreDataLengthExceededError": (
        400,
        "Your POST request fields preceding the upload file were too large.",
    ),
    "MetadataTooLarge": (400, "Your metadata headers exceed the maximum allowed metadata size."),
    "MethodNotAllowed": (405, "The specified method is not allowed against this resource."),
    "MissingContentLength": (411, "You must provide the Content-Length HTTP header."),
    "MissingSecurityHeader": (400, "Your request was missing a required header"),
    "NoSuchBucket": (404, "The specified bucket does not exist"),
    "NoSuchBucketPolicy": (404, "The bucket policy does not exist"),
    "NoSuchCORSConfiguration": (404, "The CORS configuration does not exist"),
    "NoSuchKey": (404, "The specified key does not exist."),
    "NoSuchTagSet": (404, "The TagSet does not exist"),
    "NoSuchUpload": (
        404,
        (
            "The specified multipart upload does not exist. The upload ID may be invalid, or the"
            " upload may have been aborted or completed."
        ),
    ),
    "NotImplemented": (501, "A header or query you provided implies functionality that is not implemented."),
    "NotModified": (304, "Not Modified"),
    "PreconditionFailed": (412, "At least one of the pre-conditions you specified did not hold"),
    "ServiceUnavailable": (503, "The embedded service is closed."),
    "SignatureDoesNotMatch": (
        403,
        "The request signature we calculated does not match the signature you provided.",
    ),
    "UnexpectedContent": (400, "This request does not support content"),
    "XAmzContentSHA256Mismatch": (
        400,
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
    ),
}
"""HTTP status and default message of each error code that this S3 returns."""


class S3Error(Exception):
    """An error response of S3.

    Args:
        code: One of `CODES`.
        message: Message for people; None for the default one of the code.
        headers: Response headers, such as the ``ETag`` of a 304.
        **details: Further elements of the document, such as ``Key`` or ``BucketName``.

    Attributes:
        status: HTTP status of the code.
    """

    def __init__(
        self,
        code: str,
        message: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **details: str,
    ) -> None:
        self.code = code
        self.status, self.message = CODES[code]
        if message is not None:
            self.message = message
        self.details = details
        self.headers = dict(headers or {})
        super().__init__(f"{code}: {self.message}")

    def document(self, *, resource: str, request_id: str, host_id: str) -> bytes:
        """Return the XML document of this error."""
        return error_document(
            self.code,
            self.message,
            {**self.details, "Resource": resource, "RequestId": request_id, "HostId": host_id},
        )


def not_implemented(feature: str) -> S3Error:
    """Return the error for a feature of S3 that this one lacks.

    Such requests are refused rather than half served: a client could not tell the difference.
    """
    return S3Error("NotImplemented", f"{feature} is not implemented by the S3 of the embedded service.")
