"""Release gate for CI: may the candidate replace the model in production?

    python examples/release_gate.py PuppyChallenge v1 v2

compares v2 of the project, the candidate, with v1, the model in production. Both must be trained, and tested
with the same images. It writes the report of the candidate to the folder ``release``: ``evaluation.html`` for
people, and ``evaluation.md`` for the pull request. The exit code is

* 0 if the candidate may be released,
* 1 if it is worse: F1 fell significantly and by more than ``--tolerance``, on average or for a label,
* 2 if the two cannot be compared, for example because one of them does not exist.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import rekolabels
import rekolabels.local


def main() -> int:
    """Compare the candidate with the model in production, and return the exit code."""
    options = read_options()
    try:
        client = rekolabels.local.LocalService("workspace").client()  # on AWS: client = rekolabels.Client()
        project = client.project(options.project)
        production = project.model(options.production).evaluation()
        candidate = project.model(options.candidate).evaluation()
        comparison = candidate.compare(production, only_shared=options.only_shared)
        options.output.mkdir(parents=True, exist_ok=True)
        candidate.save(options.output / "evaluation.html")
        candidate.save(options.output / "evaluation.md")
    except rekolabels.RekolabelsError as error:
        print(f"Cannot compare {options.candidate} with {options.production}: {error}", file=sys.stderr)
        return 2
    print(comparison)
    worse = comparison.worse(options.tolerance)
    for loss in worse:
        print(f"\n{loss.label or 'On average'}: F1 fell from {loss.before} to {loss.after}.")
    print(f"\n{options.candidate} {'is worse. Do not release it.' if worse else 'may be released.'}")
    return 1 if worse else 0


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("project", help="name of the project")
    parser.add_argument("production", help="version in production, such as v1")
    parser.add_argument("candidate", help="version that may replace it, such as v2")
    parser.add_argument("--tolerance", type=float, default=0.02, help="loss of F1 to accept, 0 to 1")
    parser.add_argument("--only-shared", action="store_true", help="compare on the test images of both")
    parser.add_argument("--output", type=Path, default=Path("release"), help="folder for the report")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
