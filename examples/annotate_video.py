"""Draw what a model detects in a video into a copy of the video.

    pip install 'rekolabels[video]'
    python examples/annotate_video.py MODEL_ARN clip.mp4 found.mp4 --rate 5

The new video consists of ``--rate`` frames of each second; each frame is one call to the running model. The
script prints the detected labels whenever they change. After an interruption run it again: the journal has
the answers so far.

It uses the AWS settings of this machine. To try it without AWS, start ``rekolabels serve --workspace
workspace`` in another terminal, and set the environment variables that it prints.
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
    parser.add_argument("video", help="video to read")
    parser.add_argument("target", help="video to write, .mp4")
    parser.add_argument("--rate", type=float, default=1.0, help="frames in each second")
    options = parser.parse_args()

    model = Client().model(options.model)
    with model.running(idle_timeout=600) as running:
        frames = video_frames(options.video, rate=options.rate)
        outcomes = running.detect_many(frames, journal=options.target + ".journal")
        count = write_video(print_changes(outcomes), Path(options.target), rate=options.rate)
    print(f"{count} frames in {options.target}")


def print_changes(outcomes: Iterable[Outcome[VideoFrame]]) -> Iterator[Outcome[VideoFrame]]:
    """Print the detected labels whenever they change, and pass the outcomes on."""
    previous: list[str] | None = None
    for outcome in outcomes:
        labels = sorted(found.label for found in outcome.detections)
        if outcome.error is not None:
            print(f"{outcome.image.time:8.2f} s  {outcome.error}")
        elif labels != previous:
            print(f"{outcome.image.time:8.2f} s  {', '.join(labels) or 'nothing'}")
            previous = labels
        yield outcome


def write_video(outcomes: Iterable[Outcome[VideoFrame]], target: Path, *, rate: float) -> int:
    """Write the frames with their detections, each at its own time, and return the number of frames."""
    count = 0
    part = target.with_stem(target.stem + ".part")  # replaces the target when it is complete
    with av.open(str(part), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(rate).limit_denominator(1000))
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for outcome in outcomes:
            image = draw(outcome.image, outcome.detections)
            if not count:
                stream.width, stream.height = (side - side % 2 for side in image.size)
            pixels = np.asarray(image.crop((0, 0, stream.width, stream.height)))
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.time_base = stream.codec_context.time_base
            frame.pts = round(outcome.image.time * 1000)
            container.mux(stream.encode(frame))
            count += 1
        if count:
            container.mux(stream.encode())
    part.replace(target)
    return count


if __name__ == "__main__":
    main()
