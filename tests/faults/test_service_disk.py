"""A full or read-only disk: modelled errors for clients, a clear error when the service starts."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

UNSHARE = shutil.which("unshare")
MOUNT = 'mount -t tmpfs -o size="$1" none "$2" && shift 2 && exec "$@"'
FULL = """
import json, os, sqlite3, sys
from pathlib import Path
import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from rekolabels.errors import InvalidInput
from rekolabels.local import LocalService

folder, result = Path(sys.argv[1]), {}
once = Config(retries={"total_max_attempts": 1})

def error_of(call, **given):
    try:
        call(**given)
    except ClientError as error:
        return [error.response["Error"]["Code"], error.response["Error"]["Message"]]

def fill():
    with (folder / "filler").open("wb", buffering=0) as file:
        for size in (65536, 4096, 512, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                pass

service = LocalService(folder / "workspace")
rekognition, s3 = (service.session().client(name, config=once) for name in ("rekognition", "s3"))
s3.create_bucket(Bucket="puppies")
s3.put_object(Bucket="puppies", Key="kept", Body=b"old")
lines = [json.dumps({"source-ref": f"s3://puppies/{n}.png", "x" * 500: 1}) for n in range(4000)]
s3.put_object(Bucket="puppies", Key="large.manifest", Body="\\n".join(lines).encode())
made = [rekognition.create_project(ProjectName="first")["ProjectArn"]]
service._jobs.wait()
source = {"GroundTruthManifest": {"S3Object": {"Bucket": "puppies", "Name": "large.manifest"}}}
with service._jobs.hold():
    wanted = {"ProjectArn": made[0], "DatasetType": "TRAIN", "DatasetSource": source}
    dataset = rekognition.create_dataset(**wanted)["DatasetArn"]
    fill()
service._jobs.wait()
result["put"] = error_of(s3.put_object, Bucket="puppies", Key="kept", Body=b"new" * 100_000)
for number in range(1000):
    try:
        made.append(rekognition.create_project(ProjectName=f"p{number}")["ProjectArn"])
    except ClientError as error:
        result["create"] = [error.response["Error"]["Code"], error.response["Error"]["Message"]]
        result["status"] = error.response["ResponseMetadata"]["HTTPStatusCode"]
        break
result["read"] = s3.get_object(Bucket="puppies", Key="kept")["Body"].read().decode()
result["described"] = len(rekognition.describe_projects()["ProjectDescriptions"]) == len(made)
try:
    LocalService(folder / "another").close()
except InvalidInput as error:
    result["another"] = str(error)
(folder / "filler").unlink()

result["dataset"] = rekognition.describe_dataset(DatasetArn=dataset)["DatasetDescription"]["Status"]
result["again"] = error_of(s3.put_object, Bucket="puppies", Key="kept", Body=b"new")
made.append(rekognition.create_project(ProjectName="last")["ProjectArn"])
service.close()
with LocalService(folder / "workspace") as service:
    rekognition, s3 = (service.session().client(name) for name in ("rekognition", "s3"))
    found = rekognition.describe_projects()["ProjectDescriptions"]
    result["kept"] = {project["ProjectArn"] for project in found} == set(made)
    result["statuses"] = sorted({project["Status"] for project in found})
    result["object"] = s3.get_object(Bucket="puppies", Key="kept")["Body"].read().decode()
for database in sorted((folder / "workspace").rglob("*.sqlite")):
    db = sqlite3.connect(database)
    result[database.name] = db.execute("PRAGMA integrity_check").fetchone()[0]
    db.close()
print(json.dumps(result))
"""
READ_ONLY = """
import json, subprocess, sys
from pathlib import Path
from rekolabels.errors import InvalidInput
from rekolabels.local import LocalService

folder, result = Path(sys.argv[1]), {}
LocalService(folder / "workspace").close()
subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
for name in ("workspace", "another"):
    try:
        LocalService(folder / name).close()
    except InvalidInput as error:
        result[name] = str(error)
print(json.dumps(result))
"""


def on_a_small_disk(script: str, folder: Path, size: str) -> dict[str, Any]:
    """Run a script with a new file system as its first argument; return the JSON that it prints."""
    folder.mkdir()
    inside = ["sh", "-c", MOUNT, "sh", size, str(folder)]
    command = [UNSHARE or "unshare", "--map-root-user", "--mount", *inside]
    if UNSHARE is None or subprocess.run([*command, "true"], capture_output=True, check=False).returncode:  # noqa: S603 - our own command
        pytest.skip("needs Linux, unshare(1) and the permission to mount a tmpfs in a namespace")
    ended = subprocess.run(  # noqa: S603 - our own command
        [*command, sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    result: dict[str, Any] = json.loads(ended.stdout)
    return result


def test_a_full_disk(tmp_path: Path) -> None:
    """Writes fail with modelled errors while reads succeed; with free space everything works again."""
    result = on_a_small_disk(FULL, tmp_path / "disk", "16m")
    assert result["put"][0] == "InternalError"
    assert "No space left" in result["put"][1]
    assert (result["create"][0], result["status"]) == ("InternalServerError", 500)
    assert "Cannot use the workspace" in result["create"][1]
    assert (result["read"], result["described"]) == ("old", True)
    assert "Cannot use the database" in result["another"]
    assert (result["dataset"], result["again"]) == ("CREATE_FAILED", None)
    assert (result["kept"], result["statuses"], result["object"]) == (True, ["CREATED"], "new")
    assert (result["state.sqlite"], result["index.sqlite"]) == ("ok", "ok")


def test_a_workspace_that_cannot_be_written(tmp_path: Path) -> None:
    """Starting the service on a read-only disk is an error, with an existing workspace and with a new one."""
    result = on_a_small_disk(READ_ONLY, tmp_path / "disk", "16m")
    assert "in a writable folder" in result["workspace"]
    assert "Read-only file system" in result["another"]
