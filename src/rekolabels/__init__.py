"""Amazon Rekognition Custom Labels from Python: labelled images in, a trained, tested, running model out."""

from rekolabels._retry import RetryPolicy
from rekolabels.client import Client
from rekolabels.datasets import Dataset
from rekolabels.descriptions import Box, Detection, S3Location
from rekolabels.errors import RekolabelsError
from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.models import ModelVersion, wait_all
from rekolabels.projects import Project

__version__ = "0.1.0.dev0"

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
    "RetryPolicy",
    "S3Location",
    "wait_all",
]
