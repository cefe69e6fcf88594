"""The embedded service: Amazon Rekognition Custom Labels and S3 on this machine."""

from rekolabels.local._context import Quotas
from rekolabels.local._faults import Fault, FaultPlan
from rekolabels.local._label_errors import find_label_errors
from rekolabels.local._limits import Tps
from rekolabels.local._service import LocalService
from rekolabels.local._time import Durations, ManualClock

__all__ = [
    "Durations",
    "Fault",
    "FaultPlan",
    "LocalService",
    "ManualClock",
    "Quotas",
    "Tps",
    "find_label_errors",
]
