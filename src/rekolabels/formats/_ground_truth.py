"""The output of SageMaker Ground Truth jobs as it comes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rekolabels.errors import InvalidManifest
from rekolabels.formats._common import as_dict
from rekolabels.formats._files import reading
from rekolabels.formats._problems import OnProblem, Report, log_problem, shown
from rekolabels.manifest import parse_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rekolabels.images import LabelledImage

__all__ = ["read_ground_truth"]

_SUFFIX = "-metadata"
_CLASSIFICATION = "groundtruth/image-classification"
_USABLE = frozenset({_CLASSIFICATION, "groundtruth/object-detection"})
_MOST_BYTES = 4_000_000  # more than the 100,000 characters of a line can take, with room for what is dropped


def read_ground_truth(
    path: str | os.PathLike[str], *, on_problem: OnProblem = log_problem
) -> Iterator[LabelledImage]:
    """Read ``output.manifest`` of a Ground Truth job: classification, multi-label, or bounding boxes.

    Classification and bounding boxes are lines of a manifest already. Multi-label lines, which the service
    does not take, are transformed as the guide says: one attribute for each class, of the type of image
    classification. Lines of a failed task (``failure-reason``), and attributes of other jobs (segmentation,
    verification), are reported; an image that keeps no label is left out.

    Args:
        path: The file, ``<job>/manifests/output/output.manifest``.
        on_problem: Called with a :class:`Problem` for each flaw; by default it is logged.

    Yields:
        One image a line, with the keys of its line in ``attributes``.

    Raises:
        InvalidInput: The file cannot be read, or is not UTF-8 text.
    """
    report = Report(os.fspath(path), on_problem)
    with reading(path), Path(path).open("rb") as file:
        number = 0
        while raw := file.readline(_MOST_BYTES + 1):
            number += 1
            if len(raw) > _MOST_BYTES:
                report("the line is too long for a manifest", line=number, lost="image")
                while raw and not raw.endswith(b"\n"):
                    raw = file.readline(_MOST_BYTES)
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
        report("not UTF-8 text", fix="Remove the line.", line=number, lost="image")
        return None
    except (ValueError, RecursionError) as error:
        report(f"not JSON: {shown(error)}", fix="Remove the line.", line=number, lost="image")
        return None
    if not isinstance(members, dict):
        report("not a JSON object", fix="Remove the line.", line=number, lost="image")
        return None
    entries = as_dict(members) or {}
    kept, changed, problems = _usable(entries)
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
        report(str(error).rstrip("."), fix="Mend or remove the line.", line=number, lost="image")
        return None


def _usable(entries: dict[str, Any]) -> tuple[dict[str, Any], set[str], list[str]]:
    """Look at each attribute of a line.

    Returns:
        The pairs that the service takes; the keys that they replace or that cannot be used; what is wrong.
    """
    kept: dict[str, Any] = {}
    changed: set[str] = set()
    problems: list[str] = []
    for key, metadata in entries.items():
        about = as_dict(metadata)
        if not key.endswith(_SUFFIX) or about is None:
            continue
        attribute, kind = key.removesuffix(_SUFFIX), about.get("type")
        if "failure-reason" in about or attribute not in entries:
            reason = about.get("failure-reason", "the label attribute is missing")
            problems.append(f"the task {shown(repr(attribute))} failed: {shown(reason)}")
            changed |= {attribute, key}
        elif isinstance(entries[attribute], list) and str(kind).startswith(_CLASSIFICATION):
            pairs, wrong = _multi_label(attribute, entries[attribute], about)
            kept |= pairs
            problems += wrong
            changed |= {attribute, key}
        elif kind in _USABLE:
            kept |= {attribute: entries[attribute], key: about}
        elif str(kind).startswith("groundtruth/"):
            verdict = f" ({shown(about['class-name'])})" if "class-name" in about else ""
            problems.append(
                f"{shown(repr(attribute))} is of a job that Custom Labels does not take: "
                f"{shown(kind)}{verdict}"
            )
            changed |= {attribute, key}
    return kept, changed, problems


def _multi_label(attribute: str, ids: list[Any], about: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """One pair for each class, in the order of the list; the value is its index."""
    names = as_dict(about.get("class-map")) or {}
    confidences = as_dict(about.get("confidence-map")) or {}
    pairs: dict[str, Any] = {}
    problems: list[str] = []
    for index, number in enumerate(ids):
        name = names.get(str(number))
        if not isinstance(name, str):
            problems.append(
                f"class {shown(repr(number))} of {shown(repr(attribute))} is not in its class-map"
            )
            continue
        confidence = confidences.get(str(number), 1)
        copied = {key: about[key] for key in ("job-name", "human-annotated", "creation-date") if key in about}
        pairs[f"{attribute}{index}"] = index
        pairs[f"{attribute}{index}{_SUFFIX}"] = {
            "class-name": name,
            "confidence": confidence,
            "type": _CLASSIFICATION,
            **copied,
        }
    if not ids:
        problems.append(f"{shown(repr(attribute))} has no class")
    return pairs, problems
