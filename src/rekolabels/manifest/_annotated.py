"""Lines with what is wrong with them written into them, as the service gives them back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from rekolabels.manifest._label_attributes import SUFFIX, is_object, pairs_of
from rekolabels.manifest.codes import CODES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rekolabels.manifest._findings import Finding
    from rekolabels.manifest._rules import LineCheck

__all__ = ["dataset_entry", "validation_line"]

_MARKS: Final = ("errors", "warnings", "cl-errors")
_ON_THE_WIRE: Final = {"LINE_TOO_LONG": "ERROR_INVALID_JSON_LINE"}
"""What stands for a mistake that the service has no code for: the code of lines that it cannot read."""


def validation_line(check: LineCheck) -> str:
    """A line of a validation manifest: ``errors`` and ``warnings`` in the objects that they concern.

    A line that is no JSON object is replaced by one that holds the error alone. Marks of an earlier
    validation go: such files may be used as manifests.
    """
    members = {} if check.members is None else _unmarked(check.members)
    for finding in check.findings:
        level = CODES[finding.code].level
        if level != "ADVICE":
            name = "warnings" if level == "WARNING" else "errors"
            _object_at(members, finding.place).setdefault(name, []).append(_entry(finding))
    return _text(members)


def dataset_entry(check: LineCheck) -> str | None:
    """An entry of a dataset: ``cl-errors`` on the line and in metadata, ``cl-metadata`` beside them.

    Returns:
        The entry as ListDatasetEntries gives it, None when the dataset leaves the line out.
    """
    if check.members is None or check.dropped:
        return None
    members = _unmarked(check.members)
    members["cl-metadata"] = {"is_labeled": check.labelled}
    for finding in check.findings:
        if CODES[finding.code].in_dataset:
            errors: list[dict[str, str]] = _metadata_at(members, finding.place).setdefault("cl-errors", [])
            if _entry(finding) not in errors:
                errors.append(_entry(finding))
    return _text(members)


def _entry(finding: Finding) -> dict[str, str]:
    code = _ON_THE_WIRE.get(finding.code)
    if code is not None:
        return {"code": code, "message": CODES[code].message}
    return {"code": finding.code, "message": finding.message}


def _object_at(members: dict[str, Any], place: Sequence[str | int]) -> dict[str, Any]:
    """The object in which a finding is listed; the next one outside it where the line has no object there."""
    value: Any = members  # one step deeper each time
    found: dict[str, Any] = members
    for step in place:
        try:
            value = value[step]  # pyright: ignore[reportArgumentType] - a wrong step is caught
        except (KeyError, IndexError, TypeError):
            break  # such as an attribute that should be an object and is a number
        if is_object(value):
            found = value
    return found


def _metadata_at(members: dict[str, Any], place: tuple[str | int, ...]) -> dict[str, Any]:
    """Entries of datasets show the errors of an attribute and of its boxes in its metadata."""
    if not place:
        return members
    key = str(place[0])
    return _object_at(
        members, (key if key.endswith(SUFFIX) and key not in pairs_of(members) else key + SUFFIX,)
    )


def _unmarked(line: dict[str, Any]) -> dict[str, Any]:
    """A copy without the marks of an earlier check, deep enough to be marked anew."""
    members = {key: value for key, value in line.items() if key not in _MARKS and key != "cl-metadata"}
    for key in pairs_of(members):
        for name in (key, key + SUFFIX):
            members[name] = _without_marks(members[name])
        value = members[key]
        if is_object(value) and isinstance(value.get("annotations"), list):
            value["annotations"] = [_without_marks(annotation) for annotation in value["annotations"]]
    return members


def _without_marks(value: Any) -> Any:
    if not is_object(value):
        return value
    return {key: inner for key, inner in value.items() if key not in _MARKS}


def _text(members: dict[str, Any]) -> str:
    return json.dumps(members, separators=(",", ":"))
