"""Whatever the arguments of the pure packages are, only errors of ours come out, and no file is left."""

from __future__ import annotations

import warnings
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from evaluations import SCORES, TRUTHS, box, classifier
from public_callables import PublicCallable, call, calls_of, public_callables
from rekolabels.costs import KNOWN_PRICES, Prices
from rekolabels.descriptions import Detection, S3Location
from rekolabels.evaluation import (
    Comparison,
    ConfusionCounts,
    ConfusionMatrix,
    Difference,
    EvaluationResult,
    ScoredLabel,
    ThresholdPolicy,
)
from rekolabels.images import LabelledImage
from rekolabels.manifest import CheckedManifest, ManifestReport, check_manifest, format_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PURE = public_callables(
    "rekolabels.costs",
    "rekolabels.descriptions",
    "rekolabels.evaluation",
    "rekolabels.formats",
    "rekolabels.images",
    "rekolabels.manifest",
    "rekolabels.splits",
)
IMAGE = LabelledImage("s3://pets/1.jpg", ["cat"])
LINE = format_line(IMAGE)
RESULT = classifier(TRUTHS, SCORES)
EXAMPLES: dict[str, object] = {
    "baseline": RESULT,
    "created": datetime(2026, 1, 1),  # noqa: DTZ001 - a naive time is UTC
    "field": "ground_truth",
    "folder": "out",
    "frame": {"path": ["a.jpg"], "label": ["cat"]},
    "images": [IMAGE],
    "labels": ["cat"],
    "lines": [LINE],
    "on_problem": print,
    "one": box(1),
    "other": box(2),
    "predictions": [{"cat": 0.9}],
    "prices": KNOWN_PRICES["us-east-1"],
    "result": RESULT,
    "seconds": 60,
    "source": [LINE],
    "target": "out.txt",
    "truths": [["cat"]],
}
"""Valid arguments, so that the checks of the other arguments are reached."""
COMPARISON = RESULT.compare(RESULT, n_resamples=10)
INSTANCES: dict[type, Callable[[], Any]] = {
    CheckedManifest: lambda: CheckedManifest([LINE]),
    Comparison: lambda: COMPARISON,
    ConfusionCounts: RESULT.confusion,
    ConfusionMatrix: lambda: RESULT.confusion_matrix,
    Detection: lambda: Detection("cat", 90.0),
    Difference: lambda: COMPARISON.differences[0],
    EvaluationResult: lambda: RESULT,
    ManifestReport: lambda: check_manifest([LINE]),
    Prices: lambda: KNOWN_PRICES["us-east-1"],
    S3Location: lambda: S3Location("bucket", "key"),
    ScoredLabel: lambda: RESULT.scores()["cat"],
    ThresholdPolicy: lambda: ThresholdPolicy.best_f1(RESULT),
}
"""An instance of each class whose methods are called."""


@pytest.mark.parametrize("found", PURE, ids=lambda found: found.name)
def test_wrong_arguments_raise_our_errors(
    found: PublicCallable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call either works or raises an error of ours, and then leaves no file behind."""
    monkeypatch.chdir(tmp_path)

    @settings(max_examples=15, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        positional, named = data.draw(calls_of(found, EXAMPLES))
        assume(
            not any(value is len or value is object for value in named.values())
        )  # raise errors of their own
        instance = None if found.owner is None else INSTANCES[found.owner]()
        before = sorted(tmp_path.rglob("*"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            error = call(found, instance, positional, named)
        if error is not None:
            assert before == sorted(tmp_path.rglob("*"))

    check()
