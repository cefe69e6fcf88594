"""Write ``docs/conformance.md``: run the contract tests of the embedded service and list what they cover."""

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

This page lists which constraints and errors of Amazon Rekognition the embedded service implements and the
contract tests cover. `tools/make_conformance.py` generates it from a test run; do not edit it.

* **Constraints** come from botocore's service model. For each, a request that violates only this constraint
  must return a `ValidationException` (for a wrong JSON type, a `SerializationException`) that names the
  member, and a request at the limit must be accepted. Members that the model does not have must be ignored.
* **Errors** are those that the model declares. *Produced* means that a test brings the service into a
  state, or sends a request, that causes the error. *Injected* means that a
  {py:class}`rekolabels.local.FaultPlan` can cause it, so that you can test how your code handles it. Some
  errors are only injected: the service does not throttle reads while it writes (`ThrottlingException`), has
  no human reviewers (`HumanLoopQuotaExceededException`), and AWS does not document what causes the others
  (`LimitExceededException`). [](service-errors.md) has the status and message of each error.
* `make conformance` tests the waiters and paginators of botocore, the AWS CLI and the SDK for JavaScript,
  calls from web pages, and S3 tools.

| | Tested | Of |
|---|---|---|
"""


def main() -> int:
    """Run the tests, write the page and return the exit status of the tests."""
    sys.path[:0] = [str(CONTRACT), str(ROOT / "tests")]
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "record.json"
        status = run_tests(record)
        recorded = json.loads(record.read_text(encoding="utf-8"))
    PAGE.write_text("\n".join(page(recorded)) + "\n", encoding="utf-8")
    sys.stdout.write(f"{PAGE.relative_to(ROOT)} was written.\n")
    return status


def run_tests(record: Path) -> int:
    """Run the contract tests of the service with the recording plugin; return their exit status."""
    tests = [str(path) for path in sorted(CONTRACT.glob("test_service_*.py"))]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "conformance_record", *tests]
    environment = os.environ | {"REKOLABELS_RECORD": str(record), "PYTHONPATH": str(CONTRACT)}
    return subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode  # noqa: S603 - our own tests


def page(recorded: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the page."""
    from conformance_cases import constraints, errors_of

    passed = set(recorded["passed"])
    returned = {(operation, error) for operation, error in recorded["returned"]}
    rules = list(constraints())
    operations = sorted({rule.operation for rule in rules})
    covered = [rule for rule in rules if f"test_a_constraint[{rule.name}]" in passed]
    errors = [(operation, error) for operation in operations for error in errors_of(operation)]
    injected = {pair for pair in errors if f"test_an_injected_error[{pair[0]}-{pair[1]}]" in passed}
    yield HEAD.rstrip("\n")
    yield f"| Operations | {len(operations)} | {len(operations)} |"
    yield f"| Constraints | {len(covered)} | {len(rules)} |"
    yield f"| Errors, produced | {len(returned & set(errors))} | {len(errors)} |"
    yield f"| Errors, injected | {len(injected)} | {len(errors)} |"
    for operation, group in groupby(rules, key=lambda rule: rule.operation):
        yield f"\n## {operation}\n"
        yield "| Error | Produced | Injected |"
        yield "|---|---|---|"
        for error in sorted(errors_of(operation)):
            pair = (operation, error)
            yield f"| `{error}` | {YES if pair in returned else '-'} | {YES if pair in injected else NO} |"
        yield "\n| Member | Constraints | Tested |"
        yield "|---|---|---|"
        for path, member_rules in groupby(list(group), key=path_of):
            yield row(path, list(member_rules), passed)


def path_of(rule: Any) -> str:
    """Return the path of the member that a constraint is about; unknown members concern the structure."""
    return str(rule.path.removesuffix("NoSuchMember").removesuffix("."))


def row(path: str, rules: Sequence[Any], passed: set[str]) -> str:
    """Return the table row of one member."""
    texts = [text_of(rule) for rule in rules]
    missing = [
        text
        for rule, text in zip(rules, texts, strict=True)
        if f"test_a_constraint[{rule.name}]" not in passed
    ]
    tested = YES if not missing else f"{NO}: {'; '.join(missing)}"
    return f"| {f'`{path}`' if path else '(the request)'} | {'; '.join(texts)} | {tested} |"


def text_of(rule: Any) -> str:
    """Return the text of a constraint, escaped for a table."""
    texts = {
        "required": "required",
        "type": rule.rule,
        "unknown member": "unknown members are ignored",
        "pattern": f"`{rule.rule}`",
        "one of": f"one of {rule.rule}",
    }
    text: str = texts.get(rule.kind, f"{rule.kind} {rule.rule}")
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
