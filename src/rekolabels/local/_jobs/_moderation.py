"""Content moderation on this machine: a base model that knows no label, and adapters that know the user's.

AWS's base model knows a taxonomy of its own; nothing of it is here. ``BASE_MODEL`` names the base model of
the embedded service, and it finds nothing in any image. An adapter is a classifier that is really trained on
the labels of the user's manifest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from rekolabels.local._engine import check_image
from rekolabels.local._jobs._manifests import message_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rekolabels.local._core._inference import Models
    from rekolabels.local._engine import Prediction
from rekolabels.manifest._json import is_list, is_object

__all__ = [
    "BASE_MODEL",
    "SAFE",
    "AdapterLine",
    "answers",
    "confidences",
    "described",
    "evaluate_adapter",
    "moderate",
    "read_line",
]

BASE_MODEL = "local-without-moderation-labels"
"""The version of the base model; its name says what it knows."""
SAFE = ""
"""Stands for "no label" while an adapter is trained: a name that no manifest can hold."""

_GROUND_TRUTH = "content-moderation-groundtruth"
_URI = re.compile(r"[sS]3://[^/]+/.+", re.DOTALL)
_STEPS = range(5, 101, 5)
_COUNTS: tuple[str, ...] = ("TruePositive", "TrueNegative", "FalsePositive", "FalseNegative")
_LOWEST = 5.0
"""Confidence, in percent, down to which an output manifest tells predictions."""


@attrs.frozen
class AdapterLine:
    """A line of an adapter's manifest."""

    members: Mapping[str, Any]
    source: str = ""
    labels: frozenset[str] = frozenset()
    code: str | None = None
    """What is wrong with it."""
    detail: str = ""

    def failed(self, code: str, detail: str = "") -> AdapterLine:
        """The line with something wrong."""
        return attrs.evolve(self, code=code, detail=detail)

    @property
    def annotated(self) -> str:
        """The line as the validation manifest holds it."""
        if self.code is None:
            return _text(self.members)
        message = f"{message_of(self.code)} {self.detail}".strip().replace("{}", _GROUND_TRUTH)
        return _text({**self.members, "errors": [{"code": self.code, "message": message}]})

    def with_answers(self, answers: Mapping[str, Any]) -> str:
        """The line as an output manifest holds it."""
        kept = {name: self.members[name] for name in ("source-ref", _GROUND_TRUTH)}
        return _text({**kept, **answers})


def read_line(raw: bytes) -> AdapterLine:
    """One line, checked.

    >>> line = b'{"source-ref":"s3://b/a.jpg","content-moderation-groundtruth":{"ModerationLabels":[]}}'
    >>> read_line(line).labels, read_line(b"{}").code
    (frozenset(), 'ERROR_MISSING_SOURCE_REF')
    """
    try:
        members: object = json.loads(raw.decode())
    except (ValueError, RecursionError):
        members = None
    if not is_object(members):
        return AdapterLine({}, code="ERROR_INVALID_JSON_LINE")
    members.pop("errors", None)
    line = AdapterLine(members)
    source = members.get("source-ref")
    if source is None:
        return line.failed("ERROR_MISSING_SOURCE_REF")
    if not isinstance(source, str) or not _URI.fullmatch(source):
        return line.failed("ERROR_INVALID_SOURCE_REF_FORMAT")
    if _GROUND_TRUTH not in members:
        return line.failed("ERROR_NO_LABEL_ATTRIBUTES")
    labels = _names(members[_GROUND_TRUTH])
    if labels is None:
        return line.failed("ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT")
    return attrs.evolve(line, source=source, labels=labels)


def _names(truth: object) -> frozenset[str] | None:
    """The names in ``ModerationLabels``; None when they are not in their form."""
    labels: object = truth.get("ModerationLabels") if is_object(truth) else None
    if not is_list(labels):
        return None
    names: list[Any] = [one.get("Name") if is_object(one) else None for one in labels]
    return frozenset(names) if all(isinstance(name, str) and name for name in names) else None


def moderate(models: Models, number: int | None, data: bytes, least: float) -> list[dict[str, Any]]:
    """The labels of an image.

    Args:
        models: The models in memory.
        number: Of the adapter's version; None for the base model.
        data: The encoded image.
        least: Confidence in percent.

    Raises:
        UnusableImage: It is no image that can be looked at.
    """
    if number is None:
        check_image(data)
        return []
    return described(confidences(models.load(number).model.predict(data)), least)


def confidences(found: Iterable[Prediction]) -> dict[str, float]:
    """What an adapter says about an image: label to confidence in percent, the most confident first."""
    sure = [one for one in found if one.label != SAFE]
    return {one.label: min(one.confidence * 100, 100.0) for one in sure}


def described(found: Mapping[str, float], least: float) -> list[dict[str, Any]]:
    """The ``ModerationLabels`` of an answer; labels of one's own have no parents."""
    return [
        {"Confidence": confidence, "Name": name, "ParentName": ""}
        for name, confidence in found.items()
        if confidence >= least
    ]


def answers(found: Mapping[str, float], version: str) -> dict[str, Any]:
    """What adapter and base model say about a test image, as its line in the output manifest holds it."""
    shared = {"ModerationModelVersion": BASE_MODEL}
    return {
        "detect-moderation-labels": {
            "ModerationLabels": described(found, _LOWEST),
            **shared,
            "ProjectVersion": version,
        },
        "detect-moderation-labels-base-model": {"ModerationLabels": [], **shared},
    }


def evaluate_adapter(
    truths: Sequence[frozenset[str]], found: Sequence[Mapping[str, float]], threshold: float
) -> tuple[dict[str, Any], float]:
    """The evaluation of an adapter beside the base model.

    Args:
        truths: The labels of each test image.
        found: What the adapter says about it, in percent.
        threshold: The confidence that the user will apply, in percent.

    Returns:
        The members of the summary file that are its own, and the F1 score at the threshold over all labels.
    """
    labels = sorted({*(name for truth in truths for name in truth), *(name for one in found for name in one)})

    def at(least: float) -> dict[str, Any]:
        said = [frozenset(name for name, value in one.items() if value >= least) for one in found]
        nothing = [frozenset[str]() for _ in truths]
        adapter = {label: _count(truths, said, label) for label in labels}
        base = {label: _count(truths, nothing, label) for label in labels}
        return {
            "ConfidenceThreshold": float(least),
            "AggregatedEvaluationResults": {"BaseModel": _sum(base), "Adapter": _sum(adapter)},
            "LabelEvaluationResults": [
                {"Label": label, "BaseModel": base[label], "Adapter": adapter[label]} for label in labels
            ],
        }

    own = at(threshold)
    counts = own["AggregatedEvaluationResults"]["Adapter"]
    wrong = counts["FalsePositive"] + counts["FalseNegative"]
    right = 2 * counts["TruePositive"]
    score = right / (right + wrong) if right + wrong else 0.0
    evaluation = {
        "AggregatedEvaluationResults": {"F1Score": score},
        "ContentModeration": {
            "InputConfidenceThresholdEvalResults": own,
            "AllConfidenceThresholdsEvalResults": [at(least) for least in _STEPS],
        },
    }
    return evaluation, score


def _count(truths: Sequence[frozenset[str]], said: Sequence[frozenset[str]], label: str) -> dict[str, int]:
    counts = dict.fromkeys(_COUNTS, 0)
    for truth, answer in zip(truths, said, strict=True):
        right = (label in truth) == (label in answer)
        kind = "Positive" if label in answer else "Negative"
        counts[f"{'True' if right else 'False'}{kind}"] += 1
    return counts


def _sum(counts: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    return {name: sum(one[name] for one in counts.values()) for name in _COUNTS}


def _text(members: Mapping[str, Any]) -> str:
    return json.dumps(members, ensure_ascii=False, separators=(",", ":"))
