"""detect_many on a real Dask cluster of several processes, one of which is killed during the run."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest
from sdk_backends import write_folder

from rekolabels import RetryPolicy, S3Location
from rekolabels.formats import read_folder
from rekolabels.local import LocalService

if TYPE_CHECKING:
    from pathlib import Path

distributed = pytest.importorskip("distributed", reason="needs the extra dask")

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
