"""Thresholds to ship: chosen on the test images, kept in a file, applied to what a model finds."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from rekolabels.errors import InvalidInput
from rekolabels.evaluation._metrics import Counts, ScoredLabel, wilson_interval

if TYPE_CHECKING:
    import os

    from rekolabels.descriptions import Detection
    from rekolabels.evaluation._result import EvaluationResult

__all__ = ["ChosenThreshold", "ThresholdPolicy"]

_VERSION = 1
_MIN_SUPPORT = 30
_Choice: TypeAlias = Callable[[ScoredLabel], "float | None"]

_log = logging.getLogger("rekolabels")


@attrs.frozen
class ChosenThreshold:
    """The threshold of one label, and what it rests on."""

    threshold: float | None
    """A detection counts from this confidence on, 0 to 1; None: the label is never reported."""
    precision: float | None = None
    """On the test images at this threshold, 0 to 1; None where it is undefined or not known."""
    recall: float | None = None
    """On the test images at this threshold, 0 to 1."""
    precision_interval: tuple[float, float] | None = None
    """Where the precision lies with 95 % confidence (Wilson's interval)."""
    recall_interval: tuple[float, float] | None = None
    """Where the recall lies with 95 % confidence."""
    support: int = 0
    """How often the label (for detectors: the object) is in the test images."""
    note: str = ""
    """What to be wary of; empty when there is nothing."""


@attrs.frozen
class ThresholdPolicy:
    """A threshold for each label, for ``detect(policy=...)``.

    The service's assumed thresholds have the best F1; a policy says what you need instead. Make one with
    :meth:`best_f1`, :meth:`precision_at_least`, :meth:`recall_at_least` or :meth:`least_cost`. A threshold
    that rests on few images is logged and has a ``note``.

    Examples:
        >>> policy = ThresholdPolicy({"puppy": ChosenThreshold(0.8)}, goal="by hand")
        >>> policy.thresholds
        {'puppy': 0.8}
        >>> ThresholdPolicy.from_json(policy.to_json()) == policy
        True
    """

    labels: Mapping[str, ChosenThreshold] = attrs.field(hash=False)
    """By label."""
    goal: str
    """What the thresholds were chosen for."""
    model_arn: str | None = None
    """The model version that they were chosen for; None where it is not known."""
    test_manifest_sha256: str | None = None
    """SHA-256 of the testing snapshot that they were chosen on."""

    # choosing

    @classmethod
    def best_f1(cls, result: EvaluationResult, *, min_support: int = _MIN_SUPPORT) -> ThresholdPolicy:
        """Choose the thresholds with the best F1, as the service does.

        Args:
            result: An evaluation with test images.
            min_support: Warn of labels that are in the test images less often.
        """
        return _choose(result, "best F1", ScoredLabel.best_threshold, min_support)

    @classmethod
    def precision_at_least(
        cls, result: EvaluationResult, precision: float, *, min_support: int = _MIN_SUPPORT
    ) -> ThresholdPolicy:
        """Find as much as possible while this share of what is reported is right.

        A label that cannot have this precision at any threshold is never reported.

        Args:
            result: An evaluation with test images.
            precision: 0 to 1.
            min_support: Warn of labels that are in the test images less often.
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
        """Report as little as possible while this share of what is there is found.

        Where no threshold finds so much, everything that the model says is reported.

        Args:
            result: An evaluation with test images.
            recall: 0 to 1.
            min_support: Warn of labels that are in the test images less often.
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
        """Choose the thresholds at which the mistakes on the test images cost least.

        Args:
            result: An evaluation with test images.
            false_alarm: What one wrong report costs, in any unit.
            miss: What one thing that was not found costs, in the same unit.
            min_support: Warn of labels that are in the test images less often.
        """
        for name, cost in (("false_alarm", false_alarm), ("miss", miss)):
            if not (math.isfinite(cost) and cost >= 0):
                raise InvalidInput(f"{name}={cost}: expected a cost of 0 or more")

        def choose(scored: ScoredLabel) -> float | None:
            best, chosen = miss * scored.support, None
            for confidence, counts in scored.curve():
                cost = false_alarm * counts.false_positives + miss * counts.false_negatives
                if cost < best:
                    best, chosen = cost, confidence
            return None if chosen is None else scored.threshold_for(chosen)

        return _choose(
            result, f"least cost: a false alarm {false_alarm:g}, a miss {miss:g}", choose, min_support
        )

    # using

    @property
    def thresholds(self) -> dict[str, float]:
        """The thresholds by label, 0 to 1; labels that are never reported are left out."""
        return {label: one.threshold for label, one in self.labels.items() if one.threshold is not None}

    @property
    def min_confidence(self) -> float:
        """The lowest threshold as a ``MinConfidence`` of DetectCustomLabels, 0 to 100."""
        # down to a thousandth, since the service reckons in single precision
        return math.floor(100_000 * min(self.thresholds.values(), default=1.0)) / 1000

    def apply(self, detections: Iterable[Detection]) -> list[Detection]:
        """Keep what reaches the threshold of its label; a label that the policy does not know is left out.

        Args:
            detections: What a model found, asked with ``min_confidence=policy.min_confidence`` or less.
        """
        thresholds = self.thresholds
        return [
            found
            for found in detections
            if found.label in thresholds and found.confidence >= 100 * thresholds[found.label]
        ]

    def check_model(self, arn: str) -> None:
        """See that the policy was made for a model.

        Raises:
            InvalidInput: It was made for another one.
        """
        if self.model_arn not in {None, arn}:
            raise InvalidInput(
                f"the policy was made for {self.model_arn}, not for {arn}: confidences of two models do "
                "not compare. For a copy of the same model, use attrs.evolve(policy, model_arn=...)."
            )

    # keeping

    def to_json(self) -> str:
        """The policy as JSON text."""
        content = {"version": _VERSION, **attrs.asdict(self)}
        return json.dumps(content, ensure_ascii=False, indent=2)

    @classmethod
    def from_json(cls, text: str | bytes) -> ThresholdPolicy:
        """Read what :meth:`to_json` has written.

        Raises:
            InvalidInput: It is no policy, or a threshold is not between 0 and 1.
        """
        try:
            content: Any = json.loads(text)
            if content["version"] != _VERSION:
                raise InvalidInput(
                    f"a policy of version {content['version']!r}; this rekolabels reads {_VERSION}"
                )
            labels = {label: _chosen(label, one) for label, one in content["labels"].items()}
            return cls(
                labels, str(content["goal"]), content.get("model_arn"), content.get("test_manifest_sha256")
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput(
                f"this is no threshold policy ({type(error).__name__}: {error}); expected the JSON that "
                "ThresholdPolicy.save() writes"
            ) from error

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the policy to a JSON file; an existing file is replaced."""
        target = Path(path)
        target.write_text(self.to_json() + "\n", encoding="utf-8")
        return target

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ThresholdPolicy:
        """Read a policy from a JSON file.

        Raises:
            InvalidInput: It holds no policy.
            OSError: It cannot be read.
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
            _log.warning("threshold of %r: %s", label, labels[label].note)
    return ThresholdPolicy(labels, goal, result.project_version_arn, digest.hexdigest())


def _describe(scored: ScoredLabel, threshold: float | None, min_support: int) -> ChosenThreshold:
    counts = scored.counts(threshold)
    known = threshold is None or threshold >= scored.complete_from
    right, wrong, missed = counts.true_positives, counts.false_positives, counts.false_negatives
    chosen = ChosenThreshold(
        threshold,
        counts.precision if known else None,
        counts.recall,
        wilson_interval(right, right + wrong) if known else None,
        wilson_interval(right, right + missed),
        scored.support,
    )
    return attrs.evolve(chosen, note=_note(chosen, min_support, counts, known=known))


def _note(chosen: ChosenThreshold, min_support: int, counts: Counts, *, known: bool) -> str:
    if not chosen.support:
        return "no test image has it, so nothing is known of its threshold"
    notes: list[str] = []
    if chosen.threshold is None:
        notes.append("no threshold reaches the goal, it is never reported")
    if not known:
        notes.append("its precision is not known: the snapshot lists no wrong boxes of so low a confidence")
    if chosen.support < min_support:
        note = f"it rests on {chosen.support} in the test images"
        for name, interval, share in (
            ("precision", chosen.precision_interval, counts.precision),
            ("recall", chosen.recall_interval, counts.recall),
        ):
            if interval is not None and share is not None:
                note += f", {name} {share:.2f} may be {interval[0]:.2f} to {interval[1]:.2f}"
        notes.append(note)
    return "; ".join(notes)


def _chosen(label: str, fields: Mapping[str, Any]) -> ChosenThreshold:
    threshold = fields["threshold"]
    if threshold is not None and not (
        isinstance(threshold, (int, float)) and not isinstance(threshold, bool) and 0 <= threshold <= 1
    ):
        raise InvalidInput(f"the threshold of {label!r} is {threshold!r}; expected 0 to 1, or null for never")
    known = {field.name for field in attrs.fields(ChosenThreshold)}
    values = {name: _tuple(value) for name, value in fields.items() if name in known}
    return ChosenThreshold(**values)


def _tuple(value: object) -> Any:
    return tuple(value) if isinstance(value, list) else value  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - JSON


def _check_share(name: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise InvalidInput(f"{name}={share}: expected 0 to 1")
