"""How good a model is: read from the service's files, or computed from what a model said about test images.

Pure: no AWS, no clock, no NumPy.
"""

from __future__ import annotations

from rekolabels.evaluation._boxes import evaluate_detection, overlap
from rekolabels.evaluation._metrics import Counts, ScoredLabel
from rekolabels.evaluation._result import ConfusionMatrix, EvaluationResult, LabelMetrics
from rekolabels.evaluation._snapshot import SnapshotImage, write_testing_snapshot, write_training_snapshot
from rekolabels.evaluation._testing import Evaluation, Verdict, VerdictKind, evaluate_classification

__all__ = [
    "ConfusionMatrix",
    "Counts",
    "Evaluation",
    "EvaluationResult",
    "LabelMetrics",
    "ScoredLabel",
    "SnapshotImage",
    "Verdict",
    "VerdictKind",
    "evaluate_classification",
    "evaluate_detection",
    "overlap",
    "write_testing_snapshot",
    "write_training_snapshot",
]
