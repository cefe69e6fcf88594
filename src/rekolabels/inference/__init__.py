"""Running a model on images: one, or many at once."""

from rekolabels.inference._image import ImageSource, image_argument
from rekolabels.inference._many import Outcome, detect_many

__all__ = ["ImageSource", "Outcome", "detect_many", "image_argument"]
