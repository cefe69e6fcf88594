"""A process of the stress test: threads that use a workspace and log what the service acknowledged.

Before a request, a thread writes a line with the changes that the request makes; after the response, a line
that says whether it was accepted. Names are those of one thread, except for the objects below ``shared/``.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import ClientError

from rekolabels.local import LocalService, Quotas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import BinaryIO

BUCKET = "puppies"
NOT_YET = {"ResourceInUseException", "ResourceNotReadyException"}
"""Errors of requests that another job, of the same thread, is still in the way of."""
SHARED = 3
KEYS = 12
PROJECTS = 3


def body_of(token: str) -> bytes:
    """Return the body that a token stands for; its last part says how long the body is."""
    return f"{token}\n".encode() * int(token.rsplit("-", 1)[1])


def token_of(body: bytes) -> str:
    """Return the token of a body, which must be whole."""
    token = body.partition(b"\n")[0].decode()
    assert body == body_of(token), f"a mixed or incomplete body of {len(body)} bytes: {body[:80]!r}"
    return token


class Thread(threading.Thread):
    """Requests in random order by one thread.

    Args:
        service: The service.
        name: Prefix of all names that only this thread uses.
        seed: Chooses the requests.
        log: Unbuffered file for the lines.
    """

    def __init__(self, service: LocalService, name: str, seed: str, log: BinaryIO) -> None:
        super().__init__(name=name, daemon=True)
        no_retries = Config(retries={"total_max_attempts": 1})
        self._rekognition: Any = service.session().client("rekognition", config=no_retries)
        self._s3: Any = service.session().client("s3", config=no_retries)
        self._dice = random.Random(f"{seed}/{name}")  # noqa: S311 - no secrets
        self._log = log
        self._number = 0
        self._objects: dict[str, str] = {}
        self._arns: dict[str, str] = {}
        self._tags: dict[str, dict[str, str]] = {}
        self._datasets: dict[str, str] = {}

    def run(self) -> None:
        """Make requests until the process is killed; end the process if a response is wrong."""
        requests = [self.put, self.put, self.multipart, self.get, self.delete, self.list, self.shared]
        requests += [self.create_project, self.describe, self.tag, self.untag, self.delete_project]
        requests += [self.create_dataset, self.delete_dataset]
        try:
            while True:
                self._number += 1
                self._dice.choice(requests)()
        except BaseException:  # noqa: BLE001 - whatever it is, the parent must see it
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(3)

    def ask(self, kind: str, request: Callable[[], Any], changes: Iterable[tuple[str, Any]] = ()) -> Any:
        """Make a request between its two lines; return None if the service refused it for now."""
        self._write(op=kind, changes=list(changes))
        try:
            response = request()
        except ClientError as error:
            if error.response["Error"]["Code"] not in NOT_YET:
                raise
            self._write(done=False)
            return None
        self._write(done=True)
        with contextlib.suppress(BlockingIOError):
            os.write(1, b".")
        return response

    def _write(self, **line: Any) -> None:
        text = json.dumps({"thread": self.name, "at": time.monotonic_ns(), **line})
        self._log.write(f"{text}\n".encode())

    # -- objects ---------------------------------------------------------------------------------------------

    def _token(self) -> str:
        return f"{self.name}-{self._number}-{self._dice.choice([1, 40, 400, 4000])}"

    def _key(self) -> str:
        return f"{self.name}/{self._dice.randrange(3)}/{self._dice.randrange(KEYS)}"

    def put(self, key: str = "") -> None:
        """Store an object."""
        key, token = key or self._key(), self._token()
        body = body_of(token)
        self.ask(
            "put", lambda: self._s3.put_object(Bucket=BUCKET, Key=key, Body=body), [(f"object {key}", token)]
        )
        self._objects[key] = token

    def multipart(self, key: str = "") -> None:
        """Store an object in two steps, or give up."""
        key, token = key or self._key(), self._token()
        abort = self._dice.random() < 0.2

        def upload() -> None:
            identity = self._s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
            place = {"Bucket": BUCKET, "Key": key, "UploadId": identity}
            etag = self._s3.upload_part(**place, PartNumber=1, Body=body_of(token))["ETag"]
            if abort:
                self._s3.abort_multipart_upload(**place)
            else:
                parts = [{"PartNumber": 1, "ETag": etag}]
                self._s3.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})

        self.ask("multipart", upload, [] if abort else [(f"object {key}", token)])
        if not abort:
            self._objects[key] = token

    def delete(self, key: str = "") -> None:
        """Delete an object, which may be missing."""
        key = key or self._key()
        self.ask("delete", lambda: self._s3.delete_object(Bucket=BUCKET, Key=key), [(f"object {key}", None)])
        self._objects.pop(key, None)

    def get(self) -> None:
        """Read an object of this thread: its last version."""
        if self._objects:
            key = self._dice.choice(sorted(self._objects))
            got = self.ask("get", lambda: self._s3.get_object(Bucket=BUCKET, Key=key))
            assert token_of(got["Body"].read()) == self._objects[key], key

    def list(self) -> None:
        """List the objects of this thread."""
        got = self.ask("list", lambda: self._s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{self.name}/"))
        assert {entry["Key"] for entry in got.get("Contents", [])} == set(self._objects)

    def shared(self) -> None:
        """Read, replace or delete an object that all threads of all processes use."""
        key = f"shared/{self._dice.randrange(SHARED)}"
        with contextlib.suppress(self._s3.exceptions.NoSuchKey):
            token_of(self._s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
        self._dice.choice([self.put, self.multipart, self.delete])(key)
        self._objects.pop(key, None)

    # -- projects --------------------------------------------------------------------------------------------

    def create_project(self) -> None:
        """Create a project with tags."""
        if len(self._arns) < PROJECTS:
            name, tags = f"{self.name}-{self._number}", {"number": str(self._number), "kind": "stress"}
            response = self.ask(
                "create project",
                lambda: self._rekognition.create_project(ProjectName=name, Tags=tags),
                [(f"project {name}", True), *((f"tag {name} {tag}", tags[tag]) for tag in tags)],
            )
            self._arns[name], self._tags[name] = response["ProjectArn"], tags

    def _project(self) -> str | None:
        return self._dice.choice(sorted(self._arns)) if self._arns else None

    def describe(self) -> None:
        """Describe a project and its tags."""
        if name := self._project():
            found = self.ask(
                "describe projects", lambda: self._rekognition.describe_projects(ProjectNames=[name])
            )["ProjectDescriptions"]
            assert [project["ProjectArn"] for project in found] == [self._arns[name]]
            got = self.ask(
                "list tags", lambda: self._rekognition.list_tags_for_resource(ResourceArn=self._arns[name])
            )
            assert got["Tags"] == self._tags[name]

    def tag(self) -> None:
        """Add or replace a tag."""
        if name := self._project():
            tags = {f"t{self._dice.randrange(4)}": str(self._number)}
            self.ask(
                "tag",
                lambda: self._rekognition.tag_resource(ResourceArn=self._arns[name], Tags=tags),
                [(f"tag {name} {tag}", value) for tag, value in tags.items()],
            )
            self._tags[name] = self._tags[name] | tags

    def untag(self) -> None:
        """Remove a tag."""
        if (name := self._project()) and self._tags[name]:
            tag = self._dice.choice(sorted(self._tags[name]))
            self.ask(
                "untag",
                lambda: self._rekognition.untag_resource(ResourceArn=self._arns[name], TagKeys=[tag]),
                [(f"tag {name} {tag}", None)],
            )
            self._tags[name] = {key: value for key, value in self._tags[name].items() if key != tag}

    def delete_project(self) -> None:
        """Delete a project that has never had a dataset."""
        if names := sorted(self._arns.keys() - self._datasets.keys()):
            name = self._dice.choice(names)
            accepted = self.ask(
                "delete project",
                lambda: self._rekognition.delete_project(ProjectArn=self._arns[name]),
                [(f"project {name}", None), *((f"tag {name} {tag}", None) for tag in self._tags[name])],
            )
            if accepted:
                del self._arns[name], self._tags[name]

    # -- datasets --------------------------------------------------------------------------------------------

    def create_dataset(self) -> None:
        """Create a dataset of some entries from a manifest."""
        if names := sorted(self._arns.keys() - self._datasets.keys()):
            name = self._dice.choice(names)
            count = self._dice.choice([1, 3, 300])
            # A key of its own: the service reads the manifest after its response.
            key = f"manifests/{self.name}-{self._number}"
            lines = [json.dumps({"source-ref": f"s3://{BUCKET}/{number}.png"}) for number in range(count)]
            self._s3.put_object(Bucket=BUCKET, Key=key, Body="\n".join(lines).encode())
            source = {"GroundTruthManifest": {"S3Object": {"Bucket": BUCKET, "Name": key}}}
            made = self.ask(
                "create dataset",
                lambda: self._rekognition.create_dataset(
                    ProjectArn=self._arns[name], DatasetType="TRAIN", DatasetSource=source
                ),
                [(f"dataset {name}", count)],
            )
            if made:
                self._datasets[name] = made["DatasetArn"]

    def delete_dataset(self) -> None:
        """Delete a dataset; its project stays, without one."""
        if names := sorted(name for name, arn in self._datasets.items() if arn):
            name = self._dice.choice(names)
            accepted = self.ask(
                "delete dataset",
                lambda: self._rekognition.delete_dataset(DatasetArn=self._datasets[name]),
                [(f"dataset {name}", None)],
            )
            if accepted:
                self._datasets[name] = ""
                # Forgotten, not deleted: there may be as many others again.
                del self._arns[name]


def main(workspace: str, name: str, threads: int, seed: str, log: Path) -> None:
    """Run threads on the workspace until the process is killed."""
    os.set_blocking(1, False)
    with log.open("wb", buffering=0) as file, LocalService(workspace, quotas=Quotas.off()) as service:
        workers = [Thread(service, f"{name}t{number}", seed, file) for number in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], Path(sys.argv[5]))
