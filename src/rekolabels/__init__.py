"""Amazon Rekognition Custom Labels from Python: labelled images in, a trained, tested, running model out."""

from rekolabels._retry import RetryPolicy
from rekolabels.descriptions import Box, Detection, S3Location
from rekolabels.errors import RekolabelsError
from rekolabels.images import BoundingBox, ImageSize, LabelledImage

__version__ = "0.1.0.dev0"

__all__ = [
    "BoundingBox",
    "Box",
    "Detection",
    "ImageSize",
    "LabelledImage",
    "RekolabelsError",
    "RetryPolicy",
    "S3Location",
]
