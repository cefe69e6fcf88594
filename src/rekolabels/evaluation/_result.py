"""How well a model did on its test dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import attrs

from rekolabels.errors import InvalidInput
from rekolabels.evaluation._jsonl import Lines, LineSource, as_lines
from rekolabels.evaluation._values import ConfusionMatrix, LabelMetrics

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from rekolabels.evaluation._adapter import AdapterEvaluation
    from rekolabels.evaluation._box_metrics import BoxMetrics
    from rekolabels.evaluation._compare import Comparison
    from rekolabels.evaluation._confusion import ConfusionCounts
    from rekolabels.evaluation._evaluated import EvaluatedImage, Mistake
    from rekolabels.evaluation._label_issues import LabelIssue
    from rekolabels.evaluation._metrics import ScoredLabel
    from rekolabels.evaluation._recompute import Discrepancy

__all__ = ["EvaluationResult"]


def _utc(moment: datetime) -> datetime:
    """A time in UTC; one that does not say is taken for UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


_CONNECTIONS = ("snapshot", "read_image")


@attrs.frozen
class EvaluationResult:
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

    f1: float | None = None
    """The console's "F1 score" and "Model performance": the mean of the labels' F1, 0 to 1."""
    precision: float | None = None
    """The console's "Average precision": the mean of the labels' precisions, 0 to 1. Not the mAP."""
    recall: float | None = None
    """The console's "Overall recall": the mean of the labels' recalls, 0 to 1."""
    labels: Mapping[str, LabelMetrics] = attrs.field(factory=dict[str, LabelMetrics], hash=False)
    """By label, the best F1 first and undefined ones last."""
    confusion_matrix: ConfusionMatrix | None = None
    """For classifiers; None for detectors."""
    mean_average_precision: float | None = None
    """For detectors: mAP, 0 to 1; None for classifiers."""
    mean_average_recall: float | None = None
    """For detectors: mAR, 0 to 1; None for classifiers."""
    training_images: int | None = None
    """Images that were really used in training."""
    test_images: int | None = None
    """Images that were really used in testing."""
    evaluated_at: datetime | None = attrs.field(default=None, converter=attrs.converters.optional(_utc))
    """When the evaluation ended, UTC."""
    project_version_arn: str | None = None
    """ARN of the model version."""
    extra: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False, hash=False)
    """What the file says beyond this, in the places where the file says it."""
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
        from rekolabels.evaluation._summary import read_summary

        lines = snapshot if snapshot is None or callable(snapshot) else as_lines(snapshot)
        return attrs.evolve(read_summary(summary), snapshot=lines, read_image=read_image)

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
        from rekolabels.evaluation._recompute import recompute

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
        from rekolabels.evaluation._evaluated import read_images

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
        most: int | None = None,
    ) -> list[Mistake]:
        """What the model got wrong on the test images, most confident first.

        The model is most confident of a false positive whose confidence is high, and of a false negative
        whose confidence is low.

        Args:
            label: Only mistakes of this label.
            kind: ``"false positive"`` (found, not there) or ``"false negative"`` (there, not found).
            most: Only so many.
        """
        from rekolabels.evaluation._evaluated import find_mistakes

        return find_mistakes(self.images, label, kind, most)

    def label_issues(self, *, most: int | None = None) -> list[LabelIssue]:
        """Test images whose own label the model disputes, the strongest doubt first: look at them.

        An image with one label is disputed by as much as another label is more confident than its own. Of
        several labels, each is looked at by itself; a box is disputed by a box of another label in its place,
        or by one where nothing is labelled.

        Args:
            most: Only so many.
        """
        from rekolabels.evaluation._label_issues import find_label_issues

        return find_label_issues(self.images, most=most)

    # figures made anew from the test images

    def scores(self) -> dict[str, ScoredLabel]:
        """The confidences on the test images, label by label: for counts, curves and calibration."""
        from rekolabels.evaluation._recompute import tally

        return tally(self.images).scored({label: found.threshold for label, found in self.labels.items()})

    def at(self, thresholds: float | Mapping[str, float]) -> EvaluationResult:
        """The figures at other thresholds than the assumed ones, counted on the test images.

        The snapshot of a detector lists wrong boxes only from the assumed threshold on: below it, precision
        and F1 are undefined.

        Args:
            thresholds: One threshold for all labels, 0 to 1, or one by label; a label without one keeps the
                verdicts of the file.
        """
        from rekolabels.evaluation._recompute import recompute

        return recompute(self.images, self, thresholds)

    def discrepancies(self) -> tuple[Discrepancy, ...]:
        """Figures in which the summary differs from what its own test images amount to; usually none.

        The service's files are known to disagree at times: a real detector's summary says 0.6 and 0.7 where
        the boxes of its snapshot give 13/20 and 13/17.
        """
        from rekolabels.evaluation._recompute import compare_with_summary

        return compare_with_summary(self.images, self)

    def confusion(
        self, thresholds: Mapping[str, float] | None = None, *, minimum_overlap: float = 0.5
    ) -> ConfusionCounts:
        """Count what was taken for what, with what was missed and what was found in the background.

        Args:
            thresholds: By label, 0 to 1. By default a classifier's images count by their most confident
                labels, as in the summary's matrix, and a detector's boxes by the assumed thresholds.
            minimum_overlap: Intersection over union from which boxes meet; the labels do not matter to it.
        """
        from rekolabels.evaluation._confusion import count_confusion

        return count_confusion(self.images, thresholds, minimum_overlap, self.labels)

    def box_metrics(self, overlaps: float | Iterable[float] | None = None) -> BoxMetrics:
        """COCO's average precision and recall of a detector, from the boxes that the snapshot lists.

        The wrong boxes below the assumed thresholds are not in the file, so this is an upper bound.

        Args:
            overlaps: One overlap or several, 0 to 1; by default COCO's, 0.50 to 0.95.
        """
        from rekolabels.evaluation._box_metrics import COCO_OVERLAPS, score_boxes

        wanted = COCO_OVERLAPS if overlaps is None else overlaps
        pairs = [(image.boxes, image.candidates) for image in self.images]
        return score_boxes(
            [boxes for boxes, _ in pairs],
            [found for _, found in pairs],
            overlaps=wanted if isinstance(wanted, (int, float)) else tuple(wanted),
        )

    # beside another model

    def compare(
        self, baseline: EvaluationResult, *, only_shared: bool = False, rounds: int = 1000, seed: int = 0
    ) -> Comparison:
        """Compare with another model, image by image, each at its own assumed thresholds.

        The intervals are those of a paired bootstrap: the images are drawn again and again, and both models
        are counted on the same draw.

        Args:
            baseline: The other model's result.
            only_shared: Compare on the shared images when the test sets differ.
            rounds: Draws of the bootstrap.
            seed: Of the draws; the same seed gives the same intervals.

        Raises:
            InvalidInput: The test sets differ; the message says how much they share.
        """
        from rekolabels.evaluation._compare import compare_images

        return compare_images(baseline.images, self.images, only_shared=only_shared, rounds=rounds, seed=seed)

    def assert_no_regression(
        self,
        baseline: EvaluationResult,
        *,
        tolerance: float = 0.0,
        figure: Literal["f1", "precision", "recall"] = "f1",
        strict: bool = False,
        only_shared: bool = False,
    ) -> Comparison:
        """Fail a build when the model is worse than its baseline, in the mean or for any label.

        Args:
            baseline: The result of the model that is in use.
            tolerance: A loss that does not matter, such as 0.02.
            figure: What is looked at.
            strict: Fail for every larger loss; by default only for one that chance does not explain, whose
                95 % interval lies below 0.
            only_shared: Compare on the shared images when the test sets differ.

        Returns:
            The comparison, when nothing has become worse.

        Raises:
            ModelRegressed: Something has; an AssertionError, whose message is a table of what was lost.
            InvalidInput: The test sets differ.
        """
        from rekolabels.evaluation._compare import assert_no_regression

        comparison = self.compare(baseline, only_shared=only_shared)
        assert_no_regression(comparison, tolerance, figure, strict=strict)
        return comparison

    @property
    def adapter(self) -> AdapterEvaluation | None:
        """For a content moderation adapter: its counts beside the base model's; None for other models."""
        from rekolabels.evaluation._adapter import read_adapter

        return read_adapter(self.extra.get("ContentModeration"))

    @property
    def kind(self) -> str | None:
        """``classification`` or ``detection``, by what the summary contains; None when it says neither."""
        if self.mean_average_precision is not None or self.mean_average_recall is not None:
            return "detection"
        return None if self.confusion_matrix is None else "classification"

    def to_summary(self) -> dict[str, Any]:
        """Give the content of an evaluation summary file, in the layout that is seen in practice (flat).

        :meth:`from_summary` reads it back without loss.
        """
        from rekolabels.evaluation._summary import write_summary

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

        return save_result(self, Path(path))

    def to_pandas(self) -> Any:
        """Give the labels as a ``pandas.DataFrame``: ``f1``, ``precision`` … by label; undefined is NaN.

        Raises:
            MissingExtra: pandas is not installed (the extra ``report``).
        """
        from rekolabels.evaluation._report._tables import make_frame

        return make_frame(self)

    def __rich__(self) -> Any:
        from rekolabels.evaluation._report._tables import make_rich_table

        return make_rich_table(self)

    def __str__(self) -> str:
        from rekolabels.evaluation._report._table import format_table

        return format_table(self)

    def _repr_html_(self) -> str:
        from rekolabels.evaluation._report._notebook import show_result

        return show_result(self)
