"""Files of the engine: saved models, whose loading never runs code, and the feature cache."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from rekolabels.local._engine import BrokenModel, FeatureCache, load_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

np = pytest.importorskip("numpy", reason="the extra 'local' is not installed")

from rekolabels.local._engine._model_files import read_model, write_model  # noqa: E402 - it needs NumPy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a model."""
    arrays = {"weights": np.arange(6, dtype="<f8").reshape(2, 3), "bias": np.zeros(2, dtype="<f4")}
    write_model(tmp_path / "model", {"kind": "single-label", "labels": ["a", "b"]}, arrays)
    return tmp_path / "model"


def edit(folder: Path, **changes: Any) -> None:
    """Change entries of a model's ``model.json``."""
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def test_a_model_is_read_as_written(folder: Path) -> None:
    """Values, types and shapes are the same."""
    document, arrays = read_model(folder)

    assert document["labels"] == ["a", "b"]
    assert arrays["weights"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert arrays["bias"].dtype == np.dtype("<f4")
    assert {path.name for path in folder.iterdir()} == {"model.json", "model.npz"}


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    """The message names the folder."""
    with pytest.raises(BrokenModel, match="nowhere"):
        load_model(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["model.json", "model.npz"])
@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"PK\x03\x04 and so on", b"[" * 100_000])
def test_damaged_files_are_refused(folder: Path, name: str, data: bytes) -> None:
    """The error is always BrokenModel, never one of another library."""
    (folder / name).write_bytes(data)

    with pytest.raises(BrokenModel):
        load_model(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"sha256": "0" * 64},
        {"arrays": {}},
        {"arrays": {"weights": {"type": "|O", "shape": [1]}}},
        {"arrays": {"weights": {"type": "<f8", "shape": [-1]}}},
        {"arrays": {"weights": {"type": "<f8", "shape": [1 << 40]}}},
        {"arrays": {"weights": {"type": "<f8", "shape": [3, 2]}, "bias": {"type": "<f4", "shape": [2]}}},
        {"arrays": {"weights": {"type": "<f8", "shape": ["x"]}}},
        {"arrays": [1]},
    ],
)
def test_inconsistent_descriptions_are_refused(folder: Path, changes: dict[str, Any]) -> None:
    """Format, types, shapes, sizes and digest are checked before anything is used."""
    edit(folder, **changes)

    with pytest.raises(BrokenModel, match="damaged"):
        read_model(folder)


def test_pickles_are_not_read(folder: Path) -> None:
    """An archive with a pickled object is refused, not loaded."""
    import hashlib

    np.savez(folder / "model.npz", weights=np.array([{"a": 1}], dtype=object))
    digest = hashlib.sha256((folder / "model.npz").read_bytes()).hexdigest()
    edit(folder, sha256=digest, arrays={"weights": {"type": "<f8", "shape": [1]}})

    with pytest.raises(BrokenModel, match="pickle"):
        read_model(folder)


def repack(folder: Path, change: Callable[[bytes], bytes]) -> None:
    """Change the file of one array, and fix the digest, as an attacker would."""
    import hashlib
    import zipfile

    with zipfile.ZipFile(folder / "model.npz") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(folder / "model.npz", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, change(content) if name == "weights.npy" else content)
    edit(folder, sha256=hashlib.sha256((folder / "model.npz").read_bytes()).hexdigest())


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.replace(b"'shape': (2, 3)", b"'shape': (2, 3 "),
        lambda content: content.replace(b"(2, 3), }", b"(" * 9),
        lambda content: content[:20],
        lambda content: content[:-8] + np.array([1e300], "<f8").tobytes(),
        lambda content: content[:-8] + np.array([np.nan], "<f8").tobytes(),
    ],
)
def test_arrays_that_were_tampered_with_are_refused(folder: Path, change: Callable[[bytes], bytes]) -> None:
    """Invalid headers, truncated data, and numbers that are not finite or too large are refused."""
    repack(folder, change)

    with pytest.raises(BrokenModel, match="damaged"):
        read_model(folder)


def test_a_damaged_archive_with_the_right_digest_is_refused(folder: Path) -> None:
    """The digest only detects accidents: an attacker can fix it."""
    import hashlib

    path = folder / "model.npz"
    data = bytearray(path.read_bytes())
    for at in range(60, len(data) // 2, 7):
        data[at] ^= 0x55
    path.write_bytes(data)
    edit(folder, sha256=hashlib.sha256(data).hexdigest())

    with pytest.raises(BrokenModel, match="damaged"):
        read_model(folder)


@pytest.mark.parametrize("name", ["network", "scale", "labels", "kind"])
def test_models_of_another_version_are_refused(folder: Path, name: str) -> None:
    """Network, scale, labels and kind must match."""
    from rekolabels.local._engine._network import fingerprint

    edit(folder, **{"network": fingerprint(), "scale": "normal", name: "other"})

    with pytest.raises(BrokenModel, match="Train it again"):
        load_model(folder)


def test_the_cache_is_persistent(tmp_path: Path) -> None:
    """Values are found when the file is opened again."""
    with FeatureCache(tmp_path / "deep" / "features.sqlite") as cache:
        cache.put("a", b"1")
        cache.put("a", b"2")

    with FeatureCache(tmp_path / "deep" / "features.sqlite") as again:
        assert again.get("a") == b"2"
        assert again.get("b") is None


def test_a_damaged_cache_is_replaced(tmp_path: Path) -> None:
    """A damaged file is not an error: the cache only saves time."""
    path = tmp_path / "features.sqlite"
    path.write_bytes(b"not a database, whatever its name says" * 100)

    with FeatureCache(path) as cache:
        cache.put("a", b"1")
        assert cache.get("a") == b"1"


def test_the_cache_uses_memory_when_the_file_cannot_be_opened(tmp_path: Path) -> None:
    """Features are then cached until the cache is closed."""
    (tmp_path / "file").write_bytes(b"")

    with FeatureCache(tmp_path / "file" / "features.sqlite") as cache:
        cache.put("a", b"1")
        assert cache.get("a") == b"1"


def test_a_closed_cache_is_empty() -> None:
    """``get`` returns None and ``put`` does nothing, without an error."""
    cache = FeatureCache()
    cache.close()

    cache.put("a", b"1")

    assert cache.get("a") is None


def test_threads_and_connections_share_a_cache(tmp_path: Path) -> None:
    """Two caches on one file can be used by several threads at once."""
    path = tmp_path / "features.sqlite"
    with FeatureCache(path) as one, FeatureCache(path) as other:

        def work(number: int) -> None:
            for step in range(50):
                (one if number % 2 else other).put(f"{number}/{step}", b"x")

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert all(one.get(f"{number}/{step}") == b"x" for number in range(4) for step in range(50))
