"""The check of manifests: every mistake that the service would find, before it costs an hour."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import nullcontext
from typing import TYPE_CHECKING

from rekolabels.errors import InvalidManifest
from rekolabels.manifest._dataset_rules import ContentFinding, check_dataset, check_training
from rekolabels.manifest._image_files import ImageInspector
from rekolabels.manifest._scan import Scan
from rekolabels.manifest.limits import LINES
from rekolabels.manifest.report import ManifestReport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rekolabels.images import LabelledImage
    from rekolabels.manifest._dataset_rules import Side, UseCase
    from rekolabels.manifest._image_files import ImageOpener
    from rekolabels.manifest._line_rules import LineCheck
    from rekolabels.manifest._sources import CheckSource
    from rekolabels.manifest.report import Stage

__all__ = ["CheckedManifest", "check_manifest"]


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
    """Find every mistake in a manifest that the service would find, and those that it passes over in silence.

    The manifests are read as a stream, in bounded memory; of each code the first thousand issues are kept and
    all are counted. Every code, message and limit is in ``rekolabels.manifest.codes`` and
    ``rekolabels.manifest.limits``.

    Args:
        source: The manifest of the training dataset: a path, its bytes, an open file, or lines. Or images,
            from wherever they come (``read_folder``, ``read_coco``, a list): they are written as lines on the
            way. These may lie on this machine, before their upload; the rules for a place in S3 are not
            applied to a path then, and the report says how many there are.
        testing: The manifest of the test dataset. Without it only the rules for the training dataset are
            applied.
        stage: What to ask about: ``"training"``, a training with these manifests, or ``"dataset"``, the
            making of datasets from them, which leaves out some lines without a word (issues with
            ``dropped``).
        auto_split: Whether the service is to split a test dataset off by itself.
        open_images: Whether to look into the images as well: format, size, dimensions, whether they can be
            decoded, and the true size against the stated one. This needs the extra ``local``.
        open_image: Gives the content of an image for its source; needed where images lie in S3. Without it
            images are opened on this machine. Called from up to 16 threads.
        max_lines: Lines that are allowed: 250,000; fewer in some Regions, more on request.

    Returns:
        The report. ``report.ok`` says whether the training would start.

    Raises:
        InvalidManifest: The source is of no kind that can be read. What is wrong inside is never raised.
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
    """The usable images of a manifest as a stream, and the report of what is wrong behind it.

    It takes the same arguments as ``check_manifest``. Both manifests are read once. Images that were given
    come out as they would be read from the manifest that is written from them.

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
        self._stage: Stage = stage
        self._auto_split = auto_split
        self._open_images = open_images
        self._open_image = open_image
        self._max_lines = max_lines
        self._sources: dict[Side, CheckSource] = {"training": source}
        if testing is not None:
            self._sources["testing"] = testing
        self._scans: dict[Side, Scan] = {}
        self._report: ManifestReport | None = None

    def images(self, side: Side = "training") -> Iterator[LabelledImage]:
        """The images that a training could use, in order, with their usable labels and boxes.

        Raises:
            InvalidManifest: There is no such manifest, or it is already being read.
        """
        if side not in self._sources:
            raise InvalidManifest(f"No {side} manifest was given.")
        if side in self._scans:
            raise InvalidManifest(
                f"The {side} manifest was already read; make a new CheckedManifest to read it again."
            )
        with ImageInspector(self._open_image) if self._open_images else nullcontext() as inspector:
            scan = self._scans[side] = self._scan(side, inspector)
            yield from scan.images()
            if inspector is not None and inspector.missing and not inspector.found:
                detail = f"None of {inspector.missing} images can be read."
                scan.report(ContentFinding("ERROR_FAILED_IMAGES_S3_COPY", side, detail))

    def report(self) -> ManifestReport:
        """What was found, after what is still unread has been read."""
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
            inspect=None if inspector is None else inspector.inspect,
            size_of=None if inspector is None else inspector.size_of,
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
                use_case, found = check_training(training.statistics, counts, auto_split=self._auto_split)
                findings += found
        for side, scan in self._scans.items():
            if scan.statistics.local:
                detail = f"This concerns {scan.statistics.local:,} images."
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
        """Every line of a manifest once more, for the files that show what is wrong in them."""
        source = self._sources.get(side)
        if source is None:
            raise InvalidManifest(f"No {side} manifest was checked.")
        if not isinstance(source, (str, os.PathLike, bytes, list, tuple)):
            raise InvalidManifest(
                "A stream cannot be read a second time. Check a path, bytes or a list for this."
            )
        with ImageInspector(self._open_image) if self._open_images else nullcontext() as inspector:
            yield from self._scan(side, inspector).checks()
