"""Checks of the ground truth and the predictions that users pass to an evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from rekolabels._arguments import check_fraction, check_items, invalid, shown
from rekolabels.errors import InvalidInput
from rekolabels.images import BoundingBox
from rekolabels.manifest._given_images import is_collection, is_mapping

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

__all__ = [
    "check_boxes",
    "check_candidates",
    "check_confidences",
    "check_labels",
    "check_per_image",
    "check_scores",
    "check_truths",
]

_SCORES = "a mapping from labels to confidences, such as {'cat': 0.9}"
_PAIRS = "a list of boxes with their confidences, such as [(BoundingBox(...), 0.9)]"


def check_labels(labels: object, images: int) -> list[str]:
    """Check the labels that a model knows: at least one, if there are images."""
    known = check_items("labels", labels, str, "a list of labels")
    if images and not known:
        raise invalid("labels", labels, "the labels that the model knows, at least one")
    return known


def check_per_image(truths: object, predictions: object) -> tuple[list[Any], list[Any]]:
    """Check that there is a prediction for each truth, and return both as lists."""
    for name, value in (("truths", truths), ("predictions", predictions)):
        if not is_collection(value):
            raise invalid(name, value, "a list with an entry for each image")
    listed = list(cast("Iterable[Any]", truths)), list(cast("Iterable[Any]", predictions))
    if len(listed[0]) != len(listed[1]):
        raise InvalidInput(
            f"Got {len(listed[0])} truths and {len(listed[1])} predictions; pass one of each per image."
        )
    return listed


def check_truths(truths: Iterable[object]) -> list[frozenset[str]]:
    """Check the true labels of each image, and return them."""
    return [
        frozenset(check_items(f"truths[{at}]", truth, str, "a list of labels"))
        for at, truth in enumerate(truths)
    ]


def check_confidences(name: str, values: object) -> list[float]:
    """Check a list of confidences, 0 to 1."""
    numbers: list[Any] = check_items(name, values, object, "a list of confidences from 0 to 1")
    if not _are_fractions(numbers):
        for at, number in enumerate(numbers):
            check_fraction(f"{name}[{at}]", number)
    return numbers


def _are_fractions(values: Collection[Any]) -> bool:
    try:  # in C, because there may be millions; the sum finds NaN
        return not values or bool(min(values) >= 0 and max(values) <= 1 and sum(values) >= 0)
    except (TypeError, ValueError):  # not numbers, or arrays
        return False


def check_scores(predictions: Iterable[object]) -> None:
    """Check the confidences of each image by label, 0 to 1."""
    for at, found in enumerate(predictions):
        if not is_mapping(found):
            raise invalid(f"predictions[{at}]", found, _SCORES)
        if not _are_fractions(found.values()):
            for label, confidence in found.items():
                check_fraction(f"predictions[{at}][{shown(label)}]", confidence)


def check_boxes(truths: Iterable[object]) -> list[list[BoundingBox]]:
    """Check the true boxes of each image, and return them."""
    return [
        check_items(f"truths[{at}]", boxes, BoundingBox, "a list of BoundingBox values")
        for at, boxes in enumerate(truths)
    ]


def check_candidates(predictions: Iterable[object]) -> list[list[tuple[BoundingBox, float]]]:
    """Check the predicted boxes of each image and their confidences, 0 to 1, and return them."""
    checked: list[list[tuple[BoundingBox, float]]] = []
    for at, found in enumerate(predictions):
        pairs: list[Any] = check_items(f"predictions[{at}]", found, (tuple, list), _PAIRS)  # pyright: ignore[reportUnknownVariableType] - checked below
        for number, pair in enumerate(pairs):
            if len(pair) != 2 or type(pair[0]) is not BoundingBox:  # noqa: PLR2004 - a pair
                name = f"predictions[{at}][{number}]"
                raise invalid(name, pair, "a box with its confidence, such as (BoundingBox(...), 0.9)")
            if type(pair[1]) is not float or not 0 <= pair[1] <= 1:
                check_fraction(f"predictions[{at}][{number}][1]", pair[1])
        checked.append(cast("list[tuple[BoundingBox, float]]", pairs))
    return checked
