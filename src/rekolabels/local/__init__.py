"""Embedded service: Amazon Rekognition Custom Labels and S3 on this machine."""

from rekolabels.local._core._clock import Durations, ManualClock
from rekolabels.local._core._context import Quotas
from rekolabels.local._core._faults import Fault, FaultPlan
from rekolabels.local._core._throttling import Tps
from rekolabels.local._http._server import Server
from rekolabels.local._label_errors import find_label_errors
from rekolabels.local._service import LocalService

__all__ = [
    "Durations",
    "Fault",
    "FaultPlan",
    "LocalService",
    "ManualClock",
    "Quotas",
    "Server",
    "Tps",
    "find_label_errors",
]
