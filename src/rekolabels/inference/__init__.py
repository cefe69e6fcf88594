"""Running a model on images: one, or many at once."""

from rekolabels.inference._converting import draw, in_pixels, to_labelled_image
from rekolabels.inference._detects import Detects
from rekolabels.inference._image import ImageSource
from rekolabels.inference._many import Outcome
from rekolabels.inference._saving import save_outcomes

__all__ = [
    "Detects",
    "ImageSource",
    "Outcome",
    "draw",
    "in_pixels",
    "save_outcomes",
    "to_labelled_image",
]
