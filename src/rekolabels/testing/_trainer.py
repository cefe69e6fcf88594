"""``Trainer``: trains models for tests; and the small images that they are trained on."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rekolabels.client import Client
    from rekolabels.images import LabelledImage
    from rekolabels.models import ModelVersion

__all__ = ["Trainer", "draw_images"]

_COLOURS = {"amber": (230, 160, 30), "blue": (30, 60, 220), "green": (40, 170, 60)}
_IMAGES_PER_LABEL = 4
_SIDE = 64
"""Pixels; the service rejects smaller images."""


class Trainer:
    """Trains models in the service of a test; the fixture ``rekolabels_train``.

    The training is real, but runs through a second service on the same workspace. So it neither meets nor
    uses up the faults and quotas of the test, and does not advance its clock.
    """

    def __init__(self, client: Client, workspace: Path, options: Mapping[str, Any]) -> None:
        from rekolabels._arguments import check_instance, check_path, invalid
        from rekolabels.client import Client

        self._client = check_instance("client", client, Client, "a Client")
        self._workspace = check_path("workspace", workspace, "the folder of a service")
        if not isinstance(cast("object", options), Mapping):
            raise invalid("options", options, "options of LocalService")
        self._options = options

    def __repr__(self) -> str:
        return f"<Trainer {str(self._workspace)!r}>"

    def __call__(
        self,
        images: Iterable[LabelledImage],
        *,
        project_name: str = "rekolabels-tests",
        version_name: str = "v1",
        test: float = 0.2,
    ) -> ModelVersion:
        """Train a model on images.

        Args:
            images: Labelled images, local or in the S3 of the service; at least two for each label.
            project_name: Name of the project, which is created if it does not exist.
            version_name: Name of the model version.
            test: Share of the images for the test dataset, between 0 and 1.

        Returns:
            The trained model version, with the client ``rekolabels_client``; it is not running.

        Raises:
            CannotSplit: A label has too few images.
            InvalidImage: The service would reject an image.
            TrainingFailed: The training failed.
        """
        from rekolabels import ModelVersion, RetryPolicy
        from rekolabels._arguments import check_fraction
        from rekolabels._aws._arns import check_name
        from rekolabels._aws._connection import connection_of
        from rekolabels.datasets._ingest import PreparedImages
        from rekolabels.local import LocalService, Quotas

        # Before the project is created.
        wanted = PreparedImages.prepare(images, "Cannot create the datasets", stage="training").images
        check_name("project_name", project_name)
        check_name("version_name", version_name)
        check_fraction("test", test)
        connection = connection_of(self._client)
        with LocalService(self._workspace, quotas=Quotas.off(), **self._options) as service:
            client = service.client(
                bucket=connection.require_bucket(),
                prefix=connection.prefix,
                retry=RetryPolicy(first_poll=0.005),
            )
            project = client.create_project(project_name, exist_ok=True)
            project.create_datasets(wanted, test=test)
            model = project.train(version_name)
            model.wait_until_trained(on_progress=_no_bar)
        return ModelVersion(connection, model.arn, project.arn)


def _no_bar(_found: object) -> None:
    """Show nothing."""


def draw_images(folder: Path) -> Path:
    """Write small images of one colour with a dark stripe, in a subfolder for each label."""
    for label, colour in _COLOURS.items():
        (folder / label).mkdir()
        for number in range(_IMAGES_PER_LABEL):
            (folder / label / f"{number}.png").write_bytes(_png(colour, stripe=14 * number))
    return folder


def _png(colour: tuple[int, int, int], *, stripe: int) -> bytes:
    rows = bytearray()
    for y in range(_SIDE):
        dark = stripe <= y < stripe + 5
        rows += b"\0" + bytes(value // 3 if dark else value for value in colour) * _SIDE
    header = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 2, 0, 0, 0)
    parts = [_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(rows)), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
