"""Limits of the service that apply to manifests.

Sources: the pages "Guidelines and quotas" and "Validation rules for manifest files" of the service's guide.
Where its pages contradict each other, the description of the number explains the choice.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "ADVISED_IMAGES",
    "BOXES_PER_IMAGE",
    "CLASSIFICATION_LABELS",
    "DETECTION_LABELS",
    "IMAGES_PER_TEST_LABEL",
    "IMAGE_ASPECT",
    "IMAGE_BYTES",
    "IMAGE_SIDE",
    "INVALID_SHARE",
    "LABELS_PER_IMAGE",
    "LABEL_LENGTH",
    "LABEL_OVERLAP",
    "LINES",
    "LINE_LENGTH",
    "MANIFEST_BYTES",
    "SCALED_SIDE",
    "TEST_SHARE",
]

MANIFEST_BYTES: Final = 1_000_000_000
"""Maximum size of a manifest file, in bytes: 1 GB as a power of ten, the stricter interpretation."""
LINES: Final = 250_000
"""Maximum number of lines, blank and invalid ones included (up to 500,000 on request for classification)."""
LINE_LENGTH: Final = 100_000
"""Maximum number of characters of a line. Datasets leave longer lines out without reporting them."""
INVALID_SHARE: Final = 0.2
"""Maximum share of invalid lines among all lines with which a training starts; exactly 20 % passes."""
CLASSIFICATION_LABELS: Final = (2, 250)
"""Minimum and maximum number of labels for classification."""
DETECTION_LABELS: Final = (1, 250)
"""Minimum and maximum number of labels for detection. A single label has been possible since 2020."""
IMAGES_PER_TEST_LABEL: Final = 1000
"""Maximum number of images per label in a test dataset."""
LABELS_PER_IMAGE: Final = 50
"""Maximum number of image-level labels per image."""
BOXES_PER_IMAGE: Final = 50
"""Maximum number of bounding boxes per image."""
LABEL_LENGTH: Final = 256
"""Maximum number of characters of a label. The API model allows 255, the page on this error 256."""
LABEL_OVERLAP: Final = 0.5
"""Minimum share of the training labels that the test dataset must have too."""
IMAGE_SIDE: Final = (64, 4096)
"""Minimum and maximum length of an image side, in pixels, inclusive."""
IMAGE_BYTES: Final = 15 * 1024 * 1024
"""Maximum size of an image file, in bytes: 15 MB."""
IMAGE_ASPECT: Final = 20.0
"""Maximum aspect ratio of an image: longest side divided by shortest side."""
SCALED_SIDE: Final = 1280
"""Longest side of an image in a training, in pixels. Larger images, and their boxes, are scaled down."""
TEST_SHARE: Final = 0.2
"""Share of the images that the service uses as test dataset when it splits a dataset."""
ADVISED_IMAGES: Final = 10
"""Number of images below which the service advises against a training, but accepts it."""
