"""The part of a page that shows the worst mistakes: images with boxes, and what is wrong."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from rekolabels.evaluation._report._page_text import label_text
from rekolabels.evaluation._report._thumbnails import Thumbnails

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rekolabels.evaluation._evaluated import EvaluatedImage, Mistake
    from rekolabels.evaluation._label_issues import LabelIssue
    from rekolabels.images import BoundingBox

__all__ = ["disputed_labels", "worst_mistakes"]

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
