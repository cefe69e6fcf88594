"""Two models on the same test images: differences with intervals, and a gate for builds."""

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
    """No change anywhere, an interval of nothing, and nobody alone is right."""
    result = classifier(TRUTHS, SCORES)

    comparison = result.assert_no_regression(result, strict=True)

    assert {0.0} == {one.change for one in comparison.differences}
    assert {(0.0, 0.0)} == {one.interval for one in comparison.differences}
    assert (McNemar(0, 0), 1.0) == (comparison.mcnemar, comparison.mcnemar.p_value)
    assert (20, 0) == (comparison.images, comparison.left_out)


def test_a_real_loss_fails_the_build_with_a_table() -> None:
    """The message has what was lost and the whole comparison; it is an AssertionError that pickles."""
    before, after = classifier(MANY, GOOD), classifier(MANY, BAD)

    with pytest.raises(AssertionError, match=r"has become worse by f1 \(tolerance 0.05\)") as caught:
        after.assert_no_regression(before, tolerance=0.05)

    error = caught.value
    assert isinstance(error, ModelRegressed)
    lost = error.comparison.difference()
    assert lost.change is not None
    assert lost.interval is not None
    assert lost.interval[0] <= lost.change <= lost.interval[1] < 0
    assert f"{lost.change:+.3f}" in str(error)
    assert str(error) == str(pickle.loads(pickle.dumps(error)))  # noqa: S301 - our own


def test_a_win_passes() -> None:
    """The same pair the other way round; McNemar sees it too."""
    before, after = classifier(MANY, BAD), classifier(MANY, GOOD)

    comparison = after.assert_no_regression(before)

    assert (comparison.difference().change or 0) > 0.1
    assert comparison.mcnemar.p_value < 0.001
    assert comparison.mcnemar.only_after > comparison.mcnemar.only_before
    assert {"cat", "dog"} == set(comparison.by_label)
    assert "All labels" in str(comparison)


def test_a_loss_that_chance_explains_passes_unless_strict() -> None:
    """Two images of twenty are no proof."""
    worse = [dict(scores) for scores in SCORES]
    worse[0], worse[19] = worse[19], worse[0]
    before, after = classifier(TRUTHS, SCORES), classifier(TRUTHS, worse)

    after.assert_no_regression(before)
    with pytest.raises(ModelRegressed):
        after.assert_no_regression(before, strict=True)


def test_other_test_images_are_refused() -> None:
    """The message says how much the sets share; shared ones alone are compared when told to."""
    whole, part = classifier(TRUTHS, SCORES), classifier(TRUTHS[:15], SCORES[:15])

    with pytest.raises(InvalidInput, match="20 and 15 images, of which 15 are the same"):
        part.compare(whole)
    assert (15, 5) == (
        part.compare(whole, only_shared=True).images,
        part.compare(whole, only_shared=True).left_out,
    )
    with pytest.raises(InvalidInput, match="share no test images"):
        classifier(TRUTHS, SCORES, "s3://other").compare(whole, only_shared=True)


def test_images_whose_labels_were_mended_do_not_count_as_shared() -> None:
    """Another truth is another test."""
    mended = [["dog"], *TRUTHS[1:]]

    with pytest.raises(InvalidInput, match="of which 19 are the same"):
        classifier(mended, SCORES).compare(classifier(TRUTHS, SCORES))


def test_detectors() -> None:
    """Counted over boxes; a label that is gone counts as lost."""
    comparison = detector().compare(detector(), n_resamples=50)

    assert comparison.difference("cap", "recall").before == detector().labels["cap"].recall
    with pytest.raises(KeyError):
        comparison.difference("hat")


def test_the_same_seed_gives_the_same_intervals() -> None:
    """Reproducible in a build."""
    before, after = classifier(TRUTHS, SCORES), classifier(TRUTHS, SCORES[::-1])

    assert after.compare(before, n_resamples=100) == after.compare(before, n_resamples=100)


@pytest.mark.parametrize(
    ("first", "second", "expected"), [(0, 0, 1.0), (5, 5, 1.0), (0, 5, 0.0625), (10, 2, 0.0385742188)]
)
def test_mcnemar(first: int, second: int, expected: float) -> None:
    """The exact test, as statisticians' tables have it."""
    assert expected == pytest.approx(McNemar(first, second).p_value)
