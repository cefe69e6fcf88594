"""Training engine of the embedded service: trains, runs and saves models on this machine.

The engine ``network`` puts small linear heads on frozen features of EfficientNet-Lite0; the engine ``tiny``
compares coarse colours, for tests of code. Images are rotated by their EXIF orientation before anything else,
in training and inference, as the other Detect operations of Rekognition do; the ratios of a box refer to the
rotated image.

NumPy, onnxruntime, Pillow and scikit-learn (the extra ``local``) are imported when they are first needed, so
importing this package is cheap.
"""

from rekolabels.local._engine._cache import FeatureCache
from rekolabels.local._engine._images import check_image, decode
from rekolabels.local._engine._training import choose_kind, load_model, train
from rekolabels.local._engine._values import (
    BrokenModel,
    BrokenWeights,
    EngineName,
    Model,
    ModelKind,
    Prediction,
    Progress,
    Sample,
    TrainingResult,
    UnusableImage,
)

__all__ = [
    "BrokenModel",
    "BrokenWeights",
    "EngineName",
    "FeatureCache",
    "Model",
    "ModelKind",
    "Prediction",
    "Progress",
    "Sample",
    "TrainingResult",
    "UnusableImage",
    "check_image",
    "choose_kind",
    "decode",
    "load_model",
    "train",
]
