"""Frames of a video, as images to analyse."""

from __future__ import annotations

import logging
import math
import os
from typing import TYPE_CHECKING, Any

import attrs

from rekolabels.errors import InvalidInput, MissingExtra
from rekolabels.images import ImageSize
from rekolabels.inference._pillow import fitting_jpeg

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["VideoFrame", "video_frames"]

_EARLY = 1e-4
"""Seconds by which a time stamp may lie before its turn: containers round them."""

_log = logging.getLogger("rekolabels")


@attrs.frozen
class VideoFrame:
    """A picture of a video, and when it is shown; ``detect`` and ``detect_many`` take it as an image."""

    video: str
    """The file, as it was given."""
    time: float
    """Seconds since the beginning of the video."""
    size: ImageSize
    """Its size in pixels, upright."""
    data: bytes = attrs.field(repr=False)
    """The picture, upright, as a JPEG of at most 4 MB."""

    @property
    def name(self) -> str:
        """The frame as a media fragment, ``clip.mp4#t=12.480``: the name in journals and result files."""
        return f"{self.video}#t={self.time:.3f}"


def video_frames(video: str | os.PathLike[str], *, rate: float) -> Iterator[VideoFrame]:
    """Read frames of a video, evenly over its time.

    The video is decoded as the frames are taken, so it may be of any length. Frames are turned as a player
    would turn them. Where a part of the file is damaged, the frames of that part are left out and a warning
    is logged.

    Args:
        video: The file, in any format that FFmpeg reads.
        rate: Frames for each second of the video: of the frames in each ``1 / rate`` seconds the first is
            taken. More than the video has, or ``math.inf``, takes every frame. Each is a call to the service.

    Yields:
        Frames with their times.

    Raises:
        InvalidInput: The file cannot be read, is no video, or has no frame that can be decoded; or the rate
            is not above 0.
        MissingExtra: PyAV is not installed.

    Examples:
        ::

            for outcome in running.detect_many(video_frames("clip.mp4", rate=2)):
                print(outcome.image.time, outcome.detections)
    """
    if not rate > 0:
        raise InvalidInput(f"rate is {rate}; expected frames a second, more than 0.")
    return _frames(os.fspath(video), rate)


def _frames(video: str, rate: float) -> Iterator[VideoFrame]:
    turn = Turn(rate)
    for time, frame in _decoded(video):
        if turn.is_due(time):
            picture = frame.to_image().rotate(frame.rotation, expand=True)
            yield VideoFrame(video, time, ImageSize(*picture.size), fitting_jpeg(picture))


@attrs.mutable
class Turn:
    """Picks the first time in each period of a rate."""

    rate: float
    _period: int = -1

    def is_due(self, time: float) -> bool:
        """Whether a time, not before the last one, is the first of its period."""
        if math.isinf(self.rate):
            return True
        period = math.floor((time + _EARLY) * self.rate)
        if period <= self._period:
            return False
        self._period = period
        return True


def _decoded(video: str) -> Iterator[tuple[float, Any]]:
    """Decode a video: seconds since its first frame, and the frame."""
    try:
        import av
        from av.error import FFmpegError, InvalidDataError
    except ImportError as error:
        raise MissingExtra("video", "Reading videos") from error
    begin: float | None = None
    try:
        with av.open(video) as container:
            if not container.streams.video:
                raise InvalidInput(f"{video} has no pictures; expected a video.")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except InvalidDataError as error:
                    _log.warning("%s is damaged near packet %s: %s", video, packet.pts, error)
                    continue
                for frame in frames:
                    if frame.pts is None:
                        raise InvalidInput(
                            f"{video} has no time stamps: put it into a container (ffmpeg -i {video} -c copy "
                            "new.mp4)."
                        )
                    begin = frame.time if begin is None else begin
                    yield frame.time - begin, frame
    except FFmpegError as error:
        raise InvalidInput(
            f"{video} cannot be read as a video: {error.strerror}. See that it plays, or convert it "
            f"(ffmpeg -i {video} new.mp4)."
        ) from error
    if begin is None:
        raise InvalidInput(f"{video} has no frame that can be decoded.")
