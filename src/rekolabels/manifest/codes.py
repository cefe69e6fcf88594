"""Error codes for manifests: those of the service, and ours where the service has none.

Sources: the pages of the service's guide on terminal manifest file errors, manifest content errors, JSON Line
errors and warnings, and non-terminal dataset errors. The messages are the service's own, typos included.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CODES", "Code", "Level"]

Level: TypeAlias = Literal["FILE", "CONTENT", "LINE", "WARNING", "ADVICE"]
"""The severity of an issue.

``FILE`` and ``CONTENT`` prevent the training (or the dataset); after a ``FILE`` error, the service does not
read the lines. ``LINE`` excludes a line or a part of it; more than 20 % invalid lines prevent the training.
``WARNING`` excludes a line without counting it as invalid. ``ADVICE`` is ours: the service reports nothing,
but it is probably a mistake.
"""


@attrs.frozen
class Code:
    """An error code with its message, severity and fix."""

    name: str
    """The name of the code. Names without ``ERROR_`` or ``WARNING_`` are ours."""
    message: str
    """The service's message, with ``{}`` as placeholder."""
    level: Level
    """The severity."""
    meaning: str = attrs.field(repr=False)
    """The consequence for a training."""
    fix: str = attrs.field(repr=False)
    """How to fix it."""
    in_dataset: bool = False
    """Whether dataset entries show it too, in ``cl-errors``."""
    dropped: bool = False
    """Whether a dataset leaves such a line out without reporting it."""


_ENDS: Final = "The training does not start."
_UNUSED: Final = "The line is not used; more than 20 % of such lines prevent the training."
_DROPPED: Final = f"{_UNUSED} A dataset leaves the line out without a message."
_PART: Final = "This part of the line is not used; the line is invalid if no other part is usable."
_IGNORED: Final = "The line is not used, but does not count as invalid."
_SILENT: Final = "The service does not report this."

_ALL: Final = (
    # The file
    Code(
        "ERROR_MANIFEST_INACCESSIBLE_OR_UNSUPPORTED_FORMAT",
        "The manifest file extension or contents are invalid.",
        "FILE",
        _ENDS,
        "Pass the path or S3 location of a readable JSON Lines file in UTF-8.",
    ),
    Code("ERROR_EMPTY_MANIFEST", "The manifest file is empty.", "FILE", _ENDS, "Add a line for each image."),
    Code(
        "ERROR_MANIFEST_SIZE_TOO_LARGE",
        "The manifest file size exceeds the maximum supported size.",
        "FILE",
        _ENDS,
        "Use fewer or shorter lines: at most 1 GB.",
    ),
    Code(
        "ERROR_MANIFEST_ROWS_EXCEEDS_MAXIMUM",
        "The manifest file has too many rows.",
        "FILE",
        _ENDS,
        "Use at most 250,000 lines, blank ones included (28,000 in Mumbai and London; 7,000 for tests).",
    ),
    Code(
        "ERROR_INVALID_PERMISSIONS_MANIFEST_S3_BUCKET",
        "The S3 bucket permissions are incorrect.",
        "FILE",
        _ENDS,
        "Allow the service to read the bucket of the manifest.",
    ),
    Code(
        "ERROR_CANNOT_WRITE_OUTPUT_S3_BUCKET",
        "Unable to write to output S3 bucket.",
        "FILE",
        _ENDS,
        "Allow the service to write to the output bucket.",
    ),
    Code(
        "ERROR_INSUFFICIENT_IMAGES_PER_LABEL_FOR_DISTRIBUTE",
        "The manifest file doesn't have enough labeled images to distribute the dataset.",
        "FILE",
        "The dataset cannot be distributed.",
        "Add images until every label has at least two, one for each dataset.",
    ),
    # The content
    Code(
        "ERROR_TOO_MANY_INVALID_ROWS_IN_MANIFEST",
        "The manifest file contains too many invalid rows.",
        "CONTENT",
        _ENDS,
        "Fix or remove invalid lines: at most 20 % of all lines may be invalid.",
    ),
    Code(
        "ERROR_TOO_MANY_RECORDS_IN_ERROR",
        "The manifest file has too many terminal errors.",
        "CONTENT",
        "The dataset is not created.",
        "Fix the lines that a dataset would leave out.",
    ),
    Code(
        "ERROR_IMAGES_IN_MULTIPLE_S3_BUCKETS",
        "The manifest file contains images from multiple S3 buckets.",
        "CONTENT",
        _ENDS,
        "Copy all images of the manifest to one bucket.",
    ),
    Code(
        "ERROR_INVALID_PERMISSIONS_IMAGES_S3_BUCKET",
        "The permissions for the images S3 bucket are invalid.",
        "CONTENT",
        _ENDS,
        "Allow the service to read the bucket of the images.",
    ),
    Code(
        "ERROR_INVALID_IMAGES_S3_BUCKET_OWNER",
        "Invalid owner id for images S3 bucket.",
        "CONTENT",
        _ENDS,
        "Use buckets of the same owner for the images and the manifest.",
    ),
    Code(
        "ERROR_FAILED_IMAGES_S3_COPY",
        "Failed to copy images from S3 bucket.",
        "CONTENT",
        _ENDS,
        "Check that the images exist and that the service may read (and decrypt) them.",
    ),
    Code(
        "ERROR_INSUFFICIENT_IMAGES_PER_LABEL_FOR_AUTOSPLIT",
        "The manifest file contains insufficient labeled images per label to perform auto-split.",
        "CONTENT",
        _ENDS,
        "Add images until every label has at least two, one for each dataset.",
    ),
    Code(
        "ERROR_MANIFEST_TOO_FEW_LABELS",
        "The manifest file has too few labels.",
        "CONTENT",
        _ENDS,
        "Use at least two labels for classification, at least one for boxes.",
    ),
    Code(
        "ERROR_MANIFEST_TOO_MANY_LABELS",
        "The manifest file has too many labels.",
        "CONTENT",
        _ENDS,
        "Use at most 250 labels.",
    ),
    Code(
        "ERROR_MANIFEST_TOO_FEW_USABLE_LABELS",
        "The manifest file has too few usable labels.",
        "CONTENT",
        _ENDS,
        "Add labels of the chosen kind (see use_case), or remove the lines of the other kind.",
    ),
    Code(
        "ERROR_INSUFFICIENT_LABEL_OVERLAP",
        "Less than {}% label overlap between the training and testing manifest files.",
        "CONTENT",
        _ENDS,
        "Add test images until at least half of the training labels have one.",
    ),
    Code(
        "ERROR_INSUFFICIENT_USABLE_LABEL_OVERLAP",
        "Less than {}% usable label overlap between the training and testing manifest files.",
        "CONTENT",
        _ENDS,
        "Add test images until half of the training labels of the chosen kind (see use_case) have one.",
    ),
    # The lines
    Code(
        "ERROR_INVALID_JSON_LINE",
        "The JSON Line has an invalid format.",
        "LINE",
        _DROPPED,
        "Write one complete JSON object per line, in UTF-8.",
        dropped=True,
    ),
    Code(
        "ERROR_MISSING_SOURCE_REF",
        "The source-ref key is missing.",
        "LINE",
        _DROPPED,
        "Add 'source-ref' with the URI of the image: s3://bucket/key.",
        dropped=True,
    ),
    Code(
        "ERROR_INVALID_SOURCE_REF_FORMAT",
        "The format of the source-ref value is invalid.",
        "LINE",
        _DROPPED,
        "Write the URI of the image as s3://bucket/key.",
        dropped=True,
    ),
    Code(
        "ERROR_NO_LABEL_ATTRIBUTES",
        "No label attributes found.",
        "LINE",
        _UNUSED,
        "Add the metadata of each label attribute, for example 'rust-metadata' to 'rust'.",
        in_dataset=True,
    ),
    Code(
        "ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT",
        "The format of the label attribute {} is invalid.",
        "LINE",
        _UNUSED,
        "Use an integer for an image-level label, and 'image_size' and 'annotations' for boxes.",
        in_dataset=True,
    ),
    Code(
        "ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT",
        "The format of the label attribute metadata is invalid.",
        "LINE",
        _UNUSED,
        "Complete type, human-annotated, creation-date; class-name, confidence or class-map, objects.",
        in_dataset=True,
    ),
    Code(
        "ERROR_NO_VALID_LABEL_ATTRIBUTES",
        "No valid label attributes found.",
        "LINE",
        _UNUSED,
        "Fix a label attribute of the line; see its other issues.",
        in_dataset=True,
    ),
    Code(
        "ERROR_MISSING_BOUNDING_BOX_CONFIDENCE",
        "One or more bounding boxes has a missing confidence value.",
        "LINE",
        _UNUSED,
        "Add an element with a confidence to 'objects' for each box.",
        in_dataset=True,
    ),
    Code(
        "ERROR_MISSING_CLASS_MAP_ID",
        "One of more class ids is missing from the class map.",
        "LINE",
        _UNUSED,
        "Add the class ids of the boxes to 'class-map'.",
        in_dataset=True,
    ),
    Code(
        "ERROR_INVALID_IMAGE",
        "The image is invalid. Check S3 path and/or image properties.",
        "LINE",
        _UNUSED,
        "Use JPEG or PNG files of at most 15 MB, 64 to 4096 pixels a side, with an aspect ratio up to 20:1.",
    ),
    Code(
        "ERROR_INVALID_IMAGE_DIMENSION",
        "The image dimension(s) do not conform to allowed dimensions.",
        "LINE",
        _UNUSED,
        "Resize the image to 64 to 4096 pixels a side, and scale its boxes.",
        in_dataset=True,
    ),
    Code(
        "ERROR_INVALID_BOUNDING_BOX",
        "The bounding box has off frame values.",
        "LINE",
        _PART,
        "Clip the box to the image.",
        in_dataset=True,
    ),
    Code(
        "ERROR_BOUNDING_BOX_TOO_SMALL",
        "The height and width of the bounding box is too small.",
        "LINE",
        _PART,
        "Remove the box, or make both sides longer than a pixel, also after scaling to 1280 pixels.",
        in_dataset=True,
    ),
    Code(
        "ERROR_TOO_MANY_BOUNDING_BOXES",
        "There are more bounding boxes than the allowed maximum.",
        "LINE",
        _UNUSED,
        "Keep at most 50 boxes, or split the image.",
        in_dataset=True,
    ),
    Code(
        "ERROR_NO_VALID_ANNOTATIONS",
        "No valid annotations found.",
        "LINE",
        _PART,
        "Fix a box of the line; see its other issues.",
        in_dataset=True,
    ),
    Code(
        "ERROR_UNSUPPORTED_USE_CASE_TYPE",
        "The use case type of the {} label attribute metadata is unsupported. Check the type field.",
        "LINE",
        _PART,
        "Use groundtruth/image-classification or groundtruth/object-detection; convert other jobs.",
        in_dataset=True,
    ),
    Code(
        "ERROR_INVALID_LABEL_NAME_LENGTH",
        "The length of the label name is invalid.",  # the service does not publish its message
        "LINE",
        _PART,
        "Use labels of 1 to 256 characters (255 in API operations).",
        in_dataset=True,
    ),
    Code("WARNING_UNANNOTATED_RECORD", "Record is unannotated.", "WARNING", _IGNORED, "Label the image."),
    Code(
        "WARNING_NO_ANNOTATIONS",
        "No annotations were found.",
        "WARNING",
        _IGNORED,
        "Add boxes, or remove the line.",
    ),
    Code(
        "WARNING_NO_ATTRIBUTE_ANNOTATIONS",
        "No attribute annotations were found.",
        "WARNING",
        "The attribute is not used; other attributes of the line are.",
        "Add boxes, or remove the attribute.",
    ),
    # Our codes, where the service has none
    Code(
        "LINE_TOO_LONG",
        "The line is longer than 100,000 characters.",
        "LINE",
        _DROPPED,
        "Shorten the line: fewer boxes or shorter attributes.",
        dropped=True,
    ),
    Code(
        "DUPLICATE_SOURCE_REF",
        "The image is already in an earlier line.",
        "LINE",
        "Only the first line of an image is used; a dataset leaves the others out without a message.",
        "Put all labels of the image into one line.",
        dropped=True,
    ),
    Code(
        "DUPLICATE_JSON_KEY",
        "A key occurs more than once in one object.",
        "ADVICE",
        f"{_SILENT} The last value of the key is used.",
        "Give each label attribute of a line its own key.",
    ),
    Code(
        "BYTE_ORDER_MARK",
        "The file begins with a byte order mark.",
        "ADVICE",
        f"{_SILENT} It may not understand the first line.",
        "Save the file as UTF-8 without a byte order mark.",
    ),
    Code(
        "BLANK_LABEL",
        "A label consists of white space.",
        "ADVICE",
        f"{_SILENT} The model would have an unreadable label.",
        "Give the label a name, or remove it.",
    ),
    Code(
        "LABEL_VALUE_IS_TEXT",
        "The value of an image-level label is a string, not an integer.",
        "ADVICE",
        f"{_SILENT} The label is used: AWS's own feedback solution writes such values. The guide asks for an "
        "integer.",
        "Write an integer, such as 1.",
    ),
    Code(
        "TOO_MANY_LABELS_FOR_IMAGE",
        "The image has more than 50 image-level labels.",
        "ADVICE",
        "The service documents the limit, but not what it does with such a line.",
        "Keep at most 50 labels.",
    ),
    Code(
        "TOO_MANY_TEST_IMAGES_FOR_LABEL",
        "A label has more than 1000 test images.",
        "ADVICE",
        "The service documents the limit, but not what it does beyond it.",
        "Use fewer test images of this label.",
    ),
    Code(
        "FEW_IMAGES",
        "There are fewer than 10 images.",
        "ADVICE",
        "The training starts, but the service advises against so few images.",
        "Add images.",
    ),
    Code(
        "IMAGE_IN_BOTH_DATASETS",
        "The image is in the training and in the test dataset.",
        "ADVICE",
        f"{_SILENT} The metrics would overstate the quality of the model.",
        "Keep each image in one of the two datasets.",
    ),
    Code(
        "MIXED_LABEL_KINDS",
        "Some lines have only image-level labels, others have boxes.",
        "ADVICE",
        "The service chooses one kind of model and does not use lines of the other kind.",
        "Create two projects, or use one kind in all lines.",
    ),
    Code(
        "IMAGE_SIZE_DIFFERS",
        "The size of the image differs from the size in its line.",
        "ADVICE",
        f"{_SILENT} The boxes may be in the wrong places.",
        "Write the true size; check whether the boxes were drawn on a resized copy.",
    ),
    Code(
        "IMAGES_REFUSED",
        "create_datasets() refuses the images.",
        "CONTENT",
        "Nothing is uploaded. The service itself would train without the images that it cannot use.",
        "Fix the images or leave them out; create_datasets(images, convert=True) converts formats and sizes.",
    ),
    Code(
        "REPEATED_IMAGE",
        "The image is given more than once.",
        "ADVICE",
        "create_datasets() uses it once.",
        "Leave out one of them.",
    ),
    Code(
        "SIMILAR_LABELS",
        "Some labels differ only in case, spaces or Unicode form.",
        "ADVICE",
        f"{_SILENT} The model would learn them as different labels.",
        "Spell the label in one way.",
    ),
    Code(
        "IMAGES_NOT_UPLOADED",
        "Some images are not in S3 yet.",
        "ADVICE",
        "The service reads images from S3 only. The rules for S3 URIs were not applied.",
        "Create the datasets with project.create_datasets(), which uploads the images.",
    ),
)

CODES: Final[Mapping[str, Code]] = MappingProxyType({code.name: code for code in _ALL})
"""All codes, by name."""
