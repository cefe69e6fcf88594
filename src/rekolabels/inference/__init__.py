"""Running a model on images: one, or many at once."""

from rekolabels.inference._converting import draw, in_pixels, to_labelled_image
from rekolabels.inference._elsewhere import Errand, elsewhere, run_errand
from rekolabels.inference._image import ImageSource, image_argument
from rekolabels.inference._journal import Journal
from rekolabels.inference._many import Outcome, detect_many
from rekolabels.inference._policed import asked_with, keep, keep_each
from rekolabels.inference._saving import save_outcomes

__all__ = [
    "Errand",
    "ImageSource",
    "Journal",
    "Outcome",
    "asked_with",
    "detect_many",
    "draw",
    "elsewhere",
    "image_argument",
    "in_pixels",
    "keep",
    "keep_each",
    "run_errand",
    "save_outcomes",
    "to_labelled_image",
]
