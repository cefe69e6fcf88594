"""Comparison of two models on the same test images, and ``assert_no_regression``."""

from __future__ import annotations

import pickle

import pytest

from evaluations import SCORES, TRUTHS, classifier, detector
from rekolabels.errors import InvalidInput, ModelRegressed
from rekolabels.evaluation import McNemar

MANY = TRUTHS * 10
BAD = [{"cat": 0.5 + (n % 7) / 20, "dog": 0.5 - (n % 5) / 20} for n in range(len(MANY))]
GOOD = SCORES * 10


def test_a_model_is_not_worse_than_itself() -> None:
    """No metric changes, the intervals are empty, and neither model is right alone."""
    result = classifier(TRUTHS, SCORES)

    comparison = result.assert_no_regression(result, strict=True)

    assert {0.0} == {one.change for one in comparison.differences}
    assert {(0.0, 0.0)} == {one.interval for one in comparison.differences}
    assert (McNemar(0, 0), 1.0) == (comparison.mcnemar, comparison.mcnemar.p_value)
    assert (20, 0) == (comparison.images, comparison.left_out)


def test_significant_loss_raises_with_a_table() -> None:
    """The message lists the losses and the whole comparison; the error is an AssertionError and pickles."""
    before, after = classifier(MANY, GOOD), classifier(MANY, BAD)

    with pytest.raises(AssertionError, match=r"worse than the baseline in f1 \(tolerance 0.05\)") as caught:
        after.assert_no_regression(before, tolerance=0.05)

    error = caught.value
    assert isinstance(error, ModelRegressed)
    lost = error.comparison.difference()
    assert lost.change is not None
    assert lost.interval is not None
    assert lost.interval[0] <= lost.change <= lost.interval[1] < 0
    assert f"{lost.change:+.3f}" in str(error)
    assert str(error) == str(pickle.loads(pickle.dumps(error)))  # noqa: S301 - data of this test


def test_improvement_passes() -> None:
    """The same models in the other order pass, and McNemar's test agrees."""
    before, after = classifier(MANY, BAD), classifier(MANY, GOOD)

    comparison = after.assert_no_regression(before)

    assert (comparison.difference().change or 0) > 0.1
    assert comparison.mcnemar.p_value < 0.001
    assert comparison.mcnemar.only_after > comparison.mcnemar.only_before
    assert {"cat", "dog"} == set(comparison.by_label)
    assert "All labels" in str(comparison)


def test_insignificant_loss_passes_unless_strict() -> None:
    """A loss on two of twenty images is not significant."""
    worse = [dict(scores) for scores in SCORES]
    worse[0], worse[19] = worse[19], worse[0]
    before, after = classifier(TRUTHS, SCORES), classifier(TRUTHS, worse)

    after.assert_no_regression(before)
    with pytest.raises(ModelRegressed):
        after.assert_no_regression(before, strict=True)


def test_different_test_sets_raise() -> None:
    """The error counts the shared images; with only_shared=True these are compared."""
    whole, part = classifier(TRUTHS, SCORES), classifier(TRUTHS[:15], SCORES[:15])

    with pytest.raises(InvalidInput, match="20 and 15 images, 15 in common with the same labels"):
        part.compare(whole)
    assert (15, 5) == (
        part.compare(whole, only_shared=True).images,
        part.compare(whole, only_shared=True).left_out,
    )
    with pytest.raises(InvalidInput, match="no test images in common"):
        classifier(TRUTHS, SCORES, "s3://other").compare(whole, only_shared=True)


def test_images_with_changed_labels_are_not_shared() -> None:
    """An image with another ground truth counts as another image."""
    changed = [["dog"], *TRUTHS[1:]]

    with pytest.raises(InvalidInput, match="19 in common with the same labels"):
        classifier(changed, SCORES).compare(classifier(TRUTHS, SCORES))


def test_compare_detectors() -> None:
    """Metrics are computed over boxes; an unknown label is refused."""
    comparison = detector().compare(detector(), n_resamples=50)

    assert comparison.difference("cap", "recall").before == detector().labels["cap"].recall
    with pytest.raises(InvalidInput, match="label is 'hat'"):
        comparison.difference("hat")


def test_the_same_seed_gives_the_same_intervals() -> None:
    """Comparisons are reproducible."""
    before, after = classifier(TRUTHS, SCORES), classifier(TRUTHS, SCORES[::-1])

    assert after.compare(before, n_resamples=100) == after.compare(before, n_resamples=100)


@pytest.mark.parametrize(
    ("first", "second", "expected"), [(0, 0, 1.0), (5, 5, 1.0), (0, 5, 0.0625), (10, 2, 0.0385742188)]
)
def test_mcnemar(first: int, second: int, expected: float) -> None:
    """The p-values equal those of statistical tables."""
    assert expected == pytest.approx(McNemar(first, second).p_value)
