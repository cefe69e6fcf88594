"""Manifests: the file that tells the service which images there are and what they show.

JSON Lines, one image a line, as Amazon SageMaker Ground Truth writes them. This room is pure: no AWS, no
network, no clock.
"""

from rekolabels.manifest._reading import parse_line, read_manifest
from rekolabels.manifest._writing import format_line, write_manifest

__all__ = ["format_line", "parse_line", "read_manifest", "write_manifest"]
