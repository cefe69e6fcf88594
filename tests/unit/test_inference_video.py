"""``video_frames`` on generated videos."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rekolabels import Box, Detection, ImageSize
from rekolabels.errors import InvalidInput
from rekolabels.inference import VideoFrame, draw, video_frames
from rekolabels.inference._image import image_argument
from rekolabels.inference._video import FrameSampler

if TYPE_CHECKING:
    from pathlib import Path

av = pytest.importorskip("av", reason="needs the extra video")


def write_video(
    path: Path, *, frames: int = 30, rate: int = 10, degrees: int = 0, codec: str = "mpeg4"
) -> Path:
    """Write a video whose left half is red and whose brightness grows."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p"
        if degrees:
            stream.set_display_rotation(degrees)
        for number in range(frames):
            pixels = np.full((64, 128, 3), 2 * number, dtype=np.uint8)
            pixels[:, :64, 0] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def decoded(frame: VideoFrame) -> Image.Image:
    """Decode the bytes that would be sent."""
    data = image_argument(frame)
    assert isinstance(data, bytes)
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi", "ts"])
def test_frames_have_the_requested_rate_and_their_times(tmp_path: Path, ending: str) -> None:
    """``rate`` frames per second are yielded, and every frame for an infinite rate."""
    path = write_video(tmp_path / f"clip.{ending}")
    times = [frame.time for frame in video_frames(path, rate=2)]
    assert times == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0, 2.5], abs=0.001)
    every = [frame.time for frame in video_frames(path, rate=math.inf)]
    assert every == pytest.approx([number / 10 for number in range(30)], abs=0.001)
    assert len(list(video_frames(path, rate=0.5))) == 2


def test_frames_are_valid_images(tmp_path: Path) -> None:
    """Frames can be detected in and drawn on, and have a name."""
    path = write_video(tmp_path / "clip.mp4")
    first, second, _ = video_frames(path, rate=1)
    assert first.size == ImageSize(128, 64)
    assert decoded(first).size == (128, 64)
    assert np.asarray(decoded(second))[30, 20, 0] > 200
    assert second.name == f"{path}#t=1.000"
    assert draw(first, [Detection("puppy", 90.0, Box(0, 0, 1, 1))]).size == (128, 64)


@pytest.mark.parametrize(("degrees", "red_at"), [(90, (32, 100)), (-90, (32, 20)), (180, (100, 32))])
def test_frames_are_upright(tmp_path: Path, degrees: int, red_at: tuple[int, int]) -> None:
    """A video that a phone recorded sideways is rotated as a player does it."""
    (frame, *_) = video_frames(write_video(tmp_path / "clip.mp4", degrees=degrees), rate=1)
    picture = decoded(frame).convert("RGB")
    assert picture.size == (frame.size.width, frame.size.height)
    assert picture.size == ((128, 64) if degrees == 180 else (64, 128))
    red, green, _ = np.asarray(picture)[red_at[1], red_at[0]]
    assert red > 200
    assert green < 100


def test_damaged_parts_are_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The other frames keep their times, and a warning names the file."""
    path = write_video(tmp_path / "clip.mp4")
    data = bytearray(path.read_bytes())
    begin = data.find(b"mdat") + 400
    data[begin : begin + 300] = bytes(300)
    path.write_bytes(data)
    times = [frame.time for frame in video_frames(path, rate=math.inf)]
    assert 20 <= len(times) < 30
    assert times[-1] == pytest.approx(2.9, abs=0.001)
    assert f"Skipping frames of {path}" in caplog.text


def test_invalid_videos_are_rejected(tmp_path: Path) -> None:
    """The error names the file, and how to fix it."""
    empty, text, half, raw = (tmp_path / name for name in ("empty.mp4", "text.mp4", "half.mp4", "raw.h264"))
    empty.touch()
    text.write_text("no video" * 100, encoding="utf-8")
    whole = write_video(tmp_path / "whole.mp4").read_bytes()
    half.write_bytes(whole[: len(whole) // 2])
    write_video(raw, codec="libx264")
    sound = tmp_path / "sound.wav"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        samples = np.zeros((1, 8000), dtype=np.int16)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    for path, message in [
        (tmp_path / "missing.mp4", "missing.mp4 cannot be read as a video: No such file"),
        (tmp_path, "Is a directory"),
        (empty, r"Invalid data .*`ffmpeg -i"),
        (text, r"Invalid data .*`ffmpeg -i"),
        (half, r"Invalid data .*`ffmpeg -i"),
        (raw, "no time stamps"),
        (sound, "no video stream"),
    ]:
        with pytest.raises(InvalidInput, match=message):
            list(video_frames(path, rate=1))


@pytest.mark.parametrize("rate", [0, -1, math.nan])
def test_the_rate_must_be_positive(rate: float) -> None:
    """It is validated before the file is opened."""
    with pytest.raises(InvalidInput, match="rate is"):
        video_frames("clip.mp4", rate=rate)


@given(
    st.lists(st.floats(0.001, 2.0), min_size=1, max_size=100).map(
        lambda gaps: np.cumsum([0.0, *gaps]).tolist()
    ),
    st.floats(0.1, 60),
)
def test_each_interval_gives_its_first_frame(times: list[float], rate: float) -> None:
    """Exactly the first frame of each interval that has frames is taken."""
    sampler = FrameSampler(rate)
    taken = [time for time in times if sampler.takes(time)]
    firsts: dict[int, float] = {}
    for time in times:
        firsts.setdefault(math.floor((time + 1e-4) * rate), time)
    assert taken == list(firsts.values())
