"""Evaluation of a model version: its metrics, its test images and what can be derived from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import attrs

from rekolabels._arguments import (
    check_callable,
    check_choice,
    check_flag,
    check_fraction,
    check_instance,
    check_path,
)
from rekolabels.errors import InvalidInput
from rekolabels.evaluation._adapter import AdapterEvaluation, read_adapter
from rekolabels.evaluation._box_metrics import (
    COCO_IOU_THRESHOLDS,
    BoxMetrics,
    check_iou_thresholds,
    score_boxes,
)
from rekolabels.evaluation._compare import METRICS, Comparison, check_no_regression, compare_images
from rekolabels.evaluation._confusion import ConfusionCounts, count_confusion
from rekolabels.evaluation._images import EvaluatedImage, Mistake, find_mistakes, read_images
from rekolabels.evaluation._jsonl import Lines, LineSource, as_lines
from rekolabels.evaluation._label_issues import MIN_ISSUE_SCORE, LabelIssue, find_label_issues
from rekolabels.evaluation._recompute import Discrepancy, compare_with_summary, recompute, tally
from rekolabels.evaluation._report._table import format_table
from rekolabels.evaluation._values import ResultFields

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from pathlib import Path

    from rekolabels.evaluation._metrics import ScoredLabel

__all__ = ["EvaluationResult"]

_NOT_PICKLED = ("snapshot", "read_image")


def _check_reader(read_image: object) -> None:
    if read_image is not None:
        check_callable("read_image", read_image, "a function that returns the bytes of an image for its URI")


@attrs.frozen
class EvaluationResult(ResultFields):
    """Evaluation of a model version on its test dataset.

    Prints as a table. :meth:`save` writes a page, a picture or a data file. The aggregated metrics are
    unweighted means over the labels, so the aggregated F1 is not the harmonic mean of the other two.

    Examples:
        >>> result = EvaluationResult.from_summary({
        ...     "AggregatedEvaluationResults": {"F1Score": 0.9, "Precision": 0.88, "Recall": 0.92},
        ...     "LabelEvaluationResults": [{"Label": "puppy", "NumberOfTestingImages": 20, "Metrics": {
        ...         "F1Score": 0.9, "Precision": 0.88, "Recall": 0.92, "Threshold": 0.41}}],
        ... })
        >>> result.f1, result.labels["puppy"].threshold
        (0.9, 0.41)
        >>> print(result)
        F1 score 0.900   Average precision 0.880   Overall recall 0.920
        <BLANKLINE>
        Label       F1 score  Precision  Recall  Assumed threshold  Test images
        puppy          0.900      0.880   0.920              0.410           20
        All labels     0.900      0.880   0.920
    """

    snapshot: LineSource | None = attrs.field(default=None, repr=False, eq=False, kw_only=True)
    """Function that returns the lines of the testing snapshot; None if there is no snapshot."""
    read_image: Callable[[str], bytes] | None = attrs.field(default=None, repr=False, eq=False, kw_only=True)
    """Function that reads a test image by its URI, for the pictures of a page; None if there is none."""

    def __getstate__(self) -> dict[str, Any]:
        """Return the values without the two functions, which hold connections to S3."""
        return {
            field.name: getattr(self, field.name)
            for field in attrs.fields(type(self))
            if field.name not in _NOT_PICKLED
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name in _NOT_PICKLED:
            object.__setattr__(self, name, None)
        for name, value in state.items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_summary(
        cls,
        summary: Mapping[str, Any],
        *,
        snapshot: Lines | LineSource | None = None,
        read_image: Callable[[str], bytes] | None = None,
    ) -> EvaluationResult:
        """Read an evaluation summary (``EvaluationResultSummary-<project>-<version>.json``).

        Accepts both layouts of the file: aggregated metrics in ``AggregatedEvaluationResults`` or in its
        ``Metrics``. Missing values, null and NaN become None; unknown fields are kept in ``extra``.

        Args:
            summary: Content of the file, as ``json.load`` returns it.
            snapshot: The testing snapshot of the same training (``TestingGroundTruth-…``): a path, lines, or
                a function that returns the lines. It is read only when the test images are needed.
            read_image: Function that reads an image by its URI, for the pictures of a page.

        Raises:
            InvalidEvaluation: The content is not an evaluation summary, or a field has the wrong type.
        """
        # Imported here to keep importing rekolabels.evaluation fast.
        from rekolabels.evaluation._summary import read_summary

        _check_reader(read_image)
        lines = snapshot if snapshot is None or callable(snapshot) else as_lines(snapshot, "snapshot")
        values = read_summary(summary)
        fields = {field.name: getattr(values, field.name) for field in attrs.fields(ResultFields)}
        return cls(**fields, snapshot=lines, read_image=read_image)

    @classmethod
    def from_snapshot(
        cls, lines: Lines, *, read_image: Callable[[str], bytes] | None = None
    ) -> EvaluationResult:
        """Compute a result from a testing snapshot (``TestingGroundTruth-<project>-<version>.json``) alone.

        The metrics follow from the verdicts in the file. The file does not contain the assumed thresholds, so
        each is estimated: midway between the lowest confidence that counts and the highest that does not. For
        a detector, mAP and mAR are those of the boxes in the file (COCO's 101 recalls, the file's own
        matching).

        Args:
            lines: A path, the content of the file as bytes, an open file, or its lines.
            read_image: Function that reads an image by its URI, for the pictures of a page.

        Raises:
            InvalidEvaluation: A line is not in the format of the service.
        """
        _check_reader(read_image)
        empty = cls(snapshot=as_lines(lines, "lines"), read_image=read_image)
        return recompute(empty.images, empty, None)

    @property
    def images(self) -> Iterator[EvaluatedImage]:
        """Test images with their ground truth and verdicts, as an iterator.

        Each access reads the snapshot again, during the iteration. A result of ``model.evaluation()`` fetches
        it from S3 once, at the first iteration.

        Raises:
            InvalidInput: The result has no snapshot.
            InvalidEvaluation: A line is not in the format of the service.
            ObjectNotFound: The snapshot no longer exists in S3.
        """
        if self.snapshot is None:
            raise InvalidInput(
                "This result has no test images: it was made from a summary alone. Use model.evaluation() or "
                "pass the TestingGroundTruth file: EvaluationResult.from_summary(summary, snapshot=path)."
            )
        return read_images(self.snapshot(), "the testing snapshot")

    def mistakes(
        self,
        *,
        label: str | None = None,
        kind: Literal["false positive", "false negative"] | None = None,
        limit: int | None = None,
    ) -> list[Mistake]:
        """Return the mistakes on the test images, the most confident ones first.

        The model is most confident of a false positive with a high confidence and of a false negative with a
        low one.

        Args:
            label: Return only mistakes of this label.
            kind: Return only this kind, ``"false positive"`` or ``"false negative"``.
            limit: Return at most this many mistakes.

        Raises:
            InvalidInput: The label is unknown.
        """
        return find_mistakes(self.images, label, kind, limit, self.labels)

    def label_issues(
        self, *, limit: int | None = None, min_score: float = MIN_ISSUE_SCORE
    ) -> list[LabelIssue]:
        """Return labels of test images that are probably wrong, the highest score first.

        The model confidently disagrees with these labels; :func:`find_label_issues` explains the score. The
        page that :meth:`save` writes shows the same list.

        Args:
            limit: Return at most this many issues.
            min_score: Return only issues with at least this score, 0 to 1. Below the default, most issues
                are mistakes of the model, not wrong labels.
        """
        return find_label_issues(self.images, limit=limit, min_score=min_score)

    def scores(self) -> dict[str, ScoredLabel]:
        """Return the confidences on the test images by label, for counts, curves and calibration."""
        return tally(self.images).scored(self.assumed_thresholds)

    def at(self, thresholds: float | Mapping[str, float]) -> EvaluationResult:
        """Return the result at other thresholds than the assumed ones, computed from the test images.

        The service's snapshots list false positives only from the assumed threshold. Below it, precision and
        F1 are undefined.

        Args:
            thresholds: One threshold for all labels, 0 to 1, or thresholds by label. A label without one
                keeps its assumed threshold.

        Raises:
            InvalidInput: A threshold is not between 0 and 1, or of an unknown label.
        """
        return recompute(self.images, self, thresholds)

    def discrepancies(self) -> tuple[Discrepancy, ...]:
        """Return the values in which the summary differs from its test images; usually there are none.

        The service's files sometimes disagree: the summary of a real detector has precision 0.6 and recall
        0.7, while the boxes of its snapshot give 13/20 and 13/17.
        """
        return compare_with_summary(self.images, self)

    def confusion(
        self, thresholds: float | Mapping[str, float] | None = None, *, iou_threshold: float = 0.5
    ) -> ConfusionCounts:
        """Count how often each label is predicted as each label, including missed and background ones.

        Args:
            thresholds: One threshold for all labels, 0 to 1, or thresholds by label, such as
                ``result.assumed_thresholds``. By default, a classifier's images count by their most confident
                labels, as in the summary, and a detector's boxes by the assumed thresholds.
            iou_threshold: Intersection over union from which boxes match, 0 to 1, whatever their labels are.

        Raises:
            InvalidInput: A threshold is not between 0 and 1, or of an unknown label.
        """
        return count_confusion(self.images, thresholds, iou_threshold, self.labels)

    def box_metrics(self, iou_thresholds: float | Iterable[float] | None = None) -> BoxMetrics:
        """Compute COCO's average precision and recall of a detector from the boxes of the snapshot.

        The snapshot does not list false positives below the assumed thresholds, so the result is an upper
        bound.

        Args:
            iou_thresholds: One IoU threshold or several, 0 to 1; by default COCO's, 0.50 to 0.95.
        """
        thresholds = COCO_IOU_THRESHOLDS if iou_thresholds is None else check_iou_thresholds(iou_thresholds)
        pairs = [(image.boxes, image.candidates) for image in self.images]
        return score_boxes(
            [boxes for boxes, _ in pairs],
            [candidates for _, candidates in pairs],
            iou_thresholds=thresholds,
        )

    def compare(
        self, baseline: EvaluationResult, *, only_shared: bool = False, n_resamples: int = 1000, seed: int = 0
    ) -> Comparison:
        """Compare this model with another one on the same test images.

        Each model is evaluated at its own assumed thresholds. The confidence intervals come from a paired
        bootstrap: the images are resampled, and both models are evaluated on the same resample.

        Args:
            baseline: Result of the other model.
            only_shared: Compare on the images that both test sets contain if the test sets differ.
            n_resamples: Number of bootstrap resamples.
            seed: Seed of the resampling; the same seed gives the same intervals.

        Raises:
            InvalidInput: The test sets differ; the message says how many images they have in common.
        """
        check_instance("baseline", baseline, EvaluationResult, "the EvaluationResult of the other model")
        return compare_images(
            baseline.images, self.images, only_shared=only_shared, n_resamples=n_resamples, seed=seed
        )

    def assert_no_regression(
        self,
        baseline: EvaluationResult,
        *,
        tolerance: float = 0.0,
        metric: Literal["f1", "precision", "recall"] = "f1",
        strict: bool = False,
        only_shared: bool = False,
    ) -> Comparison:
        """Raise an error if the model is worse than a baseline, on average or for any label.

        Args:
            baseline: Result of the model that is in use.
            tolerance: Acceptable loss, such as 0.02.
            metric: Metric to compare.
            strict: Fail for every loss beyond the tolerance. By default, only a significant loss fails, one
                whose 95 % interval is below 0.
            only_shared: Compare on the images that both test sets contain if the test sets differ.

        Returns:
            The comparison, if nothing is worse.

        Raises:
            ModelRegressed: The model is worse. This is an AssertionError with a table of the losses.
            InvalidInput: The test sets differ.
        """
        check_fraction("tolerance", tolerance)
        check_choice("metric", metric, METRICS)
        check_flag("strict", strict)
        comparison = self.compare(baseline, only_shared=only_shared)
        check_no_regression(comparison, tolerance, metric, strict=strict)
        return comparison

    @property
    def adapter(self) -> AdapterEvaluation | None:
        """Comparison of a content moderation adapter with the base model; None for other models."""
        return read_adapter(self.extra.get("ContentModeration"))

    def to_summary(self) -> dict[str, Any]:
        """Return the content of an evaluation summary file, in the flat layout that the service uses.

        :meth:`from_summary` reads it back without loss.
        """
        from rekolabels.evaluation._summary import write_summary

        return write_summary(self)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the result to a file, in the format that the extension names.

        If the result has test images, the page shows thresholds, a confusion matrix, mistakes and label
        issues as well; pictures in it need the extra ``report``.

        Args:
            path: ``.html`` (a self-contained page), ``.png`` (a picture; needs the extra ``report``),
                ``.csv`` or ``.md`` (the table), or ``.json`` (an evaluation summary). An existing file is
                replaced.

        Returns:
            The path.

        Raises:
            InvalidInput: The extension is not one of these.
            MissingExtra: The extra ``report`` is not installed, for ``.png``.
            OSError: The file cannot be written.
        """
        # Imported here to keep importing rekolabels.evaluation fast.
        from rekolabels.evaluation._report._export import save_result

        return save_result(
            self,
            check_path("path", path, "the path of a file"),
            images=None if self.snapshot is None else lambda: self.images,
            read_image=self.read_image,
        )

    def to_pandas(self) -> Any:
        """Return a ``pandas.DataFrame`` with a row per label; undefined values are NaN.

        The columns are ``f1``, ``precision``, ``recall``, ``threshold`` and ``test_images``.

        Raises:
            MissingExtra: The extra ``report`` is not installed.
        """
        from rekolabels.evaluation._report._export import make_frame

        return make_frame(self)

    def __rich__(self) -> Any:
        from rekolabels.evaluation._report._export import make_rich_table

        return make_rich_table(self)

    def __str__(self) -> str:
        return format_table(self)

    def _repr_html_(self) -> str:
        # Imported here: only notebooks need it.
        from rekolabels.evaluation._report._notebook import show_result

        return show_result(self)
