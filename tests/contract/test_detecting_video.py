"""Detection in a video, and the example that draws the detections into it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sdk_backends import write_folder

from rekolabels import RetryPolicy
from rekolabels.formats import read_folder
from rekolabels.inference import VideoFrame, video_frames
from rekolabels.local import LocalService

av = pytest.importorskip("av", reason="needs the extra video")

EXAMPLE = Path(__file__).parents[2] / "examples" / "annotate_video.py"
QUICK = RetryPolicy(first_poll=0.01, max_poll=0.05, first_delay=0.001)
COLOURS = {"amber": (230, 160, 30), "blue": (30, 60, 220)}


def write_video(path: Path) -> Path:
    """Write a video that is amber for two seconds and then blue for two."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for label in ["amber"] * 10 + ["blue"] * 10:
            pixels = np.full((64, 64, 3), COLOURS[label], dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_a_video_is_annotated(tmp_path: Path) -> None:
    """Outcomes have the times of their frames; the example writes an annotated video and a journal."""
    video = write_video(tmp_path / "clip.mp4")
    with LocalService(tmp_path / "service") as service, service.serve() as server:
        project = service.client(bucket="video", retry=QUICK).create_project("video")
        project.create_datasets(read_folder(write_folder(tmp_path / "pictures")))
        model = project.train("v1")
        model.wait_until_trained()
        with model.running() as running:
            found: dict[float, list[str]] = {}
            for outcome in running.detect_many(video_frames(video, rate=2)):
                assert isinstance(outcome.image, VideoFrame)
                found[outcome.image.time] = [detection.label for detection in outcome.detections]
            assert list(found) == pytest.approx([0, 0.6, 1, 1.6, 2, 2.6, 3, 3.6], abs=0.001)
            assert list(found.values()) == [["amber"]] * 4 + [["blue"]] * 4
        command = [sys.executable, str(EXAMPLE), model.arn, str(video), "found.mp4", "--rate", "2"]
        done = subprocess.run(  # noqa: S603 -- our own script
            command,
            cwd=tmp_path,
            env={**os.environ, **server.environment},
            check=True,
            capture_output=True,
            text=True,
        )
    assert done.stdout.splitlines() == [
        "    0.00 s  amber",
        "    2.00 s  blue",
        "8 frames in found.mp4",
    ]
    written = [(frame.time, frame.size) for frame in video_frames(tmp_path / "found.mp4", rate=100)]
    assert [time for time, _ in written] == pytest.approx(list(found), abs=0.02)
    assert (tmp_path / "found.mp4.journal").exists()
