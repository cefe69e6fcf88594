"""The numbers of the service that a manifest is held against.

Sources: the pages "Guidelines and quotas" and "Validation rules for manifest files" of the service's guide.
Where its pages contradict each other the choice is said beside the number.
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
"""The size of a manifest file, in bytes: 1 GB, read as a power of ten, the stricter of the two readings."""
LINES: Final = 250_000
"""Lines of a manifest, blank and invalid ones included (up to 500,000 on request for classification)."""
LINE_LENGTH: Final = 100_000
"""Characters of a line; a longer one vanishes from a dataset without a message."""
INVALID_SHARE: Final = 0.2
"""Share of invalid lines, of all lines, up to which a training goes on; exactly 20 % still passes."""
CLASSIFICATION_LABELS: Final = (2, 250)
"""Least and greatest number of labels for classification."""
DETECTION_LABELS: Final = (1, 250)
"""Least and greatest number of labels for detection; single-object detection has been possible since 2020."""
IMAGES_PER_TEST_LABEL: Final = 1000
"""Images of one label in a test dataset."""
LABELS_PER_IMAGE: Final = 50
"""Image-level labels of one image."""
BOXES_PER_IMAGE: Final = 50
"""Bounding boxes of one image."""
LABEL_LENGTH: Final = 256
"""Characters of a label; the API shapes allow 255, the page of this very error says 256."""
LABEL_OVERLAP: Final = 0.5
"""Least share of the training labels that the test dataset must have as well."""
IMAGE_SIDE: Final = (64, 4096)
"""Least and greatest side of an image, in pixels, both allowed."""
IMAGE_BYTES: Final = 15 * 1024 * 1024
"""The size of an image file, in bytes: 15 MB."""
IMAGE_ASPECT: Final = 20.0
"""Longest side through shortest side of an image, at most."""
SCALED_SIDE: Final = 1280
"""Images with a longer side are scaled down to this for the training, in pixels; boxes shrink with them."""
TEST_SHARE: Final = 0.2
"""The share of the images that the service holds back for testing when it splits a dataset itself."""
ADVISED_IMAGES: Final = 10
"""Fewer images than this the service takes, but advises against."""
