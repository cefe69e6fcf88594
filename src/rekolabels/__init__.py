"""Typed Python SDK for Amazon Rekognition Custom Labels."""

from typing import TYPE_CHECKING, Any

from rekolabels._version import __version__ as __version__

if TYPE_CHECKING:
    from rekolabels._aws._retry import Retry, RetryPolicy
    from rekolabels.client import Client
    from rekolabels.datasets import Dataset
    from rekolabels.descriptions import Box, Detection, S3Location
    from rekolabels.errors import RekolabelsError
    from rekolabels.images import BoundingBox, Conversion, ImageSize, LabelledImage
    from rekolabels.models import ModelVersion, RunningModel, wait_all
    from rekolabels.projects import Project

__all__ = [
    "BoundingBox",
    "Box",
    "Client",
    "Conversion",
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

# Names are imported at their first use (PEP 562). Tools that only read manifests, and pytest, which imports
# the package for its plugin, do not pay for the rest.
_MODULES = {
    "BoundingBox": "rekolabels.images",
    "Box": "rekolabels.descriptions",
    "Client": "rekolabels.client",
    "Conversion": "rekolabels.images",
    "Dataset": "rekolabels.datasets",
    "Detection": "rekolabels.descriptions",
    "ImageSize": "rekolabels.images",
    "LabelledImage": "rekolabels.images",
    "ModelVersion": "rekolabels.models",
    "Project": "rekolabels.projects",
    "RekolabelsError": "rekolabels.errors",
    "Retry": "rekolabels._aws._retry",
    "RetryPolicy": "rekolabels._aws._retry",
    "RunningModel": "rekolabels.models",
    "S3Location": "rekolabels.descriptions",
    "wait_all": "rekolabels.models",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'rekolabels' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__} - {"Any", "TYPE_CHECKING"})
