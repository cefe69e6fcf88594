"""Command ``rekolabels``: check and convert label files, find running models, serve the embedded service."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import attrs

from rekolabels._arguments import check_file
from rekolabels._version import __version__
from rekolabels.errors import InvalidInput, NoRegion, RekolabelsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rekolabels.client import Client
    from rekolabels.formats import Problem
    from rekolabels.images import LabelledImage

__all__ = ["main"]

_FINE, _FINDINGS, _FAILED = 0, 1, 2
_INTERRUPTED, _BROKEN_PIPE = 130, 141
"""Statuses of a process that SIGINT or SIGPIPE ended, in a shell."""
_READABLE = ("coco", "csv", "folder", "ground-truth", "manifest", "voc", "yolo")
_WRITABLE = ("coco", "csv", "folder", "manifest", "voc", "yolo")
_WITH_IMAGES = ("coco", "csv", "voc")
_MAX_SHOWN = 10
"""Lines for problems of the same kind; a folder may hold thousands of files that are not images."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: The command line; by default that of the process.

    Returns:
        The exit status: 0 if all is fine, 1 if there are findings, 2 if the command failed, 130 after Ctrl-C,
        and 141 if the reader of the output has gone.
    """
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes at its end, which would fail again.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except NoRegion:
        sys.stderr.write(
            "rekolabels: No AWS Region is set. Use --region REGION, set AWS_DEFAULT_REGION, or run "
            "`aws configure`.\n"
        )
        return _FAILED
    except RekolabelsError as error:
        sys.stderr.write(f"rekolabels: {' '.join(str(error).split())}\n")
        return _FAILED
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rekolabels",
        description="Amazon Rekognition Custom Labels: check and convert label files, find and stop running "
        "models, and serve the embedded service.",
        epilog="Exit status: 0 if all is fine, 1 if there are findings, 2 for errors.",
    )
    parser.add_argument("--version", action="version", version=f"rekolabels {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        command.set_defaults(run=run)
        command.add_argument("--json", action="store_true", help="print JSON")
        return command

    check = add("check", _check, "check manifests and label folders against the rules of the service")
    check.add_argument(
        "manifests",
        nargs="+",
        metavar="MANIFEST",
        help="a manifest on this machine, or a folder with a folder of images for each label",
    )
    check.add_argument("--testing", metavar="MANIFEST", help="the test manifest that goes with MANIFEST")
    check.add_argument(
        "--stage",
        choices=("training", "dataset"),
        default="training",
        help="check whether a training would start (the default), or a dataset be created",
    )
    check.add_argument(
        "--open-images",
        action="store_true",
        help="open the images too, which must be on this machine (extra 'images')",
    )

    convert = add("convert", _convert, "convert labels from one format to another")
    convert.add_argument("source", metavar="SOURCE", help="the file or folder to read")
    convert.add_argument("target", metavar="TARGET", help="the file or folder to write")
    convert.add_argument("--from", dest="read", choices=_READABLE, required=True, help="format of SOURCE")
    convert.add_argument("--to", dest="write", choices=_WRITABLE, required=True, help="format of TARGET")
    convert.add_argument(
        "--images", metavar="PLACE", help=f"folder or s3:// prefix of the images ({', '.join(_WITH_IMAGES)})"
    )

    running = add("running", _running, "list the models that are billed now")
    sweep = add("sweep", _sweep, "stop the models that killed processes left running")
    for command in (running, sweep):
        command.add_argument(
            "--region", action="append", metavar="REGION", help="an AWS Region; repeat it for several"
        )
    sweep.add_argument("--no-wait", action="store_true", help="do not wait until the models have stopped")
    sweep.add_argument("--timeout", type=float, metavar="SECONDS", help="longest wait (default: 72 hours)")

    serve = add("serve", _serve, "serve Custom Labels and S3 on http://127.0.0.1, with real training")
    serve.add_argument("--port", type=int, default=0, help="port (default: 0, a free one)")
    serve.add_argument("--workspace", metavar="FOLDER", help="folder for all data (default: a temporary one)")
    serve.add_argument(
        "--region", default="us-east-1", help="the AWS Region to emulate (default: %(default)s)"
    )
    serve.add_argument(
        "--host",
        default="127.0.0.1",
        help="IP address to listen on (default: %(default)s); one that other machines can reach, such as "
        "0.0.0.0, requires --token-file and --allow-host",
    )
    serve.add_argument(
        "--token-file",
        metavar="FILE",
        help="file with the access token, at least 32 characters, which clients send as their access key ID",
    )
    serve.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME[,NAME]",
        help="host names that clients use, besides localhost",
    )
    serve.add_argument("--verbose", action="store_true", help="log requests and trainings to standard error")
    return parser


def _check(options: argparse.Namespace) -> int:
    from rekolabels.manifest import check_manifest

    if options.testing is not None and len(options.manifests) > 1:
        raise InvalidInput(
            f"--testing is given with {len(options.manifests)} manifests; expected one training manifest. "
            "Check each pair with a command of its own."
        )
    for name, path in [("MANIFEST", path) for path in options.manifests] + [("--testing", options.testing)]:
        if path is not None and not os.path.isdir(path):  # noqa: PTH112 -- False for a name that is too long
            check_file(name, path, "a manifest, or a folder with a folder of images for each label")
    found = False
    records: list[dict[str, Any]] = []
    for path in options.manifests:
        problems = _Problems()
        report = check_manifest(
            _checked(path, problems.add),
            testing=None if options.testing is None else _checked(options.testing, problems.add),
            stage=options.stage,
            open_images=options.open_images,
            open_image=_open_image if options.open_images else None,
        )
        found = found or bool(problems.found) or any(issue.level != "ADVICE" for issue in report)
        problems.finish()
        if options.json:
            records.append({"manifest": path, **json.loads(report.to_json())})
        else:
            _say(f"{path}: {report}")
    if options.json:
        _say_json(records)
    return _FINDINGS if found else _FINE


def _checked(path: str, on_problem: Callable[[Problem], None]) -> str | list[LabelledImage]:
    """Return what ``check_manifest`` reads: the path of a manifest, or the images of a label folder."""
    from rekolabels.formats import read_folder

    if not os.path.isdir(path):  # noqa: PTH112 -- as above
        return path
    return list(read_folder(path, on_problem=on_problem))


def _open_image(source: str) -> IO[bytes]:
    from rekolabels.formats._common import is_s3

    if is_s3(source):
        raise InvalidInput(
            f"Cannot open {source!r}: --open-images opens images of this machine and does not access S3. "
            "Leave it out, or use check_manifest(open_images=True, open_image=...) in Python."
        )
    return Path(source).open("rb")


class _Problems:
    """The problems of a command: all of them for JSON, and the first few of each kind on standard error."""

    def __init__(self, *, show: bool = True) -> None:
        self.found: list[Problem] = []
        self._show = show
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, problem: Problem) -> None:
        """Note a problem, and write its line if there are not many like it."""
        self.found.append(problem)
        kind = problem.message, problem.fix
        self._counts[kind] += 1
        if self._show and self._counts[kind] <= _MAX_SHOWN:
            sys.stderr.write(f"{problem}\n")

    def finish(self) -> None:
        """Write how many problems of each kind have no line."""
        for (message, _), count in self._counts.items():
            if self._show and count > _MAX_SHOWN:
                sys.stderr.write(f"and {count - _MAX_SHOWN:,} more: {message}.\n")


def _convert(options: argparse.Namespace) -> int:
    problems = _Problems(show=not options.json)
    count = _write(options.write, _read(options, problems.add), options.target, problems.add)
    problems.finish()
    if options.json:
        listed = [attrs.asdict(problem) for problem in problems.found]
        _say_json({"images": count, "problems": listed})
    else:
        _say(f"{options.target}: {_number(count, 'image')}, {_number(len(problems.found), 'problem')}.")
    return _FINDINGS if problems.found else _FINE


def _read(options: argparse.Namespace, on_problem: Callable[[Problem], None]) -> Iterator[LabelledImage]:
    from rekolabels import formats, manifest

    place = {}
    if options.images is not None:
        if options.read not in _WITH_IMAGES:
            raise InvalidInput(
                f"--images is {options.images!r}, but it does not apply to --from {options.read}: that "
                "format says where its images are."
            )
        place = {"images": options.images}
    if options.read == "manifest":
        return manifest.read_manifest(options.source)
    readers: dict[str, Callable[..., Iterator[LabelledImage]]] = {
        "coco": formats.read_coco,
        "csv": formats.read_csv,
        "folder": formats.read_folder,
        "ground-truth": formats.read_ground_truth,
        "voc": formats.read_voc,
        "yolo": formats.read_yolo,
    }
    return readers[options.read](options.source, on_problem=on_problem, **place)


def _write(
    name: str, images: Iterator[LabelledImage], target: str, on_problem: Callable[[Problem], None]
) -> int:
    from rekolabels import formats

    if name == "manifest":
        return _write_manifest(images, target, on_problem)
    parent = os.path.dirname(target)  # noqa: PTH120 -- "" for the current folder, unlike that of pathlib
    place: dict[str, Any] = {"relative_to": parent} if parent and name in {"coco", "csv"} else {}
    if name == "csv":  # which has one layout for labels and one for boxes
        listed = list(images)
        boxes = any(image.boxes for image in listed)
        return formats.write_csv(listed, target, boxes=boxes, on_problem=on_problem, **place)
    writers: dict[str, Callable[..., int]] = {
        "coco": formats.write_coco,
        "folder": formats.write_folder,
        "voc": formats.write_voc,
        "yolo": formats.write_yolo,
    }
    return writers[name](images, target, on_problem=on_problem, **place)


def _write_manifest(
    images: Iterator[LabelledImage], target: str, on_problem: Callable[[Problem], None]
) -> int:
    from rekolabels.formats import Problem
    from rekolabels.manifest import write_manifest
    from rekolabels.manifest._collection import is_local

    local: list[str] = []

    def noted() -> Iterator[LabelledImage]:
        for image in images:
            if is_local(image):
                local.append(image.source)
            yield image

    count = write_manifest(noted(), target)
    if local:
        number = _number(len(local), "image")
        text = f"{number} on this machine, such as {local[0]}; the service requires S3 URIs"
        fix = (
            "project.create_datasets() uploads them. If they are in S3 already, convert the labels to CSV, "
            "and the CSV with --images s3://BUCKET/PREFIX."
        )
        on_problem(Problem(target, text, fix=fix))
    return count


def _running(options: argparse.Namespace) -> int:
    records: list[dict[str, Any]] = [
        {
            "arn": found.arn,
            "status": found.status,
            "inference_units": found.inference_units,
            "since": None if found.since is None else found.since.isoformat(timespec="seconds"),
            "cost": None if found.cost is None else round(found.cost, 2),
        }
        for found in _client(options).running_models(regions=options.region)
    ]
    if options.json:
        _say_json(records)
        return _FINDINGS if records else _FINE
    for record in records:
        cost = "cost unknown" if record["cost"] is None else f"{record['cost']:.2f} USD"
        _say(
            f"{record['status']}, {_number(record['inference_units'], 'unit')}, "
            f"since {record['since'] or 'unknown'}, {cost}: {record['arn']}"
        )
    if not records:
        _say("No model is running.")
    return _FINDINGS if records else _FINE


def _sweep(options: argparse.Namespace) -> int:
    stopped = _client(options).sweep(
        regions=options.region, wait=not options.no_wait, timeout=options.timeout
    )
    if options.json:
        _say_json({"stopped": [model.arn for model in stopped]})
    else:
        for model in stopped:
            _say(f"Stopped {model.arn}.")
        _say(f"{_number(len(stopped), 'model')} stopped.")
    return _FINE


def _serve(options: argparse.Namespace) -> int:
    from rekolabels.local._serve import serve

    serve(
        options.workspace,
        region_name=options.region,
        port=options.port,
        host=options.host,
        token_file=options.token_file,
        allowed_hosts=[name for names in options.allow_host for name in names.split(",")],
        verbose=options.verbose,
        as_json=options.json,
    )
    return _FINE


def _client(options: argparse.Namespace) -> Client:
    from rekolabels.client import Client

    return Client(region_name=options.region[0] if options.region else None)


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _say_json(value: object) -> None:
    _say(json.dumps(value, indent=1))


if __name__ == "__main__":
    sys.exit(main())
