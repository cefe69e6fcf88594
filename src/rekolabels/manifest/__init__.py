"""Manifests: read, write, check and repair the JSON Lines files that list labelled images.

A manifest has one JSON object per image, in the format of Amazon SageMaker Ground Truth. This package is
pure: no AWS, no network, no clock. ``codes`` holds every error code of the service, ``limits`` its quotas.
"""

from rekolabels.manifest._check import CheckedManifest, check_manifest
from rekolabels.manifest._read import parse_line, read_manifest
from rekolabels.manifest._repair import Repair, RepairReport, repair_manifest
from rekolabels.manifest._write import format_line, write_manifest
from rekolabels.manifest.report import Issue, ManifestCounts, ManifestReport

__all__ = [
    "CheckedManifest",
    "Issue",
    "ManifestCounts",
    "ManifestReport",
    "Repair",
    "RepairReport",
    "check_manifest",
    "format_line",
    "parse_line",
    "read_manifest",
    "repair_manifest",
    "write_manifest",
]
