"""Smoke test of the wheel without extras; ``check_wheel.py`` runs it in an empty environment."""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
import tempfile
from pathlib import Path

import boto3
from botocore.stub import Stubber

import rekolabels
from rekolabels import Client, LabelledImage, errors
from rekolabels._aws._connection import connection_of
from rekolabels.local import LocalService
from rekolabels.manifest import check_manifest, read_manifest, write_manifest
from rekolabels.splits import split

MODEL = "arn:aws:rekognition:us-east-1:111122223333:project/my-project/version/1/1690556751958"
PROJECT = "arn:aws:rekognition:us-east-1:111122223333:project/my-project/1690474772815"


def check_recorded_answers() -> None:
    """Find a model and detect a logo, with recorded answers of AWS."""
    client = Client(boto3.Session("testing", "testing", region_name="us-east-1"))
    with Stubber(connection_of(client).rekognition.client) as stub:
        stub.add_response(
            "describe_projects", {"ProjectDescriptions": [{"ProjectArn": PROJECT, "Status": "CREATED"}]}
        )
        box = {"Width": 0.19, "Height": 0.31, "Left": 0.07, "Top": 0.4}
        label = {"Name": "MyLogo", "Confidence": 77.7729721069336, "Geometry": {"BoundingBox": box}}
        stub.add_response("detect_custom_labels", {"CustomLabels": [label]})
        (found,) = client.model(MODEL).detect(b"\xff\xd8\xff")
    assert (found.label, round(found.confidence), found.box is not None) == ("MyLogo", 78, True)


def check_pure_packages() -> None:
    """Split images, write a manifest, check it and read it back."""
    images = [
        LabelledImage(f"s3://bucket/{label}/{number}.jpg", labels=[label])
        for label in ("cat", "dog")
        for number in range(10)
    ]
    parts = split(images, test=0.2, seed=7)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.manifest"
        write_manifest(parts.train, path)
        assert check_manifest(path).counts.valid == len(parts.train) == 16  # noqa: PLR2004 -- 80 % of 20
        assert [image.source for image in read_manifest(path)] == [image.source for image in parts.train]


def check_command() -> None:
    """Run the command `rekolabels` by its entry point."""
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="rekolabels")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.manifest"
        write_manifest([LabelledImage("s3://bucket/a.jpg", labels=["cat"])], path)
        assert entry.load()(["check", "--stage", "dataset", str(path)]) == 0


def check_missing_extra() -> None:
    """Check that the embedded service names the extra that it needs."""
    message = ""
    try:
        LocalService()
    except errors.MissingExtra as error:
        message = str(error)
    assert "pip install 'rekolabels[local]'" in message


def import_public_modules() -> int:
    """Import every public module, with the core dependencies only; return how many there are."""
    names = [
        name
        for _, name, _ in pkgutil.walk_packages(rekolabels.__path__, "rekolabels.")
        if "._" not in name and not name.startswith("rekolabels.testing") and not name.endswith("__main__")
    ]
    for name in names:
        importlib.import_module(name)
    return len(names)


if __name__ == "__main__":
    count = import_public_modules()
    check_recorded_answers()
    check_pure_packages()
    check_command()
    check_missing_extra()
    version = importlib.metadata.version("rekolabels")
    print(
        f"rekolabels {version}: {count} modules, recorded answers, manifests, splits, command, missing extras"
    )
