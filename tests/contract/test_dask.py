"""detect_many on a real Dask cluster of several processes, one of which is killed during the run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sdk_backends import write_folder

from rekolabels import RetryPolicy, S3Location
from rekolabels.formats import read_folder
from rekolabels.local import LocalService

distributed = pytest.importorskip("distributed", reason="needs the extra dask")

EXAMPLE = Path(__file__).parents[2] / "examples" / "detect_on_dask.py"
QUICK = RetryPolicy(first_poll=0.01, max_poll=0.05, first_delay=0.01)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.filterwarnings("ignore")  # from Dask's processes and sockets when one is killed
def test_a_cluster_that_loses_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every image has one outcome, the same as without the cluster."""
    folder = write_folder(tmp_path / "pictures", images=10)
    with LocalService(tmp_path / "service") as service, service.serve() as server:
        client = service.client(bucket="dask", retry=QUICK)
        project = client.create_project("dask")
        project.create_datasets(read_folder(folder))
        model = project.train("v1")
        model.wait_until_trained()
        images = [S3Location("dask", key) for key, _ in client._connection.s3.sizes("dask", "images/")] * 20
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        cluster = distributed.LocalCluster(
            n_workers=3, threads_per_worker=4, processes=True, dashboard_address=None, host="127.0.0.1"
        )
        with cluster, distributed.Client(cluster) as dask, model.running() as running:
            first = next(iter(cluster.workers.values())).pid
            outcomes = []
            found = running.detect_many(
                images, executor=dask.get_executor(pure=False, retries=3), workers=12, ordered=False
            )
            for outcome in found:
                outcomes.append(outcome)
                if len(outcomes) == len(images) // 4:
                    os.kill(first, signal.SIGKILL)
            expected = {outcome.image: outcome for outcome in running.detect_many(set(images))}
    assert sorted(str(outcome.image) for outcome in outcomes) == sorted(map(str, images))
    assert [outcome for outcome in outcomes if outcome != expected[outcome.image]] == []
    assert threading.active_count() < 50


def test_the_example_saves_an_outcome_for_each_image(tmp_path: Path) -> None:
    """The example starts a cluster, runs the model and stops it, also when it is run again."""
    with LocalService(tmp_path / "service", engine="tiny") as service, service.serve() as server:
        project = service.client(bucket="dask", retry=QUICK).create_project("dask")
        project.create_datasets(read_folder(write_folder(tmp_path / "pictures")))
        model = project.train("v1")
        model.wait_until_trained()
        command = [sys.executable, str(EXAMPLE), model.arn, "s3://dask/images/", "found.jsonl"]
        for _ in range(2):
            done = subprocess.run(  # noqa: S603 -- our own script
                command,
                cwd=tmp_path,
                env={**os.environ, **server.environment},
                check=True,
                capture_output=True,
                text=True,
            )
            assert done.stdout == "12 images, outcomes in found.jsonl\n"
            lines = (tmp_path / "found.jsonl").read_text(encoding="utf-8").splitlines()
            assert [json.loads(line)["error"] for line in lines] == [None] * 12
        assert model.status == "STOPPED"
