"""S3 on a directory, as one WSGI application.

The rooms of this package, from the disk to the wire:

============== ==================================================================
``_disk``      bodies in files, and the plain files that people look at
``_index``     the SQLite index: what exists, and where its body lies
``_listing``   pages of keys, with prefixes rolled up
``_store``     objects and buckets: every change is one commit of the index
``_multipart`` uploads in parts
``_body``      what a request carries: lengths, aws-chunked, checksums
``_conditions`` ``If-Match`` and its relatives, ranges
``_request``   a request taken apart, an answer put together
``_errors``    the errors of S3
``_*_calls``   one function for each operation of S3
``_app``       the door: which operation a request means
============== ==================================================================
"""

from rekolabels.local._s3._app import S3Directory

__all__ = ["S3Directory"]
