"""Write ``docs/conformance.md``: run the contract tests of the embedded service, tell what they tested."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[1]
CONTRACT = ROOT / "tests" / "contract"
PAGE = ROOT / "docs" / "conformance.md"
YES, NO = "yes", "**no**"
HEAD = """# Conformance of the embedded service

This page is written by `tools/make_conformance.py` from a run of the contract tests; do not edit it.

* **Constraints**: each is taken from botocore's service model. A request that breaks it, and no other rule,
  must be answered with `InvalidParameterException` and name the place; one that just keeps it must be taken.
* **Errors**: each is declared by the model. *By itself* means that a test brings the service into a state, or
  sends a request, that is answered so. *On request* means that a {py:class}`rekolabels.local.FaultPlan` makes
  it happen: a client's handling of it can be tested in any case. Errors without a *by itself* have no state
  here that leads to them: the service knows no permissions that a caller could lack
  (`AccessDeniedException`, but for copies), answers readers whatever writers do (`ThrottlingException`), and
  has no human reviewers (`HumanLoopQuotaExceededException`); when the others come, AWS does not say.
* The waiters and paginators of botocore, the AWS CLI and the SDK for JavaScript are tested by
  `make conformance`.

| | Tested | Of |
|---|---|---|
"""


def main() -> int:
    """Run the tests and write the page; the tests' status."""
    sys.path[:0] = [str(CONTRACT), str(ROOT / "tests")]
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "record.json"
        status = run_tests(record)
        seen = json.loads(record.read_text(encoding="utf-8"))
    PAGE.write_text("\n".join(page(seen)) + "\n", encoding="utf-8")
    sys.stdout.write(f"{PAGE.relative_to(ROOT)} is written.\n")
    return status


def run_tests(record: Path) -> int:
    """The contract tests of the service, watched."""
    tests = [str(path) for path in sorted(CONTRACT.glob("test_service_*.py"))]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "conformance_record", *tests]
    environment = os.environ | {"REKOLABELS_RECORD": str(record), "PYTHONPATH": str(CONTRACT)}
    return subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode  # noqa: S603 - our own tests


def page(seen: dict[str, Any]) -> Iterator[str]:
    """The lines of the page."""
    from conformance_cases import constraints, errors_of

    passed = set(seen["passed"])
    met = {(operation, error) for operation, error in seen["met"]}
    rules = list(constraints())
    operations = sorted({rule.operation for rule in rules})
    kept = [rule for rule in rules if f"test_a_constraint[{rule.name}]" in passed]
    errors = [(operation, error) for operation in operations for error in errors_of(operation)]
    asked = {pair for pair in errors if f"test_an_error_on_request[{pair[0]}-{pair[1]}]" in passed}
    yield HEAD.rstrip("\n")
    yield f"| Operations | {len(operations)} | {len(operations)} |"
    yield f"| Constraints | {len(kept)} | {len(rules)} |"
    yield f"| Errors, by themselves | {len(met & set(errors))} | {len(errors)} |"
    yield f"| Errors, on request | {len(asked)} | {len(errors)} |"
    for operation, group in groupby(rules, key=lambda rule: rule.operation):
        yield f"\n## {operation}\n"
        yield "| Error | By itself | On request |"
        yield "|---|---|---|"
        for error in sorted(errors_of(operation)):
            pair = (operation, error)
            yield f"| `{error}` | {YES if pair in met else '-'} | {YES if pair in asked else NO} |"
        yield "\n| Member | Constraints | Tested |"
        yield "|---|---|---|"
        for where, several in groupby(list(group), key=place_of):
            yield row(where, list(several), passed)


def place_of(rule: Any) -> str:
    """The member that a rule is about; that it is known at all is a rule of the whole."""
    return str(rule.where.removesuffix("NoSuchMember").removesuffix("."))


def row(where: str, rules: Sequence[Any], passed: set[str]) -> str:
    """One member."""
    texts = [text_of(rule) for rule in rules]
    missing = [
        text
        for rule, text in zip(rules, texts, strict=True)
        if f"test_a_constraint[{rule.name}]" not in passed
    ]
    tested = YES if not missing else f"{NO}: {'; '.join(missing)}"
    return f"| {f'`{where}`' if where else '(the request)'} | {'; '.join(texts)} | {tested} |"


def text_of(rule: Any) -> str:
    """A rule in words, safe in a table."""
    texts = {
        "required": "required",
        "type": rule.rule,
        "unknown member": "no unknown members",
        "pattern": f"`{rule.rule}`",
        "one of": f"one of {rule.rule}",
    }
    text: str = texts.get(rule.kind, f"{rule.kind} {rule.rule}")
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
