"""How well a model did on its test dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import attrs

from rekolabels.errors import InvalidInput
from rekolabels.evaluation._adapter import AdapterEvaluation, read_adapter
from rekolabels.evaluation._box_metrics import COCO_IOU_THRESHOLDS, BoxMetrics, score_boxes
from rekolabels.evaluation._compare import Comparison, check_no_regression, compare_images
from rekolabels.evaluation._confusion import ConfusionCounts, count_confusion
from rekolabels.evaluation._images import EvaluatedImage, Mistake, find_mistakes, read_images
from rekolabels.evaluation._jsonl import Lines, LineSource, as_lines
from rekolabels.evaluation._label_issues import LabelIssue, find_label_issues
from rekolabels.evaluation._recompute import Discrepancy, compare_with_summary, recompute, tally
from rekolabels.evaluation._report._table import format_table
from rekolabels.evaluation._summary import read_summary, write_summary
from rekolabels.evaluation._values import ResultFields

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from rekolabels.evaluation._metrics import ScoredLabel

__all__ = ["EvaluationResult"]


_CONNECTIONS = ("snapshot", "read_image")


@attrs.frozen
class EvaluationResult(ResultFields):
    """How well a model did on its test dataset, as its evaluation summary says.

    Print it for a table, :meth:`save` it as a page, a picture or a file, or look at its fields. The
    aggregated figures are unweighted means over the labels, so the aggregated F1 is not the harmonic mean of
    the other two.

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
    """Gives the lines of the testing snapshot when test images are asked for; None where there is none."""
    read_image: Callable[[str], bytes] | None = attrs.field(default=None, repr=False, eq=False, kw_only=True)
    """Gives the bytes of a test image, for the pictures of a page; None where they cannot be had."""

    def __getstate__(self) -> dict[str, Any]:
        """Keep the figures, and not the way to the files: connections do not travel."""
        return {
            field.name: getattr(self, field.name)
            for field in attrs.fields(type(self))
            if field.name not in _CONNECTIONS
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name in _CONNECTIONS:
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

        Both layouts are read: aggregated metrics in ``AggregatedEvaluationResults`` or in its ``Metrics``.
        Missing values, null and NaN become None; unknown fields are kept in ``extra``.

        Args:
            summary: The content of the file, as ``json.load`` gives it.
            snapshot: The testing snapshot that belongs to it (``TestingGroundTruth-…``): a path, its lines,
                or a function that gives the lines; read only when something asks for the test images.
            read_image: Reads an image by its URI, for the pictures in a page.

        Raises:
            InvalidEvaluation: It is no evaluation summary, or a field has a value of another kind.
        """
        lines = snapshot if snapshot is None or callable(snapshot) else as_lines(snapshot)
        values = read_summary(summary)
        fields = {field.name: getattr(values, field.name) for field in attrs.fields(ResultFields)}
        return cls(**fields, snapshot=lines, read_image=read_image)

    @classmethod
    def from_snapshot(
        cls, lines: Lines, *, read_image: Callable[[str], bytes] | None = None
    ) -> EvaluationResult:
        """Count a testing snapshot (``TestingGroundTruth-<project>-<version>.json``), without its summary.

        The figures follow from the verdicts in the file. The assumed thresholds are not in it: each is put in
        the middle between the lowest confidence that counted and the highest below. For a detector, mAP and
        mAR are those of the boxes that the file lists (COCO's 101 recalls, the file's own matching).

        Args:
            lines: A path, the bytes of the file, an open file, or its lines.
            read_image: Reads an image by its URI, for the pictures in a page.

        Raises:
            InvalidEvaluation: A line that is not what the service writes.
        """
        empty = cls(snapshot=as_lines(lines), read_image=read_image)
        return recompute(empty.images, empty, None)

    # the test images

    @property
    def images(self) -> Iterator[EvaluatedImage]:
        """The test images with their truths, predictions and verdicts, read from the snapshot as you go.

        Raises:
            InvalidInput: The result was made from a summary alone.
            InvalidEvaluation: A line that is not what the service writes.
            ObjectNotFound: The snapshot is gone from S3.
        """
        if self.snapshot is None:
            raise InvalidInput(
                "this result knows no test images: it was made from a summary alone. model.evaluation() "
                "knows them, and EvaluationResult.from_snapshot(lines) reads a TestingGroundTruth file."
            )
        return read_images(self.snapshot(), "the testing snapshot")

    def mistakes(
        self,
        *,
        label: str | None = None,
        kind: Literal["false positive", "false negative"] | None = None,
        limit: int | None = None,
    ) -> list[Mistake]:
        """What the model got wrong on the test images, most confident first.

        The model is most confident of a false positive whose confidence is high, and of a false negative
        whose confidence is low.

        Args:
            label: Only mistakes of this label.
            kind: ``"false positive"`` (found, not there) or ``"false negative"`` (there, not found).
            limit: Return at most this many.
        """
        return find_mistakes(self.images, label, kind, limit)

    def label_issues(self, *, limit: int | None = None) -> list[LabelIssue]:
        """Test images whose own label the model disputes, the strongest doubt first: look at them.

        An image with one label is disputed by as much as another label is more confident than its own. Of
        several labels, each is looked at by itself; a box is disputed by a box of another label in its place,
        or by one where nothing is labelled.

        Args:
            limit: Return at most this many.
        """
        return find_label_issues(self.images, limit=limit)

    # figures made anew from the test images

    def scores(self) -> dict[str, ScoredLabel]:
        """The confidences on the test images, label by label: for counts, curves and calibration."""
        return tally(self.images).scored({label: found.threshold for label, found in self.labels.items()})

    def at(self, thresholds: float | Mapping[str, float]) -> EvaluationResult:
        """The figures at other thresholds than the assumed ones, counted on the test images.

        The snapshot of a detector lists wrong boxes only from the assumed threshold on: below it, precision
        and F1 are undefined.

        Args:
            thresholds: One threshold for all labels, 0 to 1, or one by label; a label without one keeps the
                verdicts of the file.
        """
        return recompute(self.images, self, thresholds)

    def discrepancies(self) -> tuple[Discrepancy, ...]:
        """Figures in which the summary differs from what its own test images amount to; usually none.

        The service's files are known to disagree at times: a real detector's summary says 0.6 and 0.7 where
        the boxes of its snapshot give 13/20 and 13/17.
        """
        return compare_with_summary(self.images, self)

    def confusion(
        self, thresholds: Mapping[str, float] | None = None, *, iou_threshold: float = 0.5
    ) -> ConfusionCounts:
        """Count what was taken for what, with what was missed and what was found in the background.

        Args:
            thresholds: By label, 0 to 1. By default a classifier's images count by their most confident
                labels, as in the summary's matrix, and a detector's boxes by the assumed thresholds.
            iou_threshold: Intersection over union from which boxes meet; the labels do not matter to it.
        """
        return count_confusion(self.images, thresholds, iou_threshold, self.labels)

    def box_metrics(self, iou_thresholds: float | Iterable[float] | None = None) -> BoxMetrics:
        """COCO's average precision and recall of a detector, from the boxes that the snapshot lists.

        The wrong boxes below the assumed thresholds are not in the file, so this is an upper bound.

        Args:
            iou_thresholds: One overlap or several, 0 to 1; by default COCO's, 0.50 to 0.95.
        """
        wanted = COCO_IOU_THRESHOLDS if iou_thresholds is None else iou_thresholds
        pairs = [(image.boxes, image.candidates) for image in self.images]
        return score_boxes(
            [boxes for boxes, _ in pairs],
            [found for _, found in pairs],
            iou_thresholds=wanted if isinstance(wanted, (int, float)) else tuple(wanted),
        )

    # beside another model

    def compare(
        self, baseline: EvaluationResult, *, only_shared: bool = False, n_resamples: int = 1000, seed: int = 0
    ) -> Comparison:
        """Compare with another model, image by image, each at its own assumed thresholds.

        The intervals are those of a paired bootstrap: the images are drawn again and again, and both models
        are counted on the same draw.

        Args:
            baseline: The other model's result.
            only_shared: Compare on the shared images when the test sets differ.
            n_resamples: Draws of the bootstrap.
            seed: Of the draws; the same seed gives the same intervals.

        Raises:
            InvalidInput: The test sets differ; the message says how much they share.
        """
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
        """Fail a build when the model is worse than its baseline, in the mean or for any label.

        Args:
            baseline: The result of the model that is in use.
            tolerance: A loss that does not matter, such as 0.02.
            metric: What is looked at.
            strict: Fail for every larger loss; by default only for one that chance does not explain, whose
                95 % interval lies below 0.
            only_shared: Compare on the shared images when the test sets differ.

        Returns:
            The comparison, when nothing has become worse.

        Raises:
            ModelRegressed: Something has; an AssertionError, whose message is a table of what was lost.
            InvalidInput: The test sets differ.
        """
        comparison = self.compare(baseline, only_shared=only_shared)
        check_no_regression(comparison, tolerance, metric, strict=strict)
        return comparison

    @property
    def adapter(self) -> AdapterEvaluation | None:
        """For a content moderation adapter: its counts beside the base model's; None for other models."""
        return read_adapter(self.extra.get("ContentModeration"))

    def to_summary(self) -> dict[str, Any]:
        """Give the content of an evaluation summary file, in the layout that is seen in practice (flat).

        :meth:`from_summary` reads it back without loss.
        """
        return write_summary(self)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the result to a file, in the format that its ending names.

        Args:
            path: ``.html`` (one page that needs nothing else), ``.png`` (a picture for a message; needs the
                extra ``report``), ``.csv`` (the table), ``.md`` (the same for a pull request),
                ``.json`` (an evaluation summary). An existing file is replaced. The page shows what the test
                images tell as well, where the result knows them, and the worst mistakes as pictures with the
                extra ``report``.

        Returns:
            The path.

        Raises:
            InvalidInput: Another ending.
            MissingExtra: A picture is wanted and the extra ``report`` is not installed.
            OSError: The file cannot be written.
        """
        from rekolabels.evaluation._report._export import save_result

        return save_result(
            self,
            Path(path),
            images=None if self.snapshot is None else lambda: self.images,
            read_image=self.read_image,
        )

    def to_pandas(self) -> Any:
        """Give the labels as a ``pandas.DataFrame``: ``f1``, ``precision`` … by label; undefined is NaN.

        Raises:
            MissingExtra: pandas is not installed (the extra ``report``).
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
