"""Amazon Rekognition Custom Labels from Python: labelled images in, a trained, tested, running model out."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rekolabels._lease import RunningModel
    from rekolabels._retry import Retry, RetryPolicy
    from rekolabels._trainings import wait_all
    from rekolabels.client import Client
    from rekolabels.datasets import Dataset
    from rekolabels.descriptions import Box, Detection, S3Location
    from rekolabels.errors import RekolabelsError
    from rekolabels.images import BoundingBox, ImageSize, LabelledImage
    from rekolabels.models import ModelVersion
    from rekolabels.projects import Project

__version__ = "0.1.0"

__all__ = [
    "BoundingBox",
    "Box",
    "Client",
    "Dataset",
    "Detection",
    "ImageSize",
    "LabelledImage",
    "ModelVersion",
    "Project",
    "RekolabelsError",
    "Retry",
    "RetryPolicy",
    "RunningModel",
    "S3Location",
    "wait_all",
]

# Each is imported when it is first named (PEP 562), so that tools that only read manifests or splits, and
# pytest, which looks into the package for its plugin, do not pay for the rest.
_ROOMS = {
    "BoundingBox": "rekolabels.images",
    "Box": "rekolabels.descriptions",
    "Client": "rekolabels.client",
    "Dataset": "rekolabels.datasets",
    "Detection": "rekolabels.descriptions",
    "ImageSize": "rekolabels.images",
    "LabelledImage": "rekolabels.images",
    "ModelVersion": "rekolabels.models",
    "Project": "rekolabels.projects",
    "RekolabelsError": "rekolabels.errors",
    "Retry": "rekolabels._retry",
    "RetryPolicy": "rekolabels._retry",
    "RunningModel": "rekolabels._lease",
    "S3Location": "rekolabels.descriptions",
    "wait_all": "rekolabels._trainings",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'rekolabels' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_ROOMS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
