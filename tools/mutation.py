"""Mutation testing of the pure packages: change them in small ways, and count the changes that tests detect.

    python tools/mutation.py                        every mutant of every target (takes hours)
    python tools/mutation.py --count 500 --seed 3   a random sample of 500
    python tools/mutation.py --target splits        one target only

mutmut makes the mutants, and runs for each one the tests that call its function. Each target is a mutmut
project in ``.mutation/`` with its own tests. A mutant is killed if a test fails, hangs or crashes; it
survives if all tests pass, or if no test calls it. The script lists survivors; to see a change, run
``mutmut show NAME`` in the folder of the target.
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
MIN_SCORE = 85.0
"""Killed mutants, in percent, below which the script fails."""
MAX_MEMORY = 4 << 30
"""Bytes for a process: a mutant may be an infinite loop that fills a list."""
SURVIVED = (0, 5, 33)
"""mutmut's exit codes of survivors: tests pass (0), or there are none."""


@attrs.frozen
class Target:
    """A part of the package to mutate, and its tests."""

    name: str
    mutated: tuple[str, ...]
    """Patterns of files in ``src/rekolabels``."""
    tests: tuple[str, ...]
    """Patterns of files in ``tests``."""


TARGETS = (
    Target(
        "values",
        ("images.py", "descriptions.py", "costs.py", "_aws/_arns.py"),
        ("unit/test_values.py", "unit/test_costs.py", "unit/test_arns.py"),
    ),
    Target(
        "waiting",
        ("_aws/_retry.py", "_aws/_waiting.py", "inference/_rate_limiter.py", "inference/_conversions.py"),
        (
            "unit/test_retry.py",
            "unit/test_waiting.py",
            "unit/test_rate_limiter.py",
            "unit/test_inference_images.py",
        ),
    ),
    Target("manifest", ("manifest/*",), ("unit/test_manifest_*.py", "property/test_manifest_properties.py")),
    Target(
        "formats",
        ("formats/*",),
        ("unit/test_formats_*.py", "property/test_formats_round_trips.py"),
    ),
    Target("splits", ("splits/*",), ("unit/test_splits.py", "property/test_splits_properties.py")),
    Target(
        "evaluation",
        ("evaluation/*",),
        (
            "unit/test_evaluation_*.py",
            "unit/test_label_errors.py",
            "property/test_evaluation_*.py",
            "property/test_lines_properties.py",
        ),
    ),
)


def prepare(target: Target) -> Path:
    """Create the mutmut project of a target; mutants of unchanged sources are kept."""
    folder = WORK / target.name
    tests = sorted(
        f"tests/{path.relative_to(ROOT / 'tests')}"
        for pattern in (*target.tests, "unit/test_extras.py")  # concerns all packages
        for path in (ROOT / "tests").glob(pattern)
    )
    settings = {
        "source_paths": ["src"],
        "only_mutate": [f"src/rekolabels/{pattern}" for pattern in target.mutated],
        # pages and figures are tested by eye and in a browser
        "do_not_mutate": [
            f"src/rekolabels/evaluation/_report/{name}*"
            for name in ("_page", "_sections", "_figures", "_notebook")
        ],
        # cast concerns type checkers only
        "do_not_mutate_patterns": [r"\bcast\("],
        "pytest_add_cli_args": ["-n", "0", "-p", "no:cacheprovider", "--hypothesis-profile=mutation"],
        "pytest_add_cli_args_test_selection": tests,
    }
    lines = [f"{key} =\n" + "".join(f"    {value}\n" for value in values) for key, values in settings.items()]
    text = "".join(["[mutmut]\n", "track_dependencies = false\n", *lines])
    config = folder / "setup.cfg"
    if not config.is_file() or config.read_text(encoding="utf-8") != text:
        shutil.rmtree(folder, ignore_errors=True)  # it was made with other settings
    (folder / "mutants").mkdir(parents=True, exist_ok=True)
    config.write_text(text, encoding="utf-8")
    # some tests compare with the documentation
    for name in ("src", "tests", "pyproject.toml", "mutants/docs"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(ROOT / name.removeprefix("mutants/"))
    # find out again which test calls which function
    (folder / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)
    return folder


def generate(folder: Path, children: int) -> list[str]:
    """Generate all mutants of a target, and return their names."""
    program = (
        "from mutmut import __main__ as mutmut; mutmut.set_mutant_under_test('mutant_generation'); "
        f"mutmut.copy_src_dir(); mutmut.create_mutants({children})"
    )
    with (folder / "log").open("w", encoding="utf-8") as log:
        command = [sys.executable, "-c", program]
        subprocess.run(command, cwd=folder, stdout=log, stderr=log, check=True)  # noqa: S603 -- our own program
    return sorted(exit_codes(folder))


def exit_codes(folder: Path) -> dict[str, int | None]:
    """Return the exit code of the tests of each mutant; None if they did not run."""
    codes: dict[str, int | None] = {}
    for path in (folder / "mutants" / "src").rglob("*.meta"):
        codes |= json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
    return codes


def run(folder: Path, names: list[str], children: int) -> dict[str, int | None]:
    """Run the tests for these mutants, and return their exit codes."""
    command = [str(Path(sys.executable).with_name("mutmut")), "run", "--max-children", str(children), *names]
    with (folder / "log").open("w", encoding="utf-8") as log:
        done = subprocess.run(  # noqa: S603 -- mutmut itself
            command, cwd=folder, stdout=log, stderr=log, check=False
        )
    codes = exit_codes(folder)
    if done.returncode or any(codes[name] is None for name in names):
        raise SystemExit(f"mutmut did not finish. See {folder / 'log'}.")
    return {name: codes[name] for name in names}


def row(name: str, statuses: list[int | None]) -> str:
    """Return one line of the table."""
    survived = sum(status in SURVIVED for status in statuses)
    return f"{name:<12}{len(statuses):>8}{len(statuses) - survived:>8}{survived:>9}{score(statuses):>8.1f} %"


def score(statuses: list[int | None]) -> float:
    """Return the percentage of killed mutants."""
    return 100.0 * sum(status not in SURVIVED for status in statuses) / max(len(statuses), 1)


def main() -> None:
    """Print the table; exit with 1 if the score is below the minimum."""
    parser = argparse.ArgumentParser(description="Mutation testing of the pure packages.")
    parser.add_argument("--count", type=int, help="size of a random sample; default: all mutants")
    parser.add_argument("--seed", type=int, default=1, help="another seed gives another sample")
    names = [target.name for target in TARGETS]
    parser.add_argument("--target", action="append", choices=names, help="test this target only")
    parser.add_argument("--children", type=int, default=os.cpu_count() or 2, help="parallel processes")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    folders = {
        target.name: prepare(target)
        for target in TARGETS
        if options.target is None or target.name in options.target
    }
    chosen = [
        (name, mutant) for name, folder in folders.items() for mutant in generate(folder, options.children)
    ]
    if options.count is not None:
        chosen = Random(options.seed).sample(chosen, min(options.count, len(chosen)))  # noqa: S311 - no secret
    print(f"{'target':<12}{'mutants':>8}{'killed':>8}{'survived':>9}{'score':>10}")
    everything: dict[str, int | None] = {}
    for name, folder in folders.items():
        names = sorted(mutant for target, mutant in chosen if target == name)
        found = run(folder, names, options.children) if names else {}
        print(row(name, list(found.values())), flush=True)
        everything |= found
    print(row("all", list(everything.values())))
    for mutant, status in everything.items():
        if status in SURVIVED:
            print(f"survived: {mutant}" + ("" if status == 0 else " (no test calls it)"))
    sys.exit(score(list(everything.values())) < MIN_SCORE)


if __name__ == "__main__":
    main()
