"""A fork of a process that runs an embedded service does not end the service."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")

PROGRAM = """
import gc, os, sys, warnings
from rekolabels.errors import InvalidInput
from rekolabels.local import LocalService

warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns about forks of programs with threads
service = LocalService(engine="tiny")
client = service.client(bucket="puppies")
project = client.create_project("puppies")
how = sys.argv[1]
server = service.serve() if "served" in how else None

def refuses(call, *args):
    try:
        call(*args)
    except InvalidInput as error:
        message = str(error)
        assert message.startswith(f"This embedded service belongs to process {os.getppid()}, and"), message
        assert "Create a new LocalService" in message, message
    else:
        raise AssertionError("answered")

child = os.fork()
if child == 0:
    if "uses" in how:
        refuses(service.session)
        refuses(service.client)
        refuses(service.serve)
        refuses(client.create_project, "children")
        refuses(client.session.client("s3").list_buckets)
        refuses(lambda: list(client.projects()))
        with LocalService(engine="tiny") as own:
            assert own.client(bucket="puppies").create_project("own").name == "own"
        path = own.path
        assert not path.exists()
        with LocalService(service.path, engine="tiny") as shared:
            assert [one.name for one in shared.client().projects()] == ["puppies"]
    if "server closes" in how:
        server.close()
    if "closes" in how:
        service.close()
    if "collects" in how:
        del client, project, service
        gc.collect()
    if "leaves" in how:
        os._exit(0)
    sys.exit(0)  # through atexit and finalizers, as a worker of a program does
_, status = os.waitpid(child, 0)
assert status == 0, status
if server is not None:
    import urllib.request
    with urllib.request.urlopen(server.url + "/puppies?location", timeout=30) as answer:
        assert answer.status == 200
assert client.create_project("kittens").name == "kittens"
client.session.client("s3").put_object(Bucket="puppies", Key="a", Body=b"b")
owners = list((service.path / "rekognition" / "owners").iterdir())
assert len(owners) == 1, owners
path = service.path
service.close()
assert not path.exists()
print("alive")
"""


@pytest.mark.parametrize(
    "how",
    [
        "exits",
        "closes",
        "collects",
        "leaves",
        "uses",
        "served exits",
        "served closes",
        "served server closes",
    ],
)
def test_a_child_that_ends_leaves_the_service_alone(how: str) -> None:
    """The parent's temporary workspace, its owner lock and its server stay; the child does not hang."""
    done = subprocess.run(  # noqa: S603 -- our own interpreter
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=False, timeout=300
    )
    assert (done.stdout, done.stderr, done.returncode) == ("alive\n", "", 0)


ORPHAN = """
import os, signal, sys, warnings
from rekolabels.local import LocalService

warnings.simplefilter("ignore", DeprecationWarning)
service = LocalService(engine="tiny")
child = os.fork()
if child == 0:
    sys.stdin.read()  # goes on after its parent
    os._exit(0)
print(service.path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_child_does_not_keep_the_locks_of_a_killed_parent(tmp_path: Path) -> None:
    """The next service removes the workspace of the parent, although a child of it still runs."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    parent = subprocess.Popen(  # noqa: S603 -- our own interpreter
        [sys.executable, "-c", ORPHAN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    assert parent.stdout is not None
    path = Path(parent.stdout.readline().decode().strip())
    parent.wait(300)
    assert path.exists()
    program = 'from rekolabels.local import LocalService; LocalService(engine="tiny").close()'
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)  # noqa: S603 -- the same
    assert not path.exists()
    parent.communicate(timeout=300)
