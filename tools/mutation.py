"""Change the pure rooms in small ways, and count the changes that their tests see.

    python tools/mutation.py                        every mutant of every room (hours)
    python tools/mutation.py --count 500 --seed 3   500 of them, by chance
    python tools/mutation.py --room splits          one room

mutmut makes the mutants, and runs for each the tests that call the function it is in. A room is a mutmut
project in ``.mutation/``, with the tests of that room alone. A mutant counts as killed when a test fails,
hangs or crashes; one that no test calls has survived. Survivors are listed; ``mutmut show NAME``, in the
room's folder, shows the change.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random

import attrs

ROOT = Path(__file__).parents[1]
WORK = ROOT / ".mutation"
LEAST = 85.0
MOST_MEMORY = 4 << 30
"""Bytes a process: a loop that a mutant made endless may fill a list."""
SURVIVED = (0, 5, 33)
"""What mutmut notes for a mutant that no test fails on: tests that pass, and no tests."""


@attrs.frozen
class Room:
    """A part of the package, and the tests that hold it to its promises."""

    name: str
    mutated: tuple[str, ...]
    """Patterns below ``src/rekolabels``."""
    tests: tuple[str, ...]
    """Patterns below ``tests``."""


ROOMS = (
    Room(
        "values",
        ("images.py", "descriptions.py", "costs.py", "_arns.py"),
        ("unit/test_values.py", "unit/test_costs.py", "unit/test_arns.py"),
    ),
    Room(
        "pace",
        ("_retry.py", "_waiting.py", "inference/_rate_limiter.py", "inference/_conversions.py"),
        (
            "unit/test_retry.py",
            "unit/test_waiting.py",
            "unit/test_rate_limiter.py",
            "unit/test_inference_images.py",
        ),
    ),
    Room("manifest", ("manifest/*",), ("unit/test_manifest_*.py", "property/test_manifest_laws.py")),
    Room(
        "formats",
        ("formats/*",),
        ("unit/test_formats_*.py", "property/test_formats_round_trips.py"),
    ),
    Room("splits", ("splits/*",), ("unit/test_splits.py", "property/test_splits_laws.py")),
    Room(
        "evaluation",
        ("evaluation/*",),
        (
            "unit/test_evaluation_*.py",
            "unit/test_label_errors.py",
            "property/test_evaluation_*.py",
            "property/test_lines_laws.py",
        ),
    ),
)


def prepare(room: Room) -> Path:
    """Lay out the room's project; what was generated before stays where the source is the same."""
    folder = WORK / room.name
    tests = sorted(
        f"tests/{path.relative_to(ROOT / 'tests')}"
        for pattern in (*room.tests, "unit/test_extras.py")  # which is about all rooms
        for path in (ROOT / "tests").glob(pattern)
    )
    settings = {
        "source_paths": ["src"],
        "only_mutate": [f"src/rekolabels/{pattern}" for pattern in room.mutated],
        # what is drawn is judged by eye and in a browser
        "do_not_mutate": [
            f"src/rekolabels/evaluation/_report/{name}*"
            for name in ("_page", "_sections", "_figures", "_notebook")
        ],
        # what cast says is for type checkers
        "do_not_mutate_patterns": [r"\bcast\("],
        "pytest_add_cli_args": ["-n", "0", "-p", "no:cacheprovider", "--hypothesis-profile=mutation"],
        "pytest_add_cli_args_test_selection": tests,
    }
    lines = [f"{key} =\n" + "".join(f"    {value}\n" for value in values) for key, values in settings.items()]
    text = "".join(["[mutmut]\n", "track_dependencies = false\n", *lines])
    config = folder / "setup.cfg"
    if not config.is_file() or config.read_text(encoding="utf-8") != text:
        shutil.rmtree(folder, ignore_errors=True)  # made by other settings
    (folder / "mutants").mkdir(parents=True, exist_ok=True)
    config.write_text(text, encoding="utf-8")
    # some tests compare with the documentation
    for name in ("src", "tests", "pyproject.toml", "mutants/docs"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(ROOT / name.removeprefix("mutants/"))
    # which test calls which function is looked at anew
    (folder / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)
    return folder


def generate(folder: Path, children: int) -> list[str]:
    """Make all mutants of a room, and tell their names."""
    program = (
        "from mutmut import __main__ as mutmut; mutmut.set_mutant_under_test('mutant_generation'); "
        f"mutmut.copy_src_dir(); mutmut.create_mutants({children})"
    )
    with (folder / "log").open("w", encoding="utf-8") as log:
        command = [sys.executable, "-c", program]
        subprocess.run(command, cwd=folder, stdout=log, stderr=log, check=True)  # noqa: S603 -- our own program
    return sorted(noted(folder))


def noted(folder: Path) -> dict[str, int | None]:
    """What mutmut notes for each mutant: the status of its tests."""
    notes: dict[str, int | None] = {}
    for path in (folder / "mutants" / "src").rglob("*.meta"):
        notes |= json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
    return notes


def run(folder: Path, names: list[str], children: int) -> dict[str, int | None]:
    """Run the tests against these mutants, and tell what became of each."""
    command = [str(Path(sys.executable).with_name("mutmut")), "run", "--max-children", str(children), *names]
    with (folder / "log").open("w", encoding="utf-8") as log:
        done = subprocess.run(  # noqa: S603 -- the tool that this is about
            command, cwd=folder, stdout=log, stderr=log, check=False
        )
    notes = noted(folder)
    if done.returncode or any(notes[name] is None for name in names):
        raise SystemExit(f"mutmut did not run to its end: see {folder / 'log'}")
    return {name: notes[name] for name in names}


def row(name: str, statuses: list[int | None]) -> str:
    """One line of the table."""
    survived = sum(status in SURVIVED for status in statuses)
    return f"{name:<12}{len(statuses):>8}{len(statuses) - survived:>8}{survived:>9}{score(statuses):>8.1f} %"


def score(statuses: list[int | None]) -> float:
    """Killed mutants, in percent of all."""
    return 100.0 * sum(status not in SURVIVED for status in statuses) / max(len(statuses), 1)


def main() -> None:
    """Print the table; the process ends with 1 when fewer are killed than shall be."""
    parser = argparse.ArgumentParser(
        description="Count the small changes that the tests of the pure rooms see."
    )
    parser.add_argument("--count", type=int, help="so many mutants, by chance; all of them when left out")
    parser.add_argument("--seed", type=int, default=1, help="another seed takes others")
    parser.add_argument(
        "--room", action="append", choices=[room.name for room in ROOMS], help="this room only"
    )
    parser.add_argument("--children", type=int, default=os.cpu_count() or 2, help="processes at a time")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    rooms = {room.name: prepare(room) for room in ROOMS if options.room is None or room.name in options.room}
    chosen = [
        (name, mutant) for name, folder in rooms.items() for mutant in generate(folder, options.children)
    ]
    if options.count is not None:
        chosen = Random(options.seed).sample(chosen, min(options.count, len(chosen)))  # noqa: S311 - no secret
    print(f"{'room':<12}{'mutants':>8}{'killed':>8}{'survived':>9}{'score':>10}")
    everything: dict[str, int | None] = {}
    for name, folder in rooms.items():
        names = sorted(mutant for room, mutant in chosen if room == name)
        found = run(folder, names, options.children) if names else {}
        print(row(name, list(found.values())), flush=True)
        everything |= found
    print(row("all", list(everything.values())))
    for mutant, status in everything.items():
        if status in SURVIVED:
            print(f"survived: {mutant}" + ("" if status == 0 else " (no test calls it)"))
    sys.exit(score(list(everything.values())) < LEAST)


if __name__ == "__main__":
    main()
