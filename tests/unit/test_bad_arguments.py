"""Bad arguments of public functions raise the library's own errors, not those of Python or boto3."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rekolabels import Client, LabelledImage
from rekolabels.errors import InvalidInput
from rekolabels.inference import video_frames
from rekolabels.manifest import repair_manifest, write_manifest

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGES = [LabelledImage("s3://bucket/a.jpg", labels=["cat"])]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Client(region_name=""), "region_name is ''"),
        (lambda: next(video_frames("", rate=1)), "cannot be read as a video"),
        (lambda: write_manifest(IMAGES, ""), "target is ''; expected the path of a manifest"),
        (lambda: write_manifest(IMAGES, "a\0b"), r"target is .*; expected the path of a manifest"),
        (lambda: repair_manifest(b"", ""), "target is ''"),
    ],
)
def test_bad_arguments_are_invalid_input(call: Callable[[], object], message: str) -> None:
    """The message names the argument and what was expected."""
    with pytest.raises(InvalidInput, match=message):
        call()
