"""Detection with a running model: in one image, in many images at once, and in videos."""

from rekolabels.inference._conversions import draw, in_pixels, to_labelled_image, to_supervision
from rekolabels.inference._detects import Detects
from rekolabels.inference._export import save_outcomes
from rekolabels.inference._image import ImageSource
from rekolabels.inference._many import Outcome
from rekolabels.inference._video import VideoFrame, video_frames

__all__ = [
    "Detects",
    "ImageSource",
    "Outcome",
    "VideoFrame",
    "draw",
    "in_pixels",
    "save_outcomes",
    "to_labelled_image",
    "to_supervision",
    "video_frames",
]
