"""Run a coverage-guided fuzzer on a reader of rekolabels: ``python tools/fuzz.py manifest --count 1000000``.

The targets, their seeds and their mutations are in ``tests/security/fuzz_*.py``; atheris (libFuzzer) decides
which mutants to keep. An input that causes an error, or takes longer than ten seconds, ends the run and is
stored in ``.fuzz/``; pass it to ``--again`` to run it again.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

import atheris

ROOT = Path(__file__).parents[1]
RECORDED = ROOT / "tests" / "recorded"
FINDINGS = ROOT / ".fuzz"
SECONDS_PER_INPUT = 10
MEGABYTES = 4096
MAX_LENGTH = 1 << 18


def recorded() -> list[dict[str, Any]]:
    """Return the recorded requests and responses of the service."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RECORDED.glob("*.json"))]


def make_target(name: str) -> Any:
    """Return the target with this name, with its seeds."""
    examples = [example for example in recorded() if isinstance(example, dict)]
    if name == "manifest":
        from fuzz_manifest import ManifestTarget

        lines = [
            line
            for example in examples
            if example.get("operation") == "ListDatasetEntries"
            for line in example["response"]["DatasetEntries"]
        ]
        return ManifestTarget(lines)
    if name == "service":
        from fuzz_service import ServiceTarget

        return ServiceTarget(
            [(found["operation"], found["request"]) for found in examples if "request" in found]
        )
    if name == "readers":
        from fuzz_readers import ReaderTarget

        return ReaderTarget()
    from fuzz_model import ModelTarget

    return ModelTarget()


def main() -> None:
    """Run until ``--count`` is reached or an input fails; exit with libFuzzer's status."""
    parser = argparse.ArgumentParser(description="Fuzz a reader of rekolabels.")
    parser.add_argument("target", choices=["manifest", "service", "model", "readers"])
    parser.add_argument("--count", type=int, default=100_000, help="lines, bodies, models or files to send")
    parser.add_argument("--seed", type=int, default=1, help="random seed")
    parser.add_argument("--again", type=Path, help="an input from .fuzz/ to run again")
    options = parser.parse_args()
    faulthandler.enable()
    sys.path[:0] = [str(ROOT / "tests" / folder) for folder in ("security", "contract", "")]
    with atheris.instrument_imports(include=["rekolabels"]):
        target = make_target(options.target)
    if options.again is not None:
        target.run(options.again.read_bytes())
        return
    FINDINGS.mkdir(exist_ok=True)
    corpus = Path(tempfile.mkdtemp(prefix="rekolabels-fuzz-"))
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    started, sent, inputs, slowest = time.monotonic(), 0, 0, 0.0

    def once(data: bytes) -> None:
        nonlocal sent, inputs, slowest
        start = time.monotonic()
        try:
            sent += target.run(data)
        except BaseException:
            # Store the input here too: libFuzzer does not if its own time-out comes first
            (FINDINGS / f"{target.name}-{hashlib.sha256(data).hexdigest()[:16]}").write_bytes(data)
            raise
        inputs += 1
        slowest = max(slowest, time.monotonic() - start)
        if sent >= options.count:
            target.close()
            taken = time.monotonic() - started
            print(
                f"{target.name}: {sent:,} {target.unit} in {inputs:,} inputs, no findings; "
                f"{taken:.0f} s, the slowest input {slowest * 1000:.0f} ms"
            )
            sys.stdout.flush()
            os._exit(0)

    def mutate(data: bytes, limit: int, seed: int) -> bytes:
        rng = Random(seed)  # noqa: S311 - not for secrets
        for _ in range(rng.choice((1, 1, 2, 4))):
            data = target.mutate(data, rng)
        return data[:limit]

    settings = {
        "seed": options.seed,
        "timeout": SECONDS_PER_INPUT,
        "rss_limit_mb": MEGABYTES,
        "max_len": MAX_LENGTH,
        "len_control": 0,
        "verbosity": 0,
        "artifact_prefix": f"{FINDINGS}/{target.name}-",
    }
    arguments = [sys.argv[0], *(f"-{name}={value}" for name, value in settings.items()), str(corpus)]
    atheris.Setup(arguments, once, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
