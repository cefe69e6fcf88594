"""Check of images that are to become datasets, before anything is uploaded: all problems in one error."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import attrs

from rekolabels import _progress
from rekolabels._files import printable_name
from rekolabels._threads import map_bounded
from rekolabels.datasets._conversion import make_plan, require_pillow, resize_boxes, turn_boxes
from rekolabels.datasets._uploads import LocalImage
from rekolabels.errors import InvalidImage, InvalidInput
from rekolabels.images import Conversion, LabelledImage
from rekolabels.manifest._collection import Collection, is_local
from rekolabels.manifest._dataset_rules import list_names, similar_labels
from rekolabels.manifest._image_probe import MAX_DECODED_BYTES, Probe, probe, read_file
from rekolabels.manifest.limits import IMAGE_BYTES
from rekolabels.splits._groups import labels_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rekolabels.manifest._image_probe import Fault

__all__ = ["CheckedImages", "check_images", "report_conversions"]

_THREADS: Final = min(16, (os.cpu_count() or 1) + 2)
"""Files are read, hashed and decoded without Python's lock."""
_MAX_SHOWN: Final = 5
"""Files of each kind of problem, or conversions, that a message names."""
_FIXES: Final[Mapping[Fault, tuple[str, str, str]]] = {
    "unreadable": ("Not readable", "check the paths and permissions", ""),
    "damaged": ("Damaged or cut off", "copy or save them again", ""),
    "not an image": ("Not images", "leave them out", ""),
    "format": ("Other formats than JPEG and PNG", "use convert=True", "save them as JPEG or PNG"),
    "too large": ("Too large", "use convert=True, or scale them down", "scale them down"),
    "too small": ("Too small", "use larger versions of them", ""),
    "elongated": ("Too long and narrow", "crop them", ""),
}
"""Heading and fix of each kind of problem, in the order of the message; and the fix if ``convert`` is on."""

_log = logging.getLogger("rekolabels")


@attrs.frozen
class CheckedImages:
    """Images without problems."""

    images: tuple[LabelledImage, ...]
    """All images in the order given, without repetitions; local ones have a size."""
    local: Mapping[str, LocalImage]
    """The local images by path."""


def check_images(
    images: Sequence[LabelledImage],
    failure: str,
    *,
    convert: bool,
    check_rest: Callable[[Sequence[LabelledImage]], Iterable[str]] = lambda _: (),
) -> CheckedImages:
    """Read each local image once: check its format, its limits and whether it can be decoded, and hash it.

    Args:
        images: The images.
        failure: The beginning of the message, such as ``"Cannot create the datasets"``.
        convert: Whether to convert images that the service does not take.
        check_rest: Returns what is wrong with the images that have no problems. Called only if others have,
            to list it as well.

    Raises:
        InvalidImage: Some image files cannot be used. The error lists all other problems, too.
        InvalidInput: Labels and boxes are mixed, or a picture has different labels.
        MissingExtra: ``convert`` without Pillow.
    """
    if convert:
        require_pillow()
    problems = _Problems(failure, convert=convert)
    collection = Collection()
    kept: list[LabelledImage] = []
    local: dict[str, LocalImage] = {}
    other_sizes: list[str] = []
    inspect = functools.partial(_inspect, convert=convert)
    inspected = (
        map_bounded(inspect, images, workers=_THREADS) if any(map(is_local, images)) else map(inspect, images)
    )
    with _progress.bar("Checking images", total=len(images), unit="image") as bar:
        for image, found, checked in inspected:
            bar.update(1)
            earlier = collection.add(image, found.digest, usable=found.problem is None)
            if earlier is not None:
                _log.warning("%s and %s are the same file; it is used once.", earlier, image.source)
            elif found.problem is not None:
                problems.add(image, found)
            else:
                kept.append(image if checked is None else checked.image)
                if checked is not None:
                    local[image.source] = checked
                    if (other := _other_size(image, found)) is not None:
                        other_sizes.append(other)
    problems.raise_any(collection, kept, check_rest)
    _warn_of_similar_labels(kept)
    if other_sizes:
        _log.warning(
            "%d images with boxes have another size than stated. First: %s Boxes that were drawn before the "
            "EXIF orientation was applied are turned with the image. Check whether the others were drawn on "
            "resized copies.",
            len(other_sizes),
            other_sizes[0],
        )
    return CheckedImages(tuple(kept), local)


def report_conversions(checked: CheckedImages, on_conversion: Callable[[Conversion], object] | None) -> None:
    """Pass each conversion to a function; without one, log them and warn how many there are."""
    conversions = [
        Conversion(local.image.source, ", ".join(local.plan.reasons), local.plan.format, local.plan.size)
        for local in checked.local.values()
        if local.plan is not None
    ]
    for conversion in conversions:
        if on_conversion is not None:
            on_conversion(conversion)
        else:
            _log.info("Converting %s", conversion)
    if conversions and on_conversion is None:
        more = len(conversions) - _MAX_SHOWN
        _log.warning(
            "Converting %d of %d images: %s%s. on_conversion=print lists all.",
            len(conversions),
            len(checked.images),
            "; ".join(map(str, conversions[:_MAX_SHOWN])),
            f"; and {more} more" if more > 0 else "",
        )


def _inspect(image: LabelledImage, *, convert: bool) -> tuple[LabelledImage, Probe, LocalImage | None]:
    """Return an image, what is wrong with it, and the checked image if it is local and nothing is wrong."""
    if not is_local(image):
        return image, Probe(), None
    limit = MAX_DECODED_BYTES if convert else IMAGE_BYTES
    try:
        content = read_file(image.source, limit)
    except (OSError, ValueError) as error:  # ValueError: not a valid file name
        reason = getattr(error, "strerror", None) or error
        return image, Probe(f"the file cannot be read ({reason})", "unreadable", found=False), None
    if convert and len(content) > limit:
        return image, Probe(f"the file is larger than {limit >> 20} MB", "too large"), None
    plan = make_plan(content) if convert else None
    if plan is not None:
        digest = hashlib.sha256(content).hexdigest()
        if isinstance(plan, Probe):
            return image, attrs.evolve(plan, digest=digest), None
        converted = LocalImage.to_convert(resize_boxes(image, plan), digest, plan)
        return image, Probe(digest=digest), converted
    found = probe(content)
    if found.problem is not None:
        return image, found, None
    placed = image
    if found.size is not None:
        placed = turn_boxes(image, found.size, found.orientation)
        if placed.size is None:
            placed = attrs.evolve(placed, size=found.size)
    return image, found, LocalImage(placed, found.digest, len(content))


class _Problems:
    """The problems of image files, and the error that lists them."""

    def __init__(self, failure: str, *, convert: bool) -> None:
        self._failure = failure
        self._convert = convert
        self._counts: Counter[Fault] = Counter()
        self._shown: dict[Fault, list[str]] = {}
        self._images: list[LabelledImage] = []

    def add(self, image: LabelledImage, found: Probe) -> None:
        """Add an image whose file has a problem."""
        fault: Fault = found.fault or "damaged"
        self._images.append(image)
        self._counts[fault] += 1
        shown = self._shown.setdefault(fault, [])
        if len(shown) < _MAX_SHOWN:
            shown.append(f"{printable_name(image.source)}: {found.problem}")

    def raise_any(
        self,
        collection: Collection,
        good: Sequence[LabelledImage],
        check_rest: Callable[[Sequence[LabelledImage]], Iterable[str]],
    ) -> None:
        """Raise an error with all problems, if there are any."""
        others = collection.problems()
        if not self._images and not others:
            return
        others += check_rest(good)
        if not self._images and len(others) == 1:
            raise InvalidInput(f"{self._failure}: {others[0]} Nothing was uploaded.")
        count, total = len(self._images), collection.total
        summary = f"{count:,} of {total:,} images cannot be used" if count else "the images have problems"
        lines = [f"{self._failure}: {summary}. Nothing was uploaded.", *self._files(good)]
        message = "\n".join([*lines, *(f"  {text}" for text in others)])
        if not self._images:
            raise InvalidInput(message)
        raise InvalidImage(message, sources=[image.source for image in self._images])

    def _files(self, good: Sequence[LabelledImage]) -> Iterable[str]:
        for fault, (heading, fix, fix_when_converting) in _FIXES.items():
            count = self._counts[fault]
            if count:
                todo = (self._convert and fix_when_converting) or fix
                yield f"  {heading} ({count:,}): {todo}."
                yield from (f"    {text}" for text in self._shown[fault])
                if count > _MAX_SHOWN:
                    yield f"    and {count - _MAX_SHOWN:,} more"
        lost = _labels(self._images) - _labels(good)
        if lost:
            yield f"  All images of these labels are among them: {list_names(sorted(lost))}."
        if self._images:
            pick = "[i for i in images if i.source not in error.sources]"
            yield f"  To go on without them, read the images again and pass `{pick}`."


def _labels(images: Iterable[LabelledImage]) -> set[str]:
    return {str(label) for image in images for label in labels_of(image)}


def _other_size(image: LabelledImage, found: Probe) -> str | None:
    """Return how the size of an image with boxes differs from the stated one; None if it does not."""
    stated, true = image.size, found.size
    if not image.boxes or stated is None or true is None:
        return None
    if (stated.width, stated.height) == (true.width, true.height):
        return None
    return (
        f"{printable_name(image.source)} is said to have {stated.width} x {stated.height} pixels, but has "
        f"{true.width} x {true.height}."
    )


def _warn_of_similar_labels(images: Iterable[LabelledImage]) -> None:
    for names in similar_labels(_labels(images)):
        _log.warning(
            "The labels %s differ only in case, spaces or Unicode form; the model learns them as different "
            "labels.",
            " and ".join(names),
        )
