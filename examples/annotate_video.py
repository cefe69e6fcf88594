"""What a model sees in a video: the same video with what was found drawn into it.

    pip install 'rekolabels[video]'
    python examples/annotate_video.py MODEL_ARN clip.mp4 found.mp4 --rate 5

So many frames of each second are looked at, each by one call to the running model, and make up the new video.
What was found, and when, is printed as it changes. Broken off, run it again: the journal knows the answers.
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

from rekolabels import Client
from rekolabels.inference import draw, video_frames

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rekolabels.inference import Outcome, VideoFrame


def main() -> None:
    """Annotate a video."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="ARN of the model version")
    parser.add_argument("video", help="the video")
    parser.add_argument("target", help="the new video, .mp4")
    parser.add_argument("--rate", type=float, default=1.0, help="frames to look at in each second")
    options = parser.parse_args()

    model = Client().model(options.model)
    with model.running(idle_timeout=600) as running:
        frames = video_frames(options.video, rate=options.rate)
        outcomes = running.detect_many(frames, journal=options.target + ".journal")
        count = write_video(told(outcomes), Path(options.target), rate=options.rate)
    print(f"{count} frames in {options.target}")


def told(outcomes: Iterable[Outcome[VideoFrame]]) -> Iterator[Outcome[VideoFrame]]:
    """Print what is found when it changes."""
    before: list[str] | None = None
    for outcome in outcomes:
        labels = sorted(found.label for found in outcome.detections)
        if outcome.error is not None:
            print(f"{outcome.image.time:8.2f} s  {outcome.error}")
        elif labels != before:
            print(f"{outcome.image.time:8.2f} s  {', '.join(labels) or 'nothing'}")
            before = labels
        yield outcome


def write_video(outcomes: Iterable[Outcome[VideoFrame]], target: Path, *, rate: float) -> int:
    """Write the frames with what was found in them, each at its own time; return how many."""
    count = 0
    with av.open(str(target), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(rate).limit_denominator(1000))
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for outcome in outcomes:
            picture = draw(outcome.image, outcome.detections)
            if not count:
                stream.width, stream.height = (side - side % 2 for side in picture.size)
            pixels = np.asarray(picture.crop((0, 0, stream.width, stream.height)))
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.time_base = stream.codec_context.time_base
            frame.pts = round(outcome.image.time * 1000)
            container.mux(stream.encode(frame))
            count += 1
        if count:
            container.mux(stream.encode())
    return count


if __name__ == "__main__":
    main()
