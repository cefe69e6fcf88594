"""Sections of the page: threshold cards, mistakes and disputed labels, with thumbnails."""

from __future__ import annotations

import base64
import io
import json
import math
import warnings
from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rekolabels._image_header import EncodedImage
from rekolabels.evaluation._report._table import format_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rekolabels.evaluation._images import EvaluatedImage, Mistake
    from rekolabels.evaluation._label_issues import LabelIssue
    from rekolabels.evaluation._metrics import ScoredLabel
    from rekolabels.evaluation._values import ResultFields, Verdict
    from rekolabels.images import BoundingBox

__all__ = ["disputed_labels", "label_text", "script_data", "threshold_cards", "worst_mistakes"]

_MAX_CARDS = 60
"""Maximum number of labels with a threshold card."""
_STEPS = 100
"""Positions of a slider."""
_MAX_POINTS = 120
"""Maximum number of points of a curve, approximately."""

_MAX_IMAGES = 24
"""Maximum number of images with mistakes."""
_MAX_DISPUTED = 12
"""Maximum number of disputed labels."""
_MAX_TEXTS = 4
"""Maximum number of mistakes listed below an image."""
_LEGEND = '<span class="key true">ground truth</span> <span class="key false">false positive</span>'

_THUMBNAIL_SIDE = 360
_JPEG_QUALITY = 72
_MAX_PIXELS = 64_000_000
"""Larger images than the service accepts are not decoded."""


def label_text(text: str) -> str:
    """Escape a text for HTML; characters that are invisible or misleading become escape sequences."""
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )
    return escape(shown, quote=True)


def _labels_with_card(result: ResultFields, scores: Mapping[str, ScoredLabel]) -> list[str]:
    """Return the labels with a card; if there are too many labels, those with the lowest F1."""
    labels = [label for label in result.labels if label in scores and scores[label].support]
    return labels[-_MAX_CARDS:]


def threshold_cards(result: ResultFields, scores: Mapping[str, ScoredLabel]) -> str:
    """Return the section with a card for each label: precision-recall curve, slider and metrics."""
    labels = _labels_with_card(result, scores)
    if not labels:
        return ""
    hidden = len(result.labels) - len(labels)
    note = f" Only the {len(labels)} labels with the lowest F1 are shown." if hidden else ""
    begin = (
        " A slider begins at the threshold from which the evaluation lists all false positives."
        if any(scores[label].complete_from for label in labels)
        else ""
    )
    cards = "".join(_card(number, label, result, scores[label]) for number, label in enumerate(labels))
    return (
        '<section id="thresholds"><h2>Thresholds</h2>\n<p>Move a slider to see how a threshold changes the '
        f"metrics of its label and the means over all labels.{note} The metrics are computed from the test "
        "images. A curve shows precision (vertical) against recall (horizontal); its dot is the current "
        f"threshold.{begin}</p>\n"
        '<div class="now"><span>At these thresholds:</span> '
        '<span>F1 score <b data-mean="f1"></b></span> '
        '<span>Average precision <b data-mean="precision"></b></span> '
        '<span>Overall recall <b data-mean="recall"></b></span>'
        '<label>All labels <input type="range" id="every" min="0" max="100" step="1" value="50"></label>'
        '<button type="button" id="reset" title="Reset to the assumed thresholds">Reset</button></div>\n'
        f'<div class="cards">{cards}</div></section>'
    )


def script_data(result: ResultFields, scores: Mapping[str, ScoredLabel]) -> str:
    """Return the data of the page's script, as JSON that cannot close its script element."""
    labels = _labels_with_card(result, scores)
    shown = [_label_data(result, label, scores[label]) for label in labels]
    others = [
        [metrics.f1, metrics.precision, metrics.recall]
        for label, metrics in result.labels.items()
        if label not in set(labels)
    ]
    content = json.dumps({"labels": shown, "others": others}, separators=(",", ":"))
    return content.replace("<", "\\u003c").replace("&", "\\u0026")


def _label_data(result: ResultFields, label: str, scored: ScoredLabel) -> dict[str, Any]:
    counts = [scored.counts(step / _STEPS) for step in range(_STEPS + 1)]
    metrics = result.labels[label]
    return {
        "threshold": metrics.threshold,
        "assumed": [metrics.f1, metrics.precision, metrics.recall],
        "support": scored.support,
        "completeFrom": _first_step(scored),
        "truePositives": [one.true_positives for one in counts],
        "falsePositives": [one.false_positives for one in counts],
    }


def _first_step(scored: ScoredLabel) -> int:
    """Return the first slider position at which the precision is known."""
    return math.ceil(scored.complete_from * _STEPS - 1e-9)


def _card(number: int, label: str, result: ResultFields, scored: ScoredLabel) -> str:
    metrics = result.labels[label]
    at = 50 if metrics.threshold is None else round(100 * metrics.threshold)
    lowest = min(100, _first_step(scored))
    name = label_text(label)
    return (
        f'<div class="card" data-label="{number}"><h3><bdi>{name}</bdi></h3>'
        f'<svg viewBox="-4 -4 108 108" role="img" aria-label="Precision-recall curve of {name}">'
        '<path class="axes" d="M0 0V100H100M0 50H100M50 0V100M0 0H100V100"/>'
        f'<path class="curve" d="{_path(scored)}"/>{_dot(metrics.precision, metrics.recall)}</svg>'
        f"<label>Threshold <output>{format_number(metrics.threshold)}</output>"
        f'<input type="range" min="{lowest}" max="100" step="1" '
        f'value="{max(lowest, at)}" aria-label="Threshold of {name}"></label>'
        f'<dl><div><dt>F1</dt><dd data-metric="f1">{format_number(metrics.f1)}</dd></div>'
        f'<div><dt>Precision</dt><dd data-metric="precision">{format_number(metrics.precision)}</dd></div>'
        f'<div><dt>Recall</dt><dd data-metric="recall">{format_number(metrics.recall)}</dd></div></dl>'
        f"<p>{_card_note(scored)}</p></div>\n"
    )


def _card_note(scored: ScoredLabel) -> str:
    examples = "1 test example" if scored.support == 1 else f"{scored.support:,} test examples"
    limit = "at most " if scored.complete_from else ""
    return f"{examples}; area under the curve: {limit}{format_number(scored.average_precision())}"


def _path(scored: ScoredLabel) -> str:
    points = [
        (counts.recall, counts.precision)
        for _, counts in scored.curve()
        if counts.recall is not None and counts.precision is not None
    ]
    if not points:
        return ""
    step = max(1, math.ceil(len(points) / _MAX_POINTS))
    kept = [*points[::step], points[-1]]
    return "M" + "L".join(f"{100 * recall:.1f} {100 - 100 * precision:.1f}" for recall, precision in kept)


def _dot(precision: float | None, recall: float | None) -> str:
    hidden = ' visibility="hidden"' if precision is None or recall is None else ""
    return f'<circle r="3.5" cx="{100 * (recall or 0):.1f}" cy="{100 - 100 * (precision or 0):.1f}"{hidden}/>'


def worst_mistakes(mistakes: Sequence[Mistake], read: Callable[[str], bytes] | None) -> str:
    """Return the section with the images of the most confident mistakes."""
    images: dict[int, EvaluatedImage] = {}
    for mistake in mistakes:
        images.setdefault(id(mistake.image), mistake.image)
        if len(images) == _MAX_IMAGES:
            break
    if not images:
        return "<h2>Mistakes</h2>\n<p>None on the test images at the assumed thresholds.</p>"
    thumbnails = Thumbnails(read)
    figures = "".join(
        _figure(image, thumbnails, [_mistake_text(verdict) for verdict in image.mistakes])
        for image in images.values()
    )
    total = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes):,} mistakes"
    order = "" if len(mistakes) == 1 else ", the most confident first"
    legend = f" {_LEGEND}" if any(image.is_detection for image in images.values()) else ""
    return (
        f"<h2>Mistakes</h2>\n<p>{total} at the assumed thresholds{order}.{legend}</p>\n"
        f'<div class="figures">{figures}</div>'
    )


def disputed_labels(issues: Sequence[LabelIssue], read: Callable[[str], bytes] | None) -> str:
    """Return the section with the labels that are most likely wrong."""
    if not issues:
        return ""
    shown = issues[:_MAX_DISPUTED]
    thumbnails = Thumbnails(read)
    figures = "".join(_figure(issue.image, thumbnails, [_question(issue)]) for issue in shown)
    more = f" These are the first {len(shown)} of {len(issues):,}." if len(issues) > len(shown) else ""
    return (
        "<h2>Labels to check</h2>\n<p>The model confidently disagrees with these labels of the test "
        f"dataset, and most of them are probably wrong.{more}</p>\n"
        f'<div class="figures">{figures}</div>'
    )


def _figure(image: EvaluatedImage, thumbnails: Thumbnails, texts: list[str]) -> str:
    picture = thumbnails.make(image.source)
    if picture is not None:
        shown = f'<img src="{picture}" alt="" loading="lazy">'
    else:
        shown = f'<span class="none">{escape(thumbnails.problem or "No picture")}</span>'
    name = label_text(image.source.rsplit("/", 1)[-1])
    more = f"<li>and {len(texts) - _MAX_TEXTS} more</li>" if len(texts) > _MAX_TEXTS else ""
    items = "".join(f"<li>{text}</li>" for text in texts[:_MAX_TEXTS]) + more
    truths = ", ".join(f"<bdi>{label_text(label)}</bdi>" for label in dict.fromkeys(image.truths)) or "none"
    return (
        f'<figure><div class="picture">{shown}{_boxes(image)}</div><figcaption>'
        f'<ul>{items}</ul><p>Ground truth: {truths}</p><p class="name" title="{label_text(image.source)}">'
        f"<bdi>{name}</bdi></p></figcaption></figure>\n"
    )


def _boxes(image: EvaluatedImage) -> str:
    if image.size is None or not image.size.width or not image.size.height:
        return ""
    wrong = [
        verdict.box
        for verdict in image.verdicts
        if verdict.kind == "false positive" and verdict.box is not None
    ]
    return (
        f'<svg viewBox="0 0 {image.size.width} {image.size.height}" preserveAspectRatio="none">'
        f"{_drawn(image.boxes, 'true')}{_drawn(wrong, 'false')}</svg>"
    )


def _drawn(boxes: Iterable[BoundingBox], kind: str) -> str:
    return "".join(
        f'<rect class="{kind}" x="{box.left:g}" y="{box.top:g}" width="{max(0.0, box.width):g}" '
        f'height="{max(0.0, box.height):g}"><title>{label_text(box.label)}</title></rect>'
        for box in boxes
    )


def _mistake_text(verdict: Verdict) -> str:
    return f"{_bold(verdict.label)}: {verdict.kind} ({verdict.confidence:.2f})"


def _question(issue: LabelIssue) -> str:
    if issue.label is None:
        return f"Is {_bold(issue.suggestion or '')} missing?"
    if issue.suggestion is None:
        return f"Is {_bold(issue.label)} wrong?"
    return f"Should this be {_bold(issue.suggestion)}?"


def _bold(label: str) -> str:
    return f"<b><bdi>{label_text(label)}</bdi></b>"


class Thumbnails:
    """Encode images as small JPEG data URIs, with Pillow (the extra ``report``).

    Args:
        read: Function that reads an image by its URI; None if there is none.
    """

    def __init__(self, read: Callable[[str], bytes] | None) -> None:
        self._read = read
        self._pillow: Any = None
        self.problem: str | None = None
        """Why the last image has no thumbnail."""
        if read is not None:
            try:
                self._pillow = import_module("PIL.Image")
                self._operations: Any = import_module("PIL.ImageOps")
            except ImportError:
                self._read = None
                self.problem = "For pictures: pip install 'rekolabels[report]'"

    def make(self, source: str) -> str | None:
        """Return a thumbnail as a data URI; None if that fails, and ``problem`` says why."""
        if self._read is None:
            return None
        self.problem = None
        try:
            data = self._read(source)
        except Exception as error:  # noqa: BLE001 - a missing picture must not prevent the page
            self.problem = f"Cannot read the image ({type(error).__name__})"
            return None
        try:
            return self._encode(data)
        except Exception:  # noqa: BLE001 - Pillow raises many kinds for damaged images
            self.problem = "Cannot decode the image"
            return None

    def _encode(self, data: bytes) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damaged EXIF data and large images
            image = self._pillow.open(EncodedImage(data), formats=("JPEG", "PNG"))
            if image.width * image.height > _MAX_PIXELS:
                raise ValueError("too large")
            image.draft("RGB", (2 * _THUMBNAIL_SIDE, 2 * _THUMBNAIL_SIDE))
            image = self._operations.exif_transpose(image)
            image = self._flatten(image)
            image.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
            target = io.BytesIO()
            image.save(target, "JPEG", quality=_JPEG_QUALITY)
        return f"data:image/jpeg;base64,{base64.b64encode(target.getvalue()).decode('ascii')}"

    def _flatten(self, image: Any) -> Any:
        """Replace transparency with white."""
        if image.mode in {"RGBA", "LA", "P"}:
            layered = image.convert("RGBA")
            background = self._pillow.new("RGBA", layered.size, "white")
            return self._pillow.alpha_composite(background, layered).convert("RGB")
        return image.convert("RGB")
