"""Evaluation: read the service's result files, or evaluate predictions on test images.

Pure Python: no AWS, no clock, no NumPy.
"""

from __future__ import annotations

from rekolabels.evaluation._adapter import AdapterCounts, AdapterEvaluation, AdapterThreshold
from rekolabels.evaluation._box_metrics import COCO_IOU_THRESHOLDS, BoxMetrics, iou, score_boxes
from rekolabels.evaluation._compare import Comparison, Difference, McNemar
from rekolabels.evaluation._confusion import ConfusionCounts
from rekolabels.evaluation._evaluate import Evaluation, evaluate_classification, evaluate_detection
from rekolabels.evaluation._images import EvaluatedImage, Mistake, MistakeKind, read_training_snapshot
from rekolabels.evaluation._label_issues import LabelIssue, find_label_issues
from rekolabels.evaluation._metrics import (
    Calibration,
    CalibrationBin,
    Counts,
    ScoredLabel,
    score_classification,
)
from rekolabels.evaluation._policy import ChosenThreshold, ThresholdPolicy
from rekolabels.evaluation._recompute import Discrepancy
from rekolabels.evaluation._result import EvaluationResult
from rekolabels.evaluation._snapshot import SnapshotImage, write_testing_snapshot, write_training_snapshot
from rekolabels.evaluation._validation import ValidationIssue, ValidationLine, read_validation
from rekolabels.evaluation._values import ConfusionMatrix, LabelMetrics, Verdict, VerdictKind

__all__ = [
    "COCO_IOU_THRESHOLDS",
    "AdapterCounts",
    "AdapterEvaluation",
    "AdapterThreshold",
    "BoxMetrics",
    "Calibration",
    "CalibrationBin",
    "ChosenThreshold",
    "Comparison",
    "ConfusionCounts",
    "ConfusionMatrix",
    "Counts",
    "Difference",
    "Discrepancy",
    "EvaluatedImage",
    "Evaluation",
    "EvaluationResult",
    "LabelIssue",
    "LabelMetrics",
    "McNemar",
    "Mistake",
    "MistakeKind",
    "ScoredLabel",
    "SnapshotImage",
    "ThresholdPolicy",
    "ValidationIssue",
    "ValidationLine",
    "Verdict",
    "VerdictKind",
    "evaluate_classification",
    "evaluate_detection",
    "find_label_issues",
    "iou",
    "read_training_snapshot",
    "read_validation",
    "score_boxes",
    "score_classification",
    "write_testing_snapshot",
    "write_training_snapshot",
]
