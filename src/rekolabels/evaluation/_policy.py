"""Threshold policies: chosen on the test images, saved to a file, applied to detections."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import attrs

from rekolabels._arguments import (
    check_file,
    check_fraction,
    check_instance,
    check_integer,
    check_items,
    check_number,
    check_path,
    invalid,
)
from rekolabels._display import counted
from rekolabels._files import replacing
from rekolabels.descriptions import Detection
from rekolabels.errors import GoalNotReached, InvalidInput
from rekolabels.evaluation._checks import check_label
from rekolabels.evaluation._jsonl import to_utf8
from rekolabels.evaluation._metrics import Counts, ScoredLabel, wilson_interval
from rekolabels.manifest._json import short_repr

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from rekolabels.evaluation._result import EvaluationResult

__all__ = ["ChosenThreshold", "ThresholdPolicy"]

_VERSION = 1
"""Version of the file format."""
_MIN_SUPPORT = 30
_MAX_LISTED = 5
"""Maximum number of labels that an error lists."""
_Choice: TypeAlias = Callable[[ScoredLabel, "float | None"], "float | None"]
"""Returns the threshold for a label, given its confidences and its assumed threshold; None for none."""
_Best: TypeAlias = Callable[[ScoredLabel], "float | None"]
"""Returns the best value of the goal's metric that a label reaches; None if it is unknown."""

_log = logging.getLogger("rekolabels")


def _check_threshold(_chosen: object, _field: object, threshold: Any) -> None:
    if threshold is not None:
        check_fraction("threshold", threshold)


def _check_goal(_policy: object, _field: object, goal: Any) -> None:
    check_instance("goal", goal, str, "text, such as 'by hand'")


def _check_model_arn(_policy: object, _field: object, arn: Any) -> None:
    if arn is not None:
        check_instance("model_arn", arn, str, "the ARN of a model version, or None", "Use model.arn.")


def _check_labels(_policy: object, _field: object, labels: Any) -> None:
    if not isinstance(labels, Mapping):
        raise invalid("labels", labels, "a dict of ChosenThreshold by label")
    for label, chosen in cast("Mapping[object, object]", labels).items():
        check_instance("A label", label, str, "the name of a label, as text")
        if not isinstance(chosen, ChosenThreshold):
            fix = f"Use ChosenThreshold({chosen!r})." if isinstance(chosen, (int, float)) else ""
            raise invalid(f"labels[{label!r}]", chosen, "a ChosenThreshold", fix)


@attrs.frozen
class ChosenThreshold:
    """Threshold of one label, with its metrics on the test images."""

    threshold: float | None = attrs.field(validator=_check_threshold)
    """Confidence from which a detection counts, 0 to 1; None if the label is never reported."""
    precision: float | None = None
    """Precision on the test images at this threshold, 0 to 1; None if it is undefined or unknown."""
    recall: float | None = None
    """Recall on the test images at this threshold, 0 to 1; None if it is undefined."""
    precision_interval: tuple[float, float] | None = None
    """95 % confidence interval of the precision (Wilson's), each end 0 to 1."""
    recall_interval: tuple[float, float] | None = None
    """95 % confidence interval of the recall (Wilson's), each end 0 to 1."""
    support: int = 0
    """Number of test images with the label; for detectors, number of objects."""
    note: str = ""
    """Reason to distrust the threshold; empty if there is none."""


@attrs.frozen
class ThresholdPolicy:
    """A threshold for each label, for ``detect(policy=...)``.

    The service chooses its assumed thresholds for the best F1; a policy states what you need instead. Create
    one with :meth:`best_f1`, :meth:`precision_at_least`, :meth:`recall_at_least` or :meth:`least_cost`. A
    threshold that is based on few test images has a ``note``, which is also logged as a warning.

    Examples:
        >>> policy = ThresholdPolicy({"puppy": ChosenThreshold(0.8)}, goal="by hand")
        >>> policy.thresholds
        {'puppy': 0.8}
        >>> ThresholdPolicy.from_json(policy.to_json()) == policy
        True
    """

    labels: Mapping[str, ChosenThreshold] = attrs.field(
        hash=False, repr=counted("labels"), validator=_check_labels
    )
    """Thresholds by label."""
    goal: str = attrs.field(validator=_check_goal)
    """Goal for which the thresholds were chosen."""
    model_arn: str | None = attrs.field(default=None, validator=_check_model_arn)
    """ARN of the model version for which they were chosen; None if it is unknown."""
    test_manifest_sha256: str | None = attrs.field(default=None, repr=False)
    """SHA-256 of the testing snapshot on which they were chosen."""

    @classmethod
    def best_f1(cls, result: EvaluationResult, *, min_support: int = _MIN_SUPPORT) -> ThresholdPolicy:
        """Choose the thresholds with the best F1, as the service does.

        Args:
            result: An evaluation with test images.
            min_support: Warn about labels with fewer test images (for detectors: objects).
        """

        def choose(scored: ScoredLabel, assumed: float | None) -> float | None:
            return scored.best_threshold() if scored.support else assumed

        return _choose(result, "best F1", choose, min_support)

    @classmethod
    def precision_at_least(
        cls,
        result: EvaluationResult,
        precision: float,
        *,
        never_report: Iterable[str] = (),
        min_support: int = _MIN_SUPPORT,
    ) -> ThresholdPolicy:
        """Choose the thresholds with the best recall among those that reach this precision.

        Each label reaches the precision on the test images of the result. A label without test images keeps
        its assumed threshold if it has no false positives there, and is never reported otherwise.

        Args:
            result: An evaluation with test images.
            precision: Share of the reported detections that must be correct, 0 to 1.
            never_report: Labels to leave out, such as those that cannot reach the precision.
            min_support: Warn about labels with fewer test images (for detectors: objects).

        Raises:
            GoalNotReached: A label reaches the precision at no threshold at which it is known. The snapshot
                lists false positives only from the assumed threshold of each label.
        """
        check_fraction("precision", precision)

        def choose(scored: ScoredLabel, assumed: float | None) -> float | None:
            if not scored.support:
                return _without_false_alarms(scored, assumed)
            found, lowest = -1, None
            for confidence, counts in scored.curve():
                if counts.true_positives > found and (counts.precision or 0.0) >= precision:
                    found, lowest = counts.true_positives, confidence
            return None if lowest is None else scored.threshold_for(lowest)

        return _choose(
            result,
            f"precision of at least {precision:g}",
            choose,
            min_support,
            limit=_Limit("precision", precision, _best_precision),
            never_report=never_report,
        )

    @classmethod
    def recall_at_least(
        cls,
        result: EvaluationResult,
        recall: float,
        *,
        never_report: Iterable[str] = (),
        min_support: int = _MIN_SUPPORT,
    ) -> ThresholdPolicy:
        """Choose the highest thresholds that reach this recall.

        Each label reaches the recall on the test images of the result. A label without test images keeps its
        assumed threshold. Below the assumed threshold of a detector, the precision is unknown, which the
        ``note`` of the label says.

        Args:
            result: An evaluation with test images.
            recall: Share of the occurrences that must be found, 0 to 1.
            never_report: Labels to leave out, such as those that cannot reach the recall.
            min_support: Warn about labels with fewer test images (for detectors: objects).

        Raises:
            GoalNotReached: A label reaches the recall at no threshold: no predicted box of any confidence
                matches enough of its objects.
        """
        check_fraction("recall", recall)

        def choose(scored: ScoredLabel, assumed: float | None) -> float | None:
            if not scored.support:
                return assumed
            confidence = scored.confidence_for_recall(recall)
            return None if confidence is None else scored.threshold_for(confidence)

        return _choose(
            result,
            f"recall of at least {recall:g}",
            choose,
            min_support,
            limit=_Limit("recall", recall, ScoredLabel.recall_at_any_confidence),
            never_report=never_report,
        )

    @classmethod
    def least_cost(
        cls, result: EvaluationResult, *, false_alarm: float, miss: float, min_support: int = _MIN_SUPPORT
    ) -> ThresholdPolicy:
        """Choose the thresholds at which the mistakes on the test images cost the least.

        A label is never reported if all of its thresholds cost more than missing it. Of a detector, only
        thresholds from the assumed one on are considered, because its snapshot does not list the false
        positives below. A label without test images keeps its assumed threshold if it has no false positives
        there, and is never reported otherwise.

        Args:
            result: An evaluation with test images.
            false_alarm: Cost of a false positive, in any unit.
            miss: Cost of a false negative, in the same unit.
            min_support: Warn about labels with fewer test images (for detectors: objects).
        """
        for name, cost in (("false_alarm", false_alarm), ("miss", miss)):
            if math.isinf(check_number(name, cost, at_least=0)):
                raise invalid(name, cost, "a finite number, 0 or more")

        def choose(scored: ScoredLabel, assumed: float | None) -> float | None:
            if not scored.support:
                return _without_false_alarms(scored, assumed)
            best, chosen = miss * scored.support, None
            for confidence, counts in scored.curve():
                cost = false_alarm * counts.false_positives + miss * counts.false_negatives
                if cost < best:
                    best, chosen = cost, confidence
            return None if chosen is None else scored.threshold_for(chosen)

        return _choose(
            result, f"least cost (false alarm: {false_alarm:g}, miss: {miss:g})", choose, min_support
        )

    @property
    def thresholds(self) -> dict[str, float]:
        """Threshold by label, 0 to 1, without the labels that are never reported."""
        return {
            label: chosen.threshold for label, chosen in self.labels.items() if chosen.threshold is not None
        }

    @property
    def min_confidence(self) -> float:
        """Lowest threshold as ``MinConfidence`` for DetectCustomLabels, in percent, 0 to 100."""
        # rounded down to a thousandth, since the service computes in single precision
        return math.floor(100_000 * min(self.thresholds.values(), default=1.0)) / 1000

    def apply(self, detections: Iterable[Detection]) -> list[Detection]:
        """Return the detections that reach the threshold of their label.

        Detections of labels that are not in the policy are dropped.

        Args:
            detections: Detections made with ``min_confidence=policy.min_confidence`` or less.
        """
        thresholds = self.thresholds
        return [
            detection
            for detection in check_items("detections", detections, Detection, "a list of Detection values")
            if detection.label in thresholds and detection.confidence >= 100 * thresholds[detection.label]
        ]

    def check_model(self, arn: str) -> None:
        """Check that the policy was made for the model version with this ARN.

        Raises:
            InvalidInput: The policy was made for another model version.
        """
        if self.model_arn is not None and self.model_arn != arn:
            raise InvalidInput(
                f"The threshold policy was made for {self.model_arn}, not for {arn}. Confidences of "
                "different models are not comparable. For a copy of the same model, use "
                "`attrs.evolve(policy, model_arn=...)`."
            )

    def to_json(self) -> str:
        """Return the policy as JSON."""
        content = {"version": _VERSION, **attrs.asdict(self)}
        return to_utf8(json.dumps(content, ensure_ascii=False, indent=2)).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> ThresholdPolicy:
        """Read the JSON that :meth:`to_json` returns.

        Raises:
            InvalidInput: The text is not a policy, or a threshold is not between 0 and 1.
        """
        try:
            content: Any = json.loads(text)
            if content["version"] != _VERSION:
                raise InvalidInput(
                    f"Cannot read the threshold policy: it has version {short_repr(content['version'])}, and "
                    f"this release of rekolabels reads version {_VERSION}."
                )
            labels = {label: _chosen(label, fields) for label, fields in content["labels"].items()}
            return cls(
                labels,
                _field(content, "goal", str),
                _field(content, "model_arn", str, None),
                _field(content, "test_manifest_sha256", str, None),
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput(
                "Cannot read the threshold policy: expected the JSON that ThresholdPolicy.save() writes "
                f"({type(error).__name__}: {error})."
            ) from error

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the policy to a JSON file and return its path; an existing file is replaced."""
        target = check_path("path", path)
        with replacing(target) as file:
            file.write(f"{self.to_json()}\n".encode())
        return target

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ThresholdPolicy:
        """Read a policy from a JSON file.

        Raises:
            InvalidInput: The file does not exist, or is not a policy.
            OSError: The file cannot be read.
        """
        return cls.from_json(check_file("path", path).read_bytes())


@attrs.frozen
class _Limit:
    """A value that every label has to reach."""

    metric: str
    value: float
    best: _Best


def _without_false_alarms(scored: ScoredLabel, assumed: float | None) -> float | None:
    """Return the assumed threshold of a label without test images; None if it has false positives there."""
    return None if scored.counts(assumed).false_positives else assumed


def _best_precision(scored: ScoredLabel) -> float | None:
    known = [counts.precision for _, counts in scored.curve() if counts.precision is not None]
    return max(known, default=None)


def _choose(
    result: EvaluationResult,
    goal: str,
    choose: _Choice,
    min_support: int,
    *,
    limit: _Limit | None = None,
    never_report: Iterable[str] = (),
) -> ThresholdPolicy:
    _check_result(result)
    check_integer("min_support", min_support, at_least=0)
    if isinstance(never_report, Mapping):  # such as error.reachable
        never_report = list(cast("Mapping[str, object]", never_report))
    left_out = check_items("never_report", never_report, str, "a list of labels")
    scores, assumed = result.scores(), result.assumed_thresholds
    known = sorted({*scores, *result.labels})
    for label in left_out:
        check_label("A label in never_report", label, known)
    labels: dict[str, ChosenThreshold] = {}
    unreached: dict[str, float | None] = {}
    incomplete = False
    for label in known:
        scored = scores.get(label, ScoredLabel([], []))
        if label in left_out:
            labels[label] = attrs.evolve(_describe(scored, None, 0), note="")
            continue
        threshold = choose(scored, assumed.get(label))
        if threshold is None and limit is not None and scored.support:
            reachable = limit.best(scored)
            if reachable is None or reachable < limit.value:
                unreached[label] = reachable
                incomplete |= scored.complete_from > 0
        labels[label] = _describe(scored, threshold, min_support)
    if limit is not None and unreached:
        raise _not_reached(limit, goal, unreached, len(known), incomplete=incomplete)
    for label, chosen in labels.items():
        if chosen.note:
            _log.warning("Threshold of %r: %s.", label, chosen.note)
    return ThresholdPolicy(labels, goal, result.project_version_arn, _digest(result))


def _check_result(result: object) -> None:
    if not hasattr(result, "assumed_thresholds"):
        raise invalid("result", result, "an EvaluationResult with test images")


def _digest(result: EvaluationResult) -> str:
    digest = hashlib.sha256()
    for line in result.snapshot() if result.snapshot is not None else ():
        digest.update((line.encode() if isinstance(line, str) else line).strip() + b"\n")
    return digest.hexdigest()


def _not_reached(
    limit: _Limit, goal: str, unreached: Mapping[str, float | None], total: int, *, incomplete: bool
) -> GoalNotReached:
    """Return the error that lists the labels, the worst first, and what they can reach."""
    worst = sorted(unreached.items(), key=lambda item: (item[1] is not None, item[1] or 0.0, item[0]))
    listed = ", ".join(
        f"{label!r} ({'unknown' if best is None else f'at most {_rounded_down(best)}'})"
        for label, best in worst[:_MAX_LISTED]
    )
    more = f" and {len(worst) - _MAX_LISTED} more" if len(worst) > _MAX_LISTED else ""
    lowest = worst[0][1]
    reason = ""
    if incomplete and limit.metric == "precision":
        reason = (
            " The snapshot lists false positives only from the assumed thresholds; lower ones are unknown."
        )
    use = f"Use {limit.metric}={_rounded_down(lowest)}, or leave" if lowest else "Leave"
    names = "error.reachable" if more else str([label for label, _ in worst])
    return GoalNotReached(
        f"Cannot reach a {goal} for {len(worst)} of {total} labels: {listed}{more}.{reason} {use} out these "
        f"labels: `never_report={names}`.",
        reachable=dict(worst),
    )


def _rounded_down(share: float) -> str:
    """Format a share so that the printed value is within reach."""
    return f"{math.floor(1000 * share) / 1000:g}"


def _describe(scored: ScoredLabel, threshold: float | None, min_support: int) -> ChosenThreshold:
    counts = scored.counts(threshold)
    known = threshold is None or threshold >= scored.complete_from
    true, false, missed = counts.true_positives, counts.false_positives, counts.false_negatives
    chosen = ChosenThreshold(
        threshold,
        counts.precision if known else None,
        counts.recall,
        wilson_interval(true, true + false) if known else None,
        wilson_interval(true, true + missed),
        scored.support,
    )
    return attrs.evolve(chosen, note=_note(chosen, min_support, counts, known=known))


def _note(chosen: ChosenThreshold, min_support: int, counts: Counts, *, known: bool) -> str:
    if not chosen.support:
        outcome = "it is never reported" if chosen.threshold is None else "its threshold could not be checked"
        return f"no test image has this label, so {outcome}"
    notes: list[str] = []
    if chosen.threshold is None:
        notes.append("no threshold reaches the goal, so the label is never reported")
    if not known:
        notes.append("precision unknown: the snapshot lists no false positives below the assumed threshold")
    if chosen.support < min_support:
        examples = "example" if chosen.support == 1 else "examples"
        note = f"only {chosen.support} test {examples}"
        for name, interval, share in (
            ("precision", chosen.precision_interval, counts.precision),
            ("recall", chosen.recall_interval, counts.recall),
        ):
            if interval is not None and share is not None:
                note += f", {name} {share:.2f} (95 % interval {interval[0]:.2f} to {interval[1]:.2f})"
        notes.append(note)
    return "; ".join(notes)


def _chosen(label: str, fields: Mapping[str, Any]) -> ChosenThreshold:
    threshold = fields["threshold"]
    if threshold is not None and not _is_share(threshold):
        raise InvalidInput(
            f"Cannot read the threshold policy: the threshold of {short_repr(label)} is "
            f"{short_repr(threshold)}. Expected 0 to 1, or null for a label that is never reported."
        )
    return ChosenThreshold(
        threshold,
        _share(fields, "precision"),
        _share(fields, "recall"),
        _interval(fields, "precision_interval"),
        _interval(fields, "recall_interval"),
        _field(fields, "support", int, 0),
        _field(fields, "note", str, ""),
    )


def _field(fields: Mapping[str, Any], name: str, kind: type, *default: Any) -> Any:
    """Return a field of this type; its default, if it has one, when it is missing or null."""
    value = fields.get(name)
    if value is None and default:
        return default[0]
    if type(value) is kind:
        return value
    raise TypeError(f"{name!r} is {short_repr(value)}")


def _share(fields: Mapping[str, Any], name: str) -> float | None:
    value = fields.get(name)
    if value is None or _is_share(value):
        return value
    raise TypeError(f"{name!r} is {short_repr(value)}")


def _interval(fields: Mapping[str, Any], name: str) -> tuple[float, float] | None:
    value = fields.get(name)
    if value is None:
        return None
    low, high = value
    if _is_share(low) and _is_share(high):
        return (low, high)
    raise TypeError(f"{name!r} is not an interval between 0 and 1")


def _is_share(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1
