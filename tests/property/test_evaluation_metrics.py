"""Properties of the metrics: equal to scikit-learn, and invariants for any predictions."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekolabels.evaluation import (
    EvaluationResult,
    ScoredLabel,
    SnapshotImage,
    evaluate_classification,
    score_classification,
    write_testing_snapshot,
)

metrics = pytest.importorskip("sklearn.metrics", reason="the extra 'local' is not installed")

# Few values on purpose: ties are error-prone.
confidences = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]) | st.floats(0, 1)
scored = st.lists(st.tuples(st.booleans(), confidences), min_size=1, max_size=40)


def separate(pairs: list[tuple[bool, float]]) -> ScoredLabel:
    """Separate confidences into positives and negatives."""
    return ScoredLabel([c for true, c in pairs if true], [c for true, c in pairs if not true])


@given(scored, confidences)
def test_counts_equal_scikit_learn(pairs: list[tuple[bool, float]], threshold: float) -> None:
    """Precision, recall and F1 at any threshold, including undefined ones."""
    truths = [true for true, _ in pairs]
    found = [confidence >= threshold for _, confidence in pairs]

    counts = separate(pairs).counts(threshold)

    expected = [
        float(score(truths, found, zero_division=math.nan))
        for score in (metrics.precision_score, metrics.recall_score, metrics.f1_score)
    ]
    seen = [math.nan if value is None else value for value in (counts.precision, counts.recall, counts.f1)]
    assert expected == pytest.approx(seen, abs=1e-9, nan_ok=True)


@given(scored.filter(lambda pairs: any(true for true, _ in pairs)))
def test_average_precision_equals_scikit_learn(pairs: list[tuple[bool, float]]) -> None:
    """Average precision is equal even if all confidences are equal."""
    expected = metrics.average_precision_score([true for true, _ in pairs], [c for _, c in pairs])

    assert float(expected) == pytest.approx(separate(pairs).average_precision(), abs=1e-9)


@given(scored)
def test_curves_equal_scikit_learn(pairs: list[tuple[bool, float]]) -> None:
    """Precision and recall are equal at every confidence that occurs."""
    truths = [true for true, _ in pairs]
    if not any(truths):
        return
    precision, recall, thresholds = metrics.precision_recall_curve(truths, [c for _, c in pairs])

    points = separate(pairs).curve()[::-1]

    assert list(thresholds) == [threshold for threshold, _ in points]
    assert list(precision[:-1]) == pytest.approx([counts.precision for _, counts in points], abs=1e-9)
    assert list(recall[:-1]) == pytest.approx([counts.recall for _, counts in points], abs=1e-9)


@given(scored, st.integers(1, 12))
def test_calibration_equals_scikit_learn(pairs: list[tuple[bool, float]], bins: int) -> None:
    """Bins of equal width; empty bins are omitted."""
    from sklearn.calibration import calibration_curve

    truths = [true for true, _ in pairs]
    if len(set(truths)) == 1:
        return  # scikit-learn requires both
    right, mean = calibration_curve(truths, [c for _, c in pairs], n_bins=bins)

    found = separate(pairs).calibration(bins).bins

    assert list(right) == pytest.approx([one.accuracy for one in found], abs=1e-9)
    assert list(mean) == pytest.approx([one.confidence for one in found], abs=1e-9)


@given(
    st.lists(
        st.tuples(
            st.sets(st.sampled_from("abc")), st.dictionaries(st.sampled_from("abcd"), confidences, max_size=3)
        ),
        min_size=1,
        max_size=20,
    ),
    confidences,
)
def test_sparse_scores_equal_scikit_learn_on_dense_ones(
    cases: list[tuple[set[str], dict[str, float]]], threshold: float
) -> None:
    """A missing confidence counts as 0, in counts at any threshold and in average precision."""
    labels = list("abcd")
    found = score_classification([true for true, _ in cases], [scores for _, scores in cases], labels)

    for label in labels:
        truths = [label in true for true, _ in cases]
        dense = [scores.get(label, 0.0) for _, scores in cases]
        counts = found[label].counts(threshold)
        matrix = metrics.confusion_matrix(truths, [c >= threshold for c in dense], labels=[False, True])
        assert matrix.ravel().tolist() == [
            counts.true_negatives,
            counts.false_positives,
            counts.false_negatives,
            counts.true_positives,
        ]
        if any(truths):
            expected = float(metrics.average_precision_score(truths, dense))
            assert expected == pytest.approx(found[label].average_precision(), abs=1e-9)
        else:
            assert found[label].average_precision() is None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.tuples(*[confidences] * 3)), min_size=1, max_size=20))
def test_confusion_counts_equal_scikit_learn(cases: list[tuple[str, tuple[float, float, float]]]) -> None:
    """An image counts by its most confident label; ties are resolved by name."""
    images = [SnapshotImage(f"s3://b/{n}.jpg", [true]) for n, (true, _) in enumerate(cases)]
    predictions = [dict(zip("abc", scores, strict=True)) for _, scores in cases]
    evaluation = evaluate_classification([[true] for true, _ in cases], predictions, list("abc"))
    lines = write_testing_snapshot(images, evaluation.verdicts, datetime(2026, 1, 2, tzinfo=UTC))

    counted = EvaluationResult.from_snapshot(lines).confusion()

    decided = [max("abc", key=lambda label, s=scores: (s[label], -ord(label))) for scores in predictions]  # type: ignore[misc]
    expected = metrics.confusion_matrix([true for true, _ in cases], decided, labels=list("abc"))
    assert expected.tolist() == [list(row[:3]) for row in counted.rows()[:3]]


@given(scored)
def test_best_threshold_has_the_best_f1(pairs: list[tuple[bool, float]]) -> None:
    """No other threshold has a better F1."""
    label = separate(pairs)
    best = label.best_threshold()

    if best is None:
        assert not any(true for true, _ in pairs)
    else:
        f1 = label.counts(best).f1
        assert f1 is not None
        assert all((label.counts(confidence).f1 or 0.0) <= f1 for _, confidence in pairs)


@given(scored)
def test_recall_never_increases_with_the_threshold(pairs: list[tuple[bool, float]]) -> None:
    """A higher threshold never finds more."""
    label = separate(pairs)

    found = [label.counts(threshold / 10).true_positives for threshold in range(11)]

    assert all(looser >= stricter for looser, stricter in pairwise(found))


images = st.lists(
    st.tuples(
        st.sets(st.sampled_from("abcde"), max_size=3),
        st.dictionaries(st.sampled_from("abcd"), confidences),
    ),
    max_size=20,
)


@settings(max_examples=60)
@given(images)
def test_summary_of_any_predictions_is_read_back(
    cases: list[tuple[set[str], dict[str, float]]],
) -> None:
    """Metrics are 0 to 1, rows of the matrix add up to 1, and reading the file loses nothing."""
    evaluation = evaluate_classification(
        [true for true, _ in cases], [found for _, found in cases], list("abcd")
    )

    matrix = evaluation.result.confusion_matrix
    assert matrix is not None
    for row in matrix.rows():
        defined = [share for share in row if share is not None]
        assert not defined or sum(defined) == pytest.approx(1)
    for metrics in evaluation.result.labels.values():
        values = (metrics.f1, metrics.precision, metrics.recall, metrics.threshold)
        assert all(value is None or 0 <= value <= 1 for value in values)
    assert evaluation.result == EvaluationResult.from_summary(
        json.loads(json.dumps(evaluation.result.to_summary()))
    )
    for (true, _), verdicts in zip(cases, evaluation.verdicts, strict=True):
        assert {"a", "b", "c", "d"} == {verdict.label for verdict in verdicts}
        assert true - {"e"} == {verdict.label for verdict in verdicts if verdict.in_ground_truth}
