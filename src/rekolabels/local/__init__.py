"""The embedded service: Amazon Rekognition Custom Labels and S3 on this machine."""

from rekolabels.local._context import Quotas
from rekolabels.local._service import LocalService

__all__ = ["LocalService", "Quotas"]
