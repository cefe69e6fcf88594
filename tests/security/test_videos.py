"""Hostile videos: no network connection is made, and metadata in other encodings does no harm."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import numpy as np
import pytest

from rekolabels.errors import InvalidInput
from rekolabels.inference import video_frames

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

av = pytest.importorskip("av", reason="needs the extra video")
TITLE = b"the title"


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A video with a title."""
    path = tmp_path_factory.mktemp("video") / "clip.mkv"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = TITLE.decode()
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for number in range(20):
            pixels = np.full((64, 64, 3), number, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path.read_bytes()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A listening socket; a test fails in which something connects to it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        yield server
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize(
    "url",
    [
        "http://{}/clip.mp4",
        "tcp://{}",
        "tls://{}",
        "rtmp://{}/live",
        "rtsp://{}/live",
        "ftp://{}/clip.mp4",
        "async:http://{}/clip.mp4",
        "cache:http://{}/clip.mp4",
        "concat:http://{}/clip.mp4",
        "subfile,,start,0,end,9,,:http://{}/clip.mp4",
        "hls+http://{}/clip.m3u8",
        "HTTP://{}/clip.mp4",
    ],
)
def test_no_url_is_opened(listener: socket.socket, url: str) -> None:
    """Each is the name of a local file that does not exist; the error says what to do."""
    host, port = listener.getsockname()
    with pytest.raises(InvalidInput, match=r"URLs are not opened\. Download the video"):
        list(video_frames(url.format(f"{host}:{port}"), rate=1))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "list.m3u8",
            "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://{}/clip.ts\n#EXT-X-ENDLIST\n",
        ),
        ("list.ffconcat", "ffconcat version 1.0\nfile 'http://{}/clip.mp4'\n"),
        ("list.sdp", "v=0\no=- 0 0 IN IP4 {}\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n"),
        ("list.mpd", '<?xml version="1.0"?><MPD><Period><BaseURL>http://{}/</BaseURL></Period></MPD>'),
    ],
)
@pytest.mark.parametrize("opened", [False, True])
def test_no_playlist_opens_urls(
    listener: socket.socket,
    tmp_path: Path,
    name: str,
    text: str,
    opened: bool,  # noqa: FBT001 -- a case
) -> None:
    """A local playlist that names other addresses, given by its path and as an open file."""
    host, port = listener.getsockname()
    path = tmp_path / name
    path.write_text(text.format(f"{host}:{port}"), encoding="utf-8")
    with path.open("rb") as file, pytest.raises(InvalidInput, match=name):
        list(video_frames(file if opened else path, rate=1))


def test_metadata_in_another_encoding(tmp_path: Path, content: bytes) -> None:
    """Titles of old cameras are not UTF-8; the frames are read."""
    path = tmp_path / "clip.mkv"
    path.write_bytes(content.replace(TITLE, b"caf\xe9 \xff\xfe!!"))
    assert [frame.time for frame in video_frames(path, rate=1)] == pytest.approx([0.0, 1.0])


def test_a_file_name_in_another_encoding(tmp_path: Path, content: bytes) -> None:
    """The frames have names, and errors can be printed."""
    name = os.fsencode(tmp_path) + b"/caf\xe9.mkv"
    with open(name, "wb") as file:  # noqa: PTH123 -- a name in bytes
        file.write(content)
    first, _ = video_frames(os.fsdecode(name), rate=1)
    assert os.fsencode(first.name) == name + b"#t=0.000"
    missing = os.fsdecode(name + b"x")
    with pytest.raises(InvalidInput, match="cannot be read") as caught:
        list(video_frames(missing, rate=1))
    assert str(caught.value).encode()


def test_an_open_file_is_read(tmp_path: Path, content: bytes) -> None:
    """Its frames bear its name."""
    path = tmp_path / "clip.mkv"
    path.write_bytes(content)
    with path.open("rb") as file:
        frames = list(video_frames(file, rate=1))
    assert [frame.name for frame in frames] == [f"{path}#t=0.000", f"{path}#t=1.000"]


@pytest.mark.parametrize("name", ["clip\0.mp4", "x" * 5000, ""])
def test_invalid_names_are_rejected(name: str) -> None:
    """Names that no file can have."""
    with pytest.raises(InvalidInput, match="cannot be read"):
        list(video_frames(name, rate=1))
