"""The part of a page where thresholds are moved: a card for each label, with its curve and its figures."""

from __future__ import annotations

import base64
import io
import json
import math
import warnings
from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rekolabels.evaluation._report._table import format_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rekolabels.evaluation._images import EvaluatedImage, Mistake
    from rekolabels.evaluation._label_issues import LabelIssue
    from rekolabels.evaluation._metrics import ScoredLabel
    from rekolabels.evaluation._values import ResultFields
    from rekolabels.images import BoundingBox

__all__ = ["data_block", "disputed_labels", "label_text", "threshold_cards", "worst_mistakes"]

_MOST_CARDS = 60
_STEPS = 100
_POINTS = 120


def chosen_labels(result: ResultFields, scores: Mapping[str, ScoredLabel]) -> list[str]:
    """The labels with a card: the worst ones, where there are too many for all."""
    labels = [label for label in result.labels if label in scores and scores[label].support]
    return labels[-_MOST_CARDS:]


def threshold_cards(result: ResultFields, scores: Mapping[str, ScoredLabel]) -> str:
    """A card for each label: precision-recall curve, slider, figures."""
    labels = chosen_labels(result, scores)
    if not labels:
        return ""
    hidden = len(result.labels) - len(labels)
    note = f" The {len(labels)} labels with the lowest F1 are shown." if hidden else ""
    cards = "".join(_card(number, label, result, scores[label]) for number, label in enumerate(labels))
    return (
        '<section id="thresholds"><h2>Thresholds</h2>\n<p>Move a threshold and see what it does to the '
        "label, and "
        f"to the means over all labels.{note} The figures are counted on the test images; the curve shows "
        "precision (upwards) against recall.</p>\n"
        '<div class="now"><span>At these thresholds</span> '
        '<span>F1 score <b data-mean="f1"></b></span> <span>Average precision <b '
        'data-mean="precision"></b></span> '
        '<span>Overall recall <b data-mean="recall"></b></span>'
        '<label>All labels <input type="range" id="every" min="0" max="100" step="1" value="50"></label>'
        '<button type="button" id="reset">Assumed thresholds</button></div>\n'
        f'<div class="cards">{cards}</div></section>'
    )


def data_block(result: ResultFields, scores: Mapping[str, ScoredLabel]) -> str:
    """What the script of the page counts with, as JSON that cannot end its element."""
    labels = chosen_labels(result, scores)
    shown = [_numbers(result, label, scores[label]) for label in labels]
    others = [
        [found.f1, found.precision, found.recall]
        for label, found in result.labels.items()
        if label not in set(labels)
    ]
    content = json.dumps({"labels": shown, "others": others}, separators=(",", ":"))
    return content.replace("<", "\\u003c").replace("&", "\\u0026")


def _numbers(result: ResultFields, label: str, scored: ScoredLabel) -> dict[str, Any]:
    counts = [scored.counts(step / _STEPS) for step in range(_STEPS + 1)]
    found = result.labels[label]
    return {
        "threshold": found.threshold,
        "assumed": [found.f1, found.precision, found.recall],
        "support": scored.support,
        "complete_from": math.ceil(scored.complete_from * _STEPS - 1e-9),
        "right": [one.true_positives for one in counts],
        "wrong": [one.false_positives for one in counts],
    }


def _card(number: int, label: str, result: ResultFields, scored: ScoredLabel) -> str:
    found = result.labels[label]
    at = 50 if found.threshold is None else round(100 * found.threshold)
    least = min(100, math.ceil(scored.complete_from * _STEPS - 1e-9))
    threshold = format_number(found.threshold)
    name = label_text(label)
    return (
        f'<div class="card" data-label="{number}"><h3><bdi>{name}</bdi></h3>'
        f'<svg viewBox="-4 -4 108 108" role="img" aria-label="Precision-recall curve of {name}">'
        '<path class="axes" d="M0 0V100H100M0 50H100M50 0V100M0 0H100V100"/>'
        f'<path class="curve" d="{_path(scored)}"/>{_dot(found.precision, found.recall)}</svg>'
        f'<label>Threshold <output>{threshold}</output><input type="range" min="{least}" max="100" step="1" '
        f'value="{max(least, at)}" aria-label="Threshold of {name}"></label>'
        f'<dl><div><dt>F1</dt><dd data-metric="f1">{format_number(found.f1)}</dd></div>'
        f'<div><dt>Precision</dt><dd data-metric="precision">{format_number(found.precision)}</dd></div>'
        f'<div><dt>Recall</dt><dd data-metric="recall">{format_number(found.recall)}</dd></div></dl>'
        f"<p>{_average(scored)}</p></div>\n"
    )


def _average(scored: ScoredLabel) -> str:
    average = format_number(scored.average_precision())
    limit = " at most" if scored.complete_from else ""
    return f"{escape(str(scored.support))} in the test images, average precision (area){limit} {average}"


def _path(scored: ScoredLabel) -> str:
    points = [
        (counts.recall, counts.precision)
        for _, counts in scored.curve()
        if counts.recall is not None and counts.precision is not None
    ]
    step = max(1, math.ceil(len(points) / _POINTS))
    kept = points[::step] + ([points[-1]] if points else [])
    return (
        "M" + "L".join(f"{100 * recall:.1f} {100 - 100 * precision:.1f}" for recall, precision in kept)
        if kept
        else ""
    )


def _dot(precision: float | None, recall: float | None) -> str:
    hidden = ' visibility="hidden"' if precision is None or recall is None else ""
    return f'<circle r="3.5" cx="{100 * (recall or 0):.1f}" cy="{100 - 100 * (precision or 0):.1f}"{hidden}/>'


_MOST = 24
_MOST_ISSUES = 12
_SHOWN = 4
_SURE = 0.5
_KEY = '<span class="key true">what is there</span> <span class="key false">what was found wrongly</span>'


def worst_mistakes(mistakes: Sequence[Mistake], read: Callable[[str], bytes] | None) -> str:
    """The images with the mistakes that the model was surest of."""
    images: dict[int, EvaluatedImage] = {}
    for mistake in mistakes:
        images.setdefault(id(mistake.image), mistake.image)
        if len(images) == _MOST:
            break
    if not images:
        return "<h2>Mistakes</h2>\n<p>None on the test images, at the assumed thresholds.</p>"
    thumbnails = Thumbnails(read)
    figures = "".join(
        _figure(
            image,
            thumbnails,
            [_told(verdict.label, verdict.kind, verdict.confidence) for verdict in image.mistakes],
        )
        for image in images.values()
    )
    boxed = any(image.is_detection for image in images.values())
    return (
        f"<h2>Mistakes</h2>\n<p>{len(mistakes):,} in all; the images with those that the model was surest of "
        f'come first. {_KEY if boxed else ""}</p>\n<div class="figures">{figures}</div>'
    )


def disputed_labels(issues: Sequence[LabelIssue], read: Callable[[str], bytes] | None) -> str:
    """The images whose label is most likely wrong itself."""
    sure = [issue for issue in issues if issue.score >= _SURE][:_MOST_ISSUES]
    if not sure:
        return ""
    thumbnails = Thumbnails(read)
    figures = "".join(_figure(issue.image, thumbnails, [_disputed(issue)]) for issue in sure)
    return (
        "<h2>Labels to look at</h2>\n<p>The model disputes these labels most. Some of them may be wrong in "
        "the "
        f'test dataset, and not in the model.</p>\n<div class="figures">{figures}</div>'
    )


def _figure(image: EvaluatedImage, thumbnails: Thumbnails, texts: list[str]) -> str:
    picture = thumbnails.make(image.source)
    if picture is not None:
        shown = f'<img src="{picture}" alt="" loading="lazy">'
    else:
        shown = f'<span class="none">{escape(thumbnails.problem or "no picture")}</span>'
    name = label_text(image.source.rsplit("/", 1)[-1])
    more = f"<li>and {len(texts) - _SHOWN} more</li>" if len(texts) > _SHOWN else ""
    told = "".join(f"<li>{text}</li>" for text in texts[:_SHOWN]) + more
    truths = (
        ", ".join(f"<bdi>{label_text(label)}</bdi>" for label in dict.fromkeys(image.truths)) or "nothing"
    )
    return (
        f'<figure><div class="picture">{shown}{_boxes(image)}</div><figcaption>'
        f'<ul>{told}</ul><p>Labelled {truths}</p><p class="name" title="{label_text(image.source)}">'
        f"<bdi>{name}</bdi></p></figcaption></figure>\n"
    )


def _boxes(image: EvaluatedImage) -> str:
    if image.size is None or not image.size.width or not image.size.height:
        return ""
    wrong = [one.box for one in image.verdicts if one.kind == "false positive" and one.box is not None]
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


def _told(label: str, kind: str, confidence: float) -> str:
    name = f"<b><bdi>{label_text(label)}</bdi></b>"
    if kind == "false positive":
        return f"{name} found, not there ({confidence:.2f})"
    return f"{name} not found ({confidence:.2f})"


def _disputed(issue: LabelIssue) -> str:
    suggestion = f"<b><bdi>{label_text(issue.suggestion or '')}</bdi></b>"
    if issue.label is None:
        return f"{suggestion} may be missing"
    if issue.suggestion is None:
        return f"<b><bdi>{label_text(issue.label)}</bdi></b> may not be there"
    return f"rather {suggestion}?"


_SIDE = 360
_QUALITY = 72
_MOST_PIXELS = 64_000_000
"""An image that claims to be larger than the service takes is not decoded."""


class Thumbnails:
    """Makes data URIs of images that are read by their URI.

    Args:
        read: Gives the bytes of an image; None where there is no way to them.
    """

    def __init__(self, read: Callable[[str], bytes] | None) -> None:
        self._read = read
        self._pillow: Any = None
        self.problem: str | None = None
        """Why the last image has no picture."""
        if read is not None:
            try:
                self._pillow = import_module("PIL.Image")
                self._operations: Any = import_module("PIL.ImageOps")
            except ImportError:
                self._read = None
                self.problem = "for pictures, pip install 'rekolabels[report]'"

    def make(self, source: str) -> str | None:
        """A small JPEG as a data URI; None where there is none, for which ``problem`` has the reason."""
        if self._read is None:
            return None
        self.problem = None
        try:
            data = self._read(source)
        except Exception as error:  # noqa: BLE001 - a page without one picture is better than no page
            self.problem = f"the image cannot be read ({type(error).__name__})"
            return None
        try:
            return self._encode(data)
        except Exception:  # noqa: BLE001 - Pillow raises many kinds for damaged images
            self.problem = "this is no image that can be shown"
            return None

    def _encode(self, data: bytes) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged EXIF, of large images
            image = self._pillow.open(io.BytesIO(data), formats=("JPEG", "PNG"))
            if image.width * image.height > _MOST_PIXELS:
                raise ValueError("too large")
            image.draft("RGB", (2 * _SIDE, 2 * _SIDE))
            image = self._operations.exif_transpose(image)
            image = self._flat(image)
            image.thumbnail((_SIDE, _SIDE))
            target = io.BytesIO()
            image.save(target, "JPEG", quality=_QUALITY)
        return f"data:image/jpeg;base64,{base64.b64encode(target.getvalue()).decode('ascii')}"

    def _flat(self, image: Any) -> Any:
        """Without transparency, on white."""
        if image.mode in {"RGBA", "LA", "P"}:
            layered = image.convert("RGBA")
            ground = self._pillow.new("RGBA", layered.size, "white")
            return self._pillow.alpha_composite(ground, layered).convert("RGB")
        return image.convert("RGB")


def label_text(text: str) -> str:
    """Escape a label or name; signs that cannot be shown are spelled out."""
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )
    return escape(shown, quote=True)
