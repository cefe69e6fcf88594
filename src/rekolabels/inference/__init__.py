"""Running a model on images."""

from rekolabels.inference._image import ImageSource, image_argument

__all__ = ["ImageSource", "image_argument"]
