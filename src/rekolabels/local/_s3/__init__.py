"""S3 on a directory, as one WSGI application.

The modules, from the disk up to HTTP:

=========================== ======================================================
``_disk``                   files: object bodies, and plain copies for people to read
``_index``                  SQLite index of buckets, objects, uploads; listings
``_object_store``           buckets and objects; each change is one index commit
``_settings``               settings of buckets
``_multipart``              multipart uploads
``_response``               responses and the XML documents in them
``_errors``                 error codes of S3
``_request``                parsed requests, presigned URLs, common parameters
``_body``                   request bodies: lengths, ``aws-chunked``, checksums, XML
``_conditions``             conditional requests (``If-Match`` etc.) and ranges
``_tags``, ``_acl``         tags and canned ACLs in headers and documents
``_encryption``             encryption headers, which are stored and returned
``_object_headers``         which headers are stored, copied and returned
``_form``, ``_form_policy`` forms of browsers, and the policies that allow them
``_bucket_operations``      operations on buckets, listings, DeleteObjects
``_object_operations``      operations on single objects
``_multipart_operations``   operations on multipart uploads
``_attributes_operations``  GetObjectAttributes
``_tag_operations``         operations on tags
``_acl_operations``         operations on canned ACLs
``_policy_operations``      operations on bucket policies
``_cors_operations``        operations on CORS rules
``_form_operations``        PostObject
``_app``                    WSGI application and routing
=========================== ======================================================
"""

from rekolabels.local._s3._app import S3Directory

__all__ = ["S3Directory"]
