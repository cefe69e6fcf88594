"""Threshold policies: chosen on the test images, saved to a file, applied to detections."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from rekolabels._display import counted
from rekolabels._files import replacing
from rekolabels.errors import InvalidInput
from rekolabels.evaluation._jsonl import to_utf8
from rekolabels.evaluation._metrics import Counts, ScoredLabel, wilson_interval
from rekolabels.manifest._json import short_repr

if TYPE_CHECKING:
    import os

    from rekolabels.descriptions import Detection
    from rekolabels.evaluation._result import EvaluationResult

__all__ = ["ChosenThreshold", "ThresholdPolicy"]

_VERSION = 1
"""Version of the file format."""
_MIN_SUPPORT = 30
_Choice: TypeAlias = Callable[[ScoredLabel], "float | None"]

_log = logging.getLogger("rekolabels")


@attrs.frozen
class ChosenThreshold:
    """Threshold of one label, with its metrics on the test images."""

    threshold: float | None
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

    labels: Mapping[str, ChosenThreshold] = attrs.field(hash=False, repr=counted("labels"))
    """Thresholds by label."""
    goal: str
    """Goal for which the thresholds were chosen."""
    model_arn: str | None = None
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
        return _choose(result, "best F1", ScoredLabel.best_threshold, min_support)

    @classmethod
    def precision_at_least(
        cls, result: EvaluationResult, precision: float, *, min_support: int = _MIN_SUPPORT
    ) -> ThresholdPolicy:
        """Choose the thresholds with the best recall among those that reach this precision.

        A label that reaches the precision at no threshold is never reported.

        Args:
            result: An evaluation with test images.
            precision: Share of the reported detections that must be correct, 0 to 1.
            min_support: Warn about labels with fewer test images (for detectors: objects).
        """
        _check_share("precision", precision)

        def choose(scored: ScoredLabel) -> float | None:
            good = [at for at, counts in scored.curve() if (counts.precision or 0.0) >= precision]
            return scored.threshold_for(good[-1]) if good else None

        return _choose(result, f"precision of at least {precision:g}", choose, min_support)

    @classmethod
    def recall_at_least(
        cls, result: EvaluationResult, recall: float, *, min_support: int = _MIN_SUPPORT
    ) -> ThresholdPolicy:
        """Choose the highest thresholds that reach this recall.

        If no threshold of a label reaches the recall, every detection of the label is reported.

        Args:
            result: An evaluation with test images.
            recall: Share of the occurrences that must be found, 0 to 1.
            min_support: Warn about labels with fewer test images (for detectors: objects).
        """
        _check_share("recall", recall)

        def choose(scored: ScoredLabel) -> float | None:
            if not scored.support:
                return None
            confidence = scored.confidence_for_recall(recall)
            return 0.0 if confidence is None else scored.threshold_for(confidence)

        return _choose(result, f"recall of at least {recall:g}", choose, min_support)

    @classmethod
    def least_cost(
        cls, result: EvaluationResult, *, false_alarm: float, miss: float, min_support: int = _MIN_SUPPORT
    ) -> ThresholdPolicy:
        """Choose the thresholds at which the mistakes on the test images cost the least.

        Args:
            result: An evaluation with test images.
            false_alarm: Cost of a false positive, in any unit.
            miss: Cost of a false negative, in the same unit.
            min_support: Warn about labels with fewer test images (for detectors: objects).
        """
        for name, cost in (("false_alarm", false_alarm), ("miss", miss)):
            if not (math.isfinite(cost) and cost >= 0):
                raise InvalidInput(f"{name}={cost} is not a valid cost. Pass a finite number of at least 0.")

        def choose(scored: ScoredLabel) -> float | None:
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
            for detection in detections
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
        target = Path(path)
        with replacing(target) as file:
            file.write(f"{self.to_json()}\n".encode())
        return target

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ThresholdPolicy:
        """Read a policy from a JSON file.

        Raises:
            InvalidInput: The file is not a policy.
            OSError: The file cannot be read.
        """
        return cls.from_json(Path(path).read_bytes())


def _choose(result: EvaluationResult, goal: str, choose: _Choice, min_support: int) -> ThresholdPolicy:
    digest = hashlib.sha256()
    for line in result.snapshot() if result.snapshot is not None else ():
        digest.update((line.encode() if isinstance(line, str) else line).strip() + b"\n")
    scores = result.scores()
    labels: dict[str, ChosenThreshold] = {}
    for label in sorted({*scores, *result.labels}):
        scored = scores.get(label, ScoredLabel([], []))
        threshold = choose(scored)
        if not scored.support and threshold is None and label in result.labels:
            threshold = result.labels[label].threshold
        labels[label] = _describe(scored, threshold, min_support)
        if labels[label].note:
            _log.warning("Threshold of %r: %s.", label, labels[label].note)
    return ThresholdPolicy(labels, goal, result.project_version_arn, digest.hexdigest())


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
        return "no test image has this label, so its threshold could not be checked"
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


def _check_share(name: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise InvalidInput(f"{name}={share} is out of range. Pass a share from 0 to 1, such as {name}=0.9.")
