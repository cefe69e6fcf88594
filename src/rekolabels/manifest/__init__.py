"""Manifests: the file that tells the service which images there are and what they show.

JSON Lines, one image a line, as Amazon SageMaker Ground Truth writes them. This room is pure: no AWS, no
network, no clock of its own. ``codes`` holds every code of the service, ``limits`` its numbers, ``rules`` its
rules one by one.
"""

from rekolabels.manifest._check import CheckedManifest, check_manifest
from rekolabels.manifest._read import parse_line, read_manifest
from rekolabels.manifest._repair import Repair, RepairReport, repair_manifest
from rekolabels.manifest._write import format_line, write_manifest
from rekolabels.manifest.report import Counts, Issue, ManifestReport

__all__ = [
    "CheckedManifest",
    "Counts",
    "Issue",
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
