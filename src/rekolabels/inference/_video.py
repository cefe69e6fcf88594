"""Video frames as images for ``detect`` and ``detect_many``."""

from __future__ import annotations

import logging
import math
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import attrs

from rekolabels._arguments import check_instance, check_number, invalid
from rekolabels._files import printable_name
from rekolabels.errors import InvalidInput, MissingExtra, RekolabelsError
from rekolabels.images import ImageSize
from rekolabels.inference._pillow import encode_jpeg

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

__all__ = ["VideoFrame", "video_frames"]

_ROUNDING = 1e-4
"""Seconds by which containers may round a time stamp down."""

_log = logging.getLogger("rekolabels")


@attrs.frozen
class VideoFrame:
    """A frame of a video with its time; an image for ``detect`` and ``detect_many``."""

    video: str
    """Path of the video, as it was given."""
    time: float
    """Seconds since the beginning of the video."""
    size: ImageSize
    """Size of the upright frame in pixels."""
    data: bytes = attrs.field(repr=False)
    """The upright frame as a JPEG of at most 4 MB."""

    def __attrs_post_init__(self) -> None:
        check_instance("video", self.video, str, "the path of a video")
        check_number("time", self.time, kind="a number of seconds")
        check_instance("size", self.size, ImageSize, "an ImageSize")
        check_instance("data", self.data, bytes, "the bytes of a JPEG file")

    @property
    def name(self) -> str:
        """The frame as a media fragment, ``clip.mp4#t=12.480``; its name in journals and result files."""
        return f"{self.video}#t={self.time:.3f}"


def video_frames(video: str | os.PathLike[str] | BinaryIO, *, rate: float) -> Iterator[VideoFrame]:
    """Yield frames of a video at a constant rate.

    The video is decoded while the frames are consumed, so it may be of any length. Frames are rotated as a
    player would rotate them. Frames in damaged parts of the file are skipped, and a warning is logged.

    Args:
        video: A local file, or a file that is open for reading bytes, in any format that FFmpeg reads. URLs
            are not opened, neither when given nor when a playlist names them; give an open response instead.
        rate: Frames per second, more than 0. Of the frames in each interval of ``1 / rate`` seconds the first
            is yielded; ``math.inf``, and any rate above that of the video, yields every frame. Each frame
            costs one call to the service.

    Yields:
        Frames with their times.

    Raises:
        InvalidInput: The file cannot be read, is not a video, or has no frame that can be decoded; or the
            rate is not more than 0.
        MissingExtra: PyAV is not installed.

    Examples:
        ::

            for outcome in running.detect_many(video_frames("clip.mp4", rate=2)):
                print(outcome.image.time, outcome.detections)
    """
    check_number("rate", rate, above=0, kind="a number of frames per second")
    if isinstance(video, (str, os.PathLike)):
        name = os.fsdecode(video)
        return _frames(f"file:{name}", name, rate)
    if not hasattr(video, "read"):
        raise invalid("video", video, "the path of a video, or a file that is open for reading bytes")
    return _frames(video, str(getattr(video, "name", "video")), rate)


def _frames(file: str | BinaryIO, name: str, rate: float) -> Iterator[VideoFrame]:
    sampler = FrameSampler(rate)
    for time, frame in _decode(file, printable_name(name)):
        if sampler.takes(time):
            image = frame.to_image().rotate(frame.rotation, expand=True)
            yield VideoFrame(name, time, ImageSize(*image.size), encode_jpeg(image))


@attrs.mutable
class FrameSampler:
    """Takes the first time in each interval of ``1 / rate`` seconds."""

    rate: float
    _interval: int = -1

    def takes(self, time: float) -> bool:
        """Return whether a time is the first of its interval; times must not decrease."""
        if math.isinf(self.rate):
            return True
        interval = math.floor((time + _ROUNDING) * self.rate)
        if interval <= self._interval:
            return False
        self._interval = interval
        return True


def _decode(file: str | BinaryIO, video: str) -> Iterator[tuple[float, Any]]:
    """Yield the frames of a video, each with the seconds since the first one.

    Args:
        file: What FFmpeg opens.
        video: Name of the video for messages.
    """
    try:
        import av
        from av.error import InvalidDataError
    except ImportError as error:
        raise MissingExtra("video", "Reading videos") from error
    first: float | None = None
    # A file may name others to open, as playlists do; only local ones are opened.
    options = {"protocol_whitelist": "file"}
    with (
        _reading(video),
        av.open(file, "r", metadata_errors="replace", container_options=options) as container,
    ):
        if not container.streams.video:
            raise InvalidInput(f"{video} has no video stream; expected a video.")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except InvalidDataError as error:
                _log.warning(
                    "Skipping frames of %s: the file is damaged near packet %s (%s).",
                    video,
                    packet.pts,
                    error,
                )
                continue
            for frame in frames:
                if frame.pts is None:
                    raise InvalidInput(
                        f"{video} has no time stamps. Put it into a container: "
                        f"`ffmpeg -i {video} -c copy new.mp4`."
                    )
                first = frame.time if first is None else first
                yield frame.time - first, frame
    if first is None:
        raise InvalidInput(f"{video} has no frame that can be decoded.")


@contextmanager
def _reading(video: str) -> Generator[None]:
    """Turn what goes wrong while a video is read into an ``InvalidInput`` that names it."""
    from av.error import FFmpegError

    try:
        yield
    except RekolabelsError:
        raise
    except (FFmpegError, OSError, ValueError) as error:  # ValueError: not a valid name
        reason = getattr(error, "strerror", None) or error
        if "://" in video:
            raise InvalidInput(
                f"{video} cannot be read: {reason}. URLs are not opened. Download the video, or give an open "
                "file, such as urllib.request.urlopen(url)."
            ) from error
        raise InvalidInput(
            f"{video} cannot be read as a video: {reason}. Check that it plays, or convert it: "
            f"`ffmpeg -i {video} new.mp4`."
        ) from error
