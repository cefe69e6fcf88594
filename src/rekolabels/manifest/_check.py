"""Check manifests: find what the service would reject, before a training does."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

from rekolabels._arguments import check_callable, check_choice, check_flag, check_integer
from rekolabels.errors import InvalidInput, InvalidManifest
from rekolabels.manifest._dataset_rules import (
    ContentFinding,
    check_dataset,
    check_side,
    check_training,
    list_names,
)
from rekolabels.manifest._image_files import ImageInspector
from rekolabels.manifest._scan import Scan
from rekolabels.manifest._sources import check_source, source_name
from rekolabels.manifest.codes import CODES
from rekolabels.manifest.limits import LINES
from rekolabels.manifest.report import ManifestReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rekolabels.images import LabelledImage
    from rekolabels.manifest._collection import Collection
    from rekolabels.manifest._dataset_rules import Side, UseCase
    from rekolabels.manifest._image_files import ImageOpener
    from rekolabels.manifest._line_rules import LineCheck
    from rekolabels.manifest._sources import CheckSource
    from rekolabels.manifest.report import Stage

__all__ = ["CheckedManifest", "check_manifest"]

_STAGES: Final[tuple[Stage, ...]] = ("training", "dataset")
_STAGE_SYNONYMS: Final[dict[str, Stage]] = {"train": "training", "datasets": "dataset", "create": "dataset"}


def check_manifest(
    source: CheckSource,
    *,
    testing: CheckSource | None = None,
    stage: Stage = "training",
    auto_split: bool = False,
    open_images: bool = False,
    open_image: ImageOpener | None = None,
    max_lines: int = LINES,
) -> ManifestReport:
    """Check a manifest, or labelled images, against the rules of the service.

    The report lists every error that the service would report, and the mistakes that it ignores silently.
    Manifests are read as a stream, in bounded memory: of each code the report keeps the first thousand issues
    and counts the others. All codes and messages are in ``rekolabels.manifest.codes``, all limits in
    ``rekolabels.manifest.limits``.

    Local images are checked as ``project.create_datasets`` checks them, which is stricter than the service:
    it refuses a collection with an unusable file, with labels and boxes mixed, or with one picture under two
    labels, and it splits the images if no ``testing`` is given. ``report.ok`` says whether it would accept
    them.

    Args:
        source: The manifest of the training dataset: a path, its bytes, an open file, or lines. Or labelled
            images from any reader (``read_folder``, ``read_coco``) or a list. They may be local files; the
            rules for S3 URIs do not apply to paths then, and the report says how many there are.
        testing: The manifest or images of the test dataset. Without it, only the rules for the training
            dataset apply.
        stage: ``"training"`` checks whether a training with these manifests would start. ``"dataset"`` checks
            whether datasets can be created from them, which drops some lines silently (``issue.dropped``).
        auto_split: Whether the service is to split off a test dataset.
        open_images: Whether to open the images too, to check their format, file size and dimensions, whether
            they can be decoded to their ends, and whether they have the stated size. Requires the extra
            ``images``.
        open_image: Returns the content of an image (bytes or an open binary file) for its path or URI.
            Required with ``open_images`` for images in S3; by default, images are opened as local files.
            Called from up to 16 threads at once.
        max_lines: Maximum number of lines: 250,000. Some Regions allow fewer; AWS raises it on request.

    Returns:
        The report. ``report.ok`` is True if the training would start, or the dataset would be created.

    Raises:
        InvalidManifest: The source is not a manifest or labelled images. Errors in a manifest are reported,
            not raised.
        MissingExtra: ``open_images=True`` without Pillow.

    >>> report = check_manifest([b'{"source-ref": "https://example.org/1.jpg"}'])
    >>> report.ok, [issue.code for issue in report if issue.line == 1]
    (False, ['ERROR_INVALID_SOURCE_REF_FORMAT'])

    >>> from rekolabels.images import BoundingBox, ImageSize, LabelledImage
    >>> box = BoundingBox("scratch", 600, 10, 50, 20)
    >>> report = check_manifest([LabelledImage("parts/1.jpg", boxes=[box], size=ImageSize(640, 480))])
    >>> [(issue.code, issue.image) for issue in report if issue.level == "LINE"]
    [('ERROR_INVALID_BOUNDING_BOX', 'parts/1.jpg'), ('ERROR_NO_VALID_ANNOTATIONS', 'parts/1.jpg')]
    """
    checked = CheckedManifest(
        source,
        testing=testing,
        stage=stage,
        auto_split=auto_split,
        open_images=open_images,
        open_image=open_image,
        max_lines=max_lines,
    )
    return checked.report()


class CheckedManifest:
    """Stream of the usable images of a manifest, with a report of the others.

    Takes the same arguments as ``check_manifest`` and reads each manifest once. If labelled images are given,
    ``images()`` yields them as they would be read from a manifest.

    >>> checked = CheckedManifest([b'{"source-ref": "s3://puppies/1.jpg"}', b"{"])
    >>> [image.source for image in checked.images()], checked.report().counts.invalid
    ([], 1)
    """

    def __init__(
        self,
        source: CheckSource,
        *,
        testing: CheckSource | None = None,
        stage: Stage = "training",
        auto_split: bool = False,
        open_images: bool = False,
        open_image: ImageOpener | None = None,
        max_lines: int = LINES,
    ) -> None:
        check_source(source)
        if testing is not None:
            check_source(testing, "testing")
            if testing is source and isinstance(testing, Iterator):
                raise InvalidInput(
                    "source and testing are the same iterator, which can be read once. Make a list of each."
                )
        self._stage: Stage = check_choice("stage", stage, _STAGES, _STAGE_SYNONYMS)
        self._auto_split = check_flag("auto_split", auto_split)
        self._open_images = check_flag("open_images", open_images)
        if open_image is not None:
            check_callable("open_image", open_image, "a function that returns the content of an image")
        self._open_image = open_image
        self._max_lines = check_integer("max_lines", max_lines, at_least=1)
        self._sources: dict[Side, CheckSource] = {"training": source}
        if testing is not None:
            self._sources["testing"] = testing
        self._scans: dict[Side, Scan] = {}
        self._report: ManifestReport | None = None

    def __repr__(self) -> str:
        names = [source_name(source) for source in self._sources.values()]
        return f"<CheckedManifest of {' and '.join(names)}>"

    def images(self, side: Side = "training") -> Iterator[LabelledImage]:
        """Yield the images that a training would use, in order, with their usable labels and boxes.

        Raises:
            InvalidManifest: There is no manifest for this side, or it was already read.
        """
        check_side(side)
        if side not in self._sources:
            raise InvalidManifest(f"No {side} manifest was given.")
        return self._read(side)

    def _read(self, side: Side) -> Iterator[LabelledImage]:
        if side in self._scans:
            raise InvalidManifest(
                f"The {side} manifest was already read. Create another CheckedManifest to read it again."
            )
        with ImageInspector(self._open_image) if self._open_images else nullcontext() as inspector:
            scan = self._scans[side] = self._scan(side, inspector)
            yield from scan.images()
            if inspector is not None and inspector.missing and not inspector.found:
                detail = f"None of {inspector.missing} images could be read."
                scan.report(ContentFinding("ERROR_FAILED_IMAGES_S3_COPY", side, detail))

    def report(self) -> ManifestReport:
        """Return the report, after reading what is still unread."""
        if self._report is None:
            for side in self._sources.keys() - self._scans.keys():
                for _ in self.images(side):
                    pass
            self._report = self._make_report()
        return self._report

    def _scan(self, side: Side, inspector: ImageInspector | None) -> Scan:
        return Scan(
            self._sources[side],
            side,
            max_lines=self._max_lines,
            allow_empty=self._stage == "dataset",
            inspector=inspector,
        )

    def _make_report(self) -> ManifestReport:
        training, testing = self._scans["training"], self._scans.get("testing")
        use_case: UseCase = "NOT_DETERMINED"
        findings: list[ContentFinding] = []
        if not any(scan.aborted for scan in self._scans.values()):
            if self._stage == "dataset":
                for side, scan in self._scans.items():
                    findings += check_dataset(scan.statistics, side)
            else:
                counts = None if testing is None else testing.statistics
                auto_split = self._auto_split or bool(testing is None and training.statistics.local_images)
                use_case, found = check_training(training.statistics, counts, auto_split=auto_split)
                findings += found
                if auto_split and testing is None:
                    findings += _check_copies(training, found)
            for side, scan in self._scans.items():
                findings += _check_collection(scan.collection, side)
        for side, scan in self._scans.items():
            if scan.statistics.local_images:
                detail = f"{scan.statistics.local_images:,} images are local files."
                findings.append(ContentFinding("IMAGES_NOT_UPLOADED", side, detail))
        for finding in findings:
            self._scans[finding.side or "training"].report(finding)
        scans = [scan for scan in (training, testing) if scan is not None]
        totals: Counter[str] = Counter()
        for scan in scans:
            totals.update(scan.issue_counts)
        return ManifestReport(
            issues=tuple(issue for scan in scans for issue in scan.issues()),
            issue_counts=dict(totals),
            counts=training.counts(),
            testing_counts=None if testing is None else testing.counts(),
            use_case=use_case,
            stage=self._stage,
            checks=self._reread,
        )

    def _reread(self, side: Side) -> Iterator[LineCheck]:
        """Read a manifest again and yield the check of each line, for validation manifests."""
        source = self._sources.get(side)
        if source is None:
            raise InvalidManifest(f"No {side} manifest was checked.")
        if not isinstance(source, (str, os.PathLike, bytes, list, tuple)):
            raise InvalidManifest(
                "Cannot read a stream a second time. Pass a path, bytes or a list to check_manifest()."
            )
        with ImageInspector(self._open_image) if self._open_images else nullcontext() as inspector:
            yield from self._scan(side, inspector).checks()


def _check_copies(training: Scan, found: Sequence[ContentFinding]) -> list[ContentFinding]:
    """Check whether each label has two different pictures, so that it can be in both datasets."""
    rare = [] if training.collection is None else training.collection.rare_labels()
    if not rare or any(CODES[finding.code].level == "CONTENT" for finding in found):
        return []
    detail = f"Labels with a single picture: {list_names(sorted(rare))}."
    return [ContentFinding("ERROR_INSUFFICIENT_IMAGES_PER_LABEL_FOR_AUTOSPLIT", "training", detail)]


def _check_collection(collection: Collection | None, side: Side) -> list[ContentFinding]:
    """Check whether ``create_datasets`` would accept the images that were given."""
    if collection is None:
        return []
    reasons = collection.problems()
    if collection.unusable:
        reasons.insert(0, f"{collection.unusable:,} of {collection.total:,} images cannot be used.")
    return [ContentFinding("IMAGES_REFUSED", side, " ".join(reasons))] if reasons else []
