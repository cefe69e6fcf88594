"""Fuzzing target ``model``: the loader of saved models, with files that an informed attacker changed.

An input joins a ``model.json`` and a ``model.npz``. After most changes the digest is updated, so that the
checks after the digest are reached. Findings are: an exception other than BrokenModel, code that runs, a file
that is opened for writing, or a loaded model that cannot predict.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import sys
import tempfile
import warnings
import zipfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fuzz_mutation as mutation
import numpy as np
from service_backends import picture

from rekolabels.images import BoundingBox
from rekolabels.local._engine import BrokenModel, Sample, load_model, train

if TYPE_CHECKING:
    from random import Random

_BREAK = b"\n\0\n"
_LABELS = ("blobs", "stripes")
_RUNS = frozenset({"exec", "pickle.find_class", "os.system", "subprocess.Popen", "import", "socket.connect"})
_ODD_NUMBERS = (np.nan, np.inf, -np.inf, 1e38, -1e38, 1e11, -1e11, 1e-38, 0)


class _Payload:
    """An object whose unpickling runs code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('a model ran code')",))


class ModelTarget:
    """Loads a model and predicts with it; counts models."""

    name = "model"
    unit = "models"

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._root = Path(self._folder.name)
        self._picture = picture("blobs", 1)
        self.seeds = [self._train(kind) for kind in ("single-label", "multi-label", "detection")]
        self._violations: list[str] = []
        self._watching = False
        for seed in self.seeds:  # import now what is imported on first use
            self.run(seed)
        sys.addaudithook(self._audit)

    def _train(self, kind: str) -> bytes:
        samples = []
        for label in _LABELS:
            for number in range(4):
                read = partial(picture, label, number)
                boxes = [BoundingBox(label, 16, 16, 32, 32)] if kind == "detection" else []
                both = {*_LABELS} if kind == "multi-label" and number == 0 else {label}
                labels = set() if boxes else both
                samples.append(Sample(f"{label}/{number}", read, labels=labels, boxes=boxes))
        folder = self._root / kind
        train(samples, samples).model.save(folder)
        return (folder / "model.json").read_bytes() + _BREAK + (folder / "model.npz").read_bytes()

    def mutate(self, data: bytes, rng: Random) -> bytes:
        """Change the description, the archive or one of its arrays; mostly update the digest."""
        text, _, archive = data.partition(_BREAK)
        match rng.randrange(6):
            case 0:
                return mutation.raw(data, rng)
            case 1:
                archive = mutation.raw(archive, rng)
            case 2 | 3:
                archive = _repacked(archive, rng)
            case _:
                text = mutation.json_text(text, rng)
        if rng.random() < 0.95:
            with suppress(ValueError, TypeError, RecursionError):
                text = json.dumps(
                    {**json.loads(text), "sha256": hashlib.sha256(archive).hexdigest()}
                ).encode()
        return text + _BREAK + archive

    def run(self, data: bytes) -> int:
        """Load a model and predict; return 1.

        Raises:
            Exception: Any exception is a finding.
        """
        text, _, archive = data.partition(_BREAK)
        folder = self._root / "model"
        folder.mkdir(exist_ok=True)
        (folder / "model.json").write_bytes(text)
        (folder / "model.npz").write_bytes(archive)
        self._watching = True
        try:
            with suppress(BrokenModel):
                for found in load_model(folder).predict(self._picture):
                    assert isinstance(found.label, str)
                    assert 0 <= found.confidence <= 1
        finally:
            self._watching = False
        assert not self._violations, self._violations
        return 1

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        ran = event in _RUNS
        wrote = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
        if self._watching and (ran or wrote):
            self._violations.append(f"{event} {arguments}")

    def close(self) -> None:
        """Remove the files."""
        self._folder.cleanup()


def _repacked(archive: bytes, rng: Random) -> bytes:
    """Return the archive with the file of one array changed, renamed, duplicated or pickled."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as source:
            members = [(name, source.read(name)) for name in source.namelist()]
        place = rng.randrange(len(members))
    except Exception:  # noqa: BLE001 - an earlier mutation damaged the archive
        return mutation.raw(archive, rng)
    name, content = members[place]
    match rng.randrange(4):
        case 0:
            name = mutation.text(name, rng).replace("\0", "") or "x"
        case 1:
            members.append((name, content))
        case _:
            content = _other_array(content, rng)
    members[place] = (name, content)
    packed = io.BytesIO()
    kind = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with warnings.catch_warnings(), zipfile.ZipFile(packed, "w", kind) as target:
        warnings.simplefilter("ignore")  # duplicate names are intended
        for each, data in members:
            target.writestr(each, data)
    return packed.getvalue()


def _other_array(content: bytes, rng: Random) -> bytes:
    """Return the file of an array with another header, other numbers, too many of them, or objects."""
    end = content.find(b"\n") + 1
    header, numbers = content[:end], content[end:]
    match rng.randrange(6):
        case 0:
            return mutation.raw(content, rng)
        case 1:
            return mutation.raw(header, rng) + numbers
        case 2:
            return pickle.dumps(_Payload())
        case 3:
            file = io.BytesIO()
            np.save(file, np.array([_Payload()], dtype=object), allow_pickle=True)
            return file.getvalue()
        case 4:
            kind = "<f8" if b"<f8" in header else "<f4"
            return header + np.full(len(numbers) // int(kind[2]), rng.choice(_ODD_NUMBERS), kind).tobytes()
        case _:
            return header + bytes(10_000_000)
