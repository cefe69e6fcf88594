"""No process that the SDK starts imports from the current folder or from the folder of the images."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from rekolabels.local import LocalService

if TYPE_CHECKING:
    from pathlib import Path

SHADOWED = (
    "attrs",
    "boto3",
    "botocore",
    "tenacity",
    "pickle",
    "logging",
    "PIL",
    "numpy",
    "json",
    "rekolabels",
)

UPLOAD = """
from rekolabels import Client
from rekolabels.formats import read_folder

client = Client(bucket="puppies", upload_processes=3)
client.ensure_bucket()
client.create_project("puppies").create_datasets(read_folder("images"), test=0.5)
"""


def test_upload_workers_import_nothing_from_the_data(tmp_path: Path) -> None:
    """A data set brings an ``attrs.py``; uploading it from its own folder runs none of it."""
    from PIL import Image

    data = tmp_path / "data"
    for label in ("cat", "dog"):
        for number in range(260):  # enough for further processes to be started
            path = data / "images" / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            colour = (number % 256, number // 256, 200 if label == "cat" else 20)
            Image.new("RGB", (64, 64), colour).save(path)
    for name in SHADOWED:
        (data / f"{name}.py").write_text(
            f"open({str(tmp_path / 'owned')!r}, 'a').write({name!r} + chr(10))\nraise SystemExit(1)\n"
        )
    with LocalService(tmp_path / "workspace", engine="tiny") as service, service.serve() as server:
        # -P: the attack is on what the SDK starts, not on the user's own interpreter
        done = subprocess.run(  # noqa: S603 -- our own interpreter
            [sys.executable, "-P", "-c", UPLOAD],
            cwd=data,
            env={**server.environment, "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr[-2000:]) == (0, "")
    assert not (tmp_path / "owned").exists(), (tmp_path / "owned").read_text()
