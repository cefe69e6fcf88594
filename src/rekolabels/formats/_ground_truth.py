"""Output manifests of SageMaker Ground Truth labeling jobs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rekolabels.errors import InvalidManifest
from rekolabels.formats._common import as_dict
from rekolabels.formats._files import reading
from rekolabels.formats._inputs import check_source
from rekolabels.formats._problems import OnProblem, Report, log_problem, printable, shown
from rekolabels.manifest import parse_line
from rekolabels.manifest.limits import LINE_LENGTH

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from rekolabels.images import LabelledImage

__all__ = ["read_ground_truth"]

_SUFFIX = "-metadata"
_CLASSIFICATION = "groundtruth/image-classification"
_SUPPORTED = frozenset({_CLASSIFICATION, "groundtruth/object-detection"})
_COMMON = ("job-name", "human-annotated", "creation-date")
"""Metadata of the job, which each class of an image gets."""
_MAX_LINE = 4_000_000
"""Bytes. A manifest line has at most 100,000 characters; the rest allows for attributes that are dropped."""


def read_ground_truth(
    path: str | os.PathLike[str], *, on_problem: OnProblem = log_problem
) -> Iterator[LabelledImage]:
    """Read the ``output.manifest`` of a Ground Truth job: classification, multi-label or bounding boxes.

    Classification and bounding box lines are manifest lines already. Custom Labels does not accept
    multi-label lines, so they are converted as the developer guide says: one image classification attribute
    per class. Lines of failed tasks (``failure-reason``) and attributes of other jobs (segmentation,
    verification) are reported; an image without any usable label is left out.

    Args:
        path: The file, ``<job>/manifests/output/output.manifest``.
        on_problem: Called with a :class:`Problem` for each flaw; by default flaws are logged.

    Yields:
        One image per line, with the keys of its line in ``attributes``.

    Raises:
        InvalidInput: The file cannot be read.
    """
    expected = "the path of an output.manifest of Ground Truth"
    name = check_source(path, on_problem, expected, suffix=".manifest")
    return _read(name, Report(name, on_problem))


def _read(path: str, report: Report) -> Iterator[LabelledImage]:
    with reading(path), Path(path).open("rb") as file:
        number = 0
        while raw := file.readline(_MAX_LINE + 1):
            number += 1
            if len(raw) > _MAX_LINE:
                report("The line is too long for a manifest", line=number, lost="image")
                while raw and not raw.endswith(b"\n"):
                    raw = file.readline(_MAX_LINE)
                continue
            image = _line(raw, number, report)
            if image is not None:
                yield image


def _line(raw: bytes, number: int, report: Report) -> LabelledImage | None:
    if raw.isspace():
        return None
    try:
        text = raw.decode("utf-8-sig").strip()
        members = json.loads(text)
    except UnicodeDecodeError:
        report("Not UTF-8 text", fix="Remove the line.", line=number, lost="image")
        return None
    except (ValueError, RecursionError) as error:
        report(f"Not JSON: {printable(error)}", fix="Remove the line.", line=number, lost="image")
        return None
    if not isinstance(members, dict):
        report("Not a JSON object", fix="Remove the line.", line=number, lost="image")
        return None
    entries = as_dict(members) or {}
    kept, changed, problems = _check_attributes(entries)
    for message in problems:
        report(message, line=number, lost="label" if kept else "image")
    if problems and not kept:
        return None
    try:
        if not changed:
            return parse_line(text, line=number)
        rest = {key: value for key, value in entries.items() if key not in changed}
        return parse_line(json.dumps({**rest, **kept}), line=number)
    except InvalidManifest as error:
        report.error(error, fix="Fix or remove the line.", line=number, lost="image")
        return None


def _check_attributes(entries: dict[str, Any]) -> tuple[dict[str, Any], set[str], list[str]]:
    """Check each label attribute of a line.

    Returns:
        The attributes that the service accepts, with their metadata; the keys that were replaced or cannot be
        used; and messages for the latter.
    """
    kept: dict[str, Any] = {}
    changed: set[str] = set()
    problems: list[str] = []
    for key, value in entries.items():
        metadata = as_dict(value)
        if not key.endswith(_SUFFIX) or metadata is None:
            continue
        attribute, kind = key.removesuffix(_SUFFIX), printable(metadata.get("type"))
        if "failure-reason" in metadata or attribute not in entries:
            reason = metadata.get("failure-reason", "the label attribute is missing")
            problems.append(f"The task {shown(attribute)} failed: {printable(reason)}")
            changed |= {attribute, key}
        elif isinstance(entries[attribute], list) and kind.startswith(_CLASSIFICATION):
            pairs, messages = _convert_multi_label(attribute, entries[attribute], metadata)
            kept |= pairs
            problems += messages
            changed |= {attribute, key}
        elif kind in _SUPPORTED:
            kept |= {attribute: entries[attribute], key: metadata}
        elif kind.startswith("groundtruth/"):
            class_name = f" ({printable(metadata['class-name'])})" if "class-name" in metadata else ""
            problems.append(
                f"{shown(attribute)} comes from a job type that Custom Labels does not support: "
                f"{kind}{class_name}"
            )
            changed |= {attribute, key}
    return kept, changed, problems


def _convert_multi_label(
    attribute: str, ids: list[Any], metadata: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Make one classification attribute per class, in the order of the list; its value is the index."""
    common = {key: metadata[key] for key in _COMMON if key in metadata}
    if len(ids) * len(json.dumps(common)) > LINE_LENGTH:
        return {}, [f"{shown(attribute)} has {len(ids):,} classes, too many for a manifest line"]
    names = as_dict(metadata.get("class-map")) or {}
    confidences = as_dict(metadata.get("confidence-map")) or {}
    pairs: dict[str, Any] = {}
    problems: list[str] = []
    for index, number in enumerate(ids):
        name = names.get(str(number))
        if not isinstance(name, str):
            problems.append(f"Class {shown(number)} of {shown(attribute)} is not in its class-map")
            continue
        confidence = confidences.get(str(number), 1)
        pairs[f"{attribute}{index}"] = index
        pairs[f"{attribute}{index}{_SUFFIX}"] = {
            "class-name": name,
            "confidence": confidence,
            "type": _CLASSIFICATION,
            **common,
        }
    if not ids:
        problems.append(f"{shown(attribute)} has no class")
    return pairs, problems
