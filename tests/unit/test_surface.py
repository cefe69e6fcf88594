"""What is public: the names that the reference lists, all of them, and no others."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from typing import Any

import attrs
import pytest

import rekolabels

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
DIRECTIVE = re.compile(r"^\.\. auto(\w+):: (\S+)\n((?:   :.*\n)*)", re.MULTILINE)
OPTIONS: dict[str, object] = {
    "group_by": None,
    "kms_key_id": None,
    "max_inference_units": None,
    "max_results": None,
    "min_confidence": None,
    "min_inference_units": 1,
    "near_duplicates": False,
    "on_progress": None,
    "output": None,
    "policy": None,
    "seed": 0,
    "tags": None,
    "test": 0.2,
    "timeout": None,
    "wait": True,
}
"""What options mean when they are left out."""
NOT_LISTED = re.compile(r":exclude-members: (.*)")


def public_modules() -> list[str]:
    """Every module that can be named without an underscore."""
    found = [name for _, name, _ in pkgutil.walk_packages(rekolabels.__path__, "rekolabels.")]
    return ["rekolabels", *[name for name in found if "._" not in name and not name.endswith("__main__")]]


def place(name: str) -> tuple[str, str]:
    """Where a name is defined: the same for all the names of one object."""
    module, _, attribute = name.rpartition(".")
    value = getattr(importlib.import_module(module), attribute)
    if inspect.isclass(value) or inspect.isfunction(value):
        return value.__module__, value.__qualname__
    return module, attribute


def listed() -> list[str]:
    """Every name that the reference documents, by its full path."""
    names: list[str] = []
    pages = "".join(page.read_text(encoding="utf-8") for page in sorted(REFERENCE.glob("*.md")))
    for kind, target, options in DIRECTIVE.findall(pages):
        if kind == "module":
            left_out = NOT_LISTED.search(options)
            spared = set(left_out[1].split(", ")) if left_out else set[str]()
            exported: list[str] = importlib.import_module(target).__all__
            names += [f"{target}.{name}" for name in exported if name not in spared]
        else:
            names.append(target)
    return names


def callables() -> dict[str, inspect.Signature]:
    """Every public function and method with its signature; constructors of values are their fields."""
    found: dict[str, inspect.Signature] = {}
    for name in listed():
        module, _, attribute = name.rpartition(".")
        value: Any = getattr(importlib.import_module(module), attribute)
        if inspect.isfunction(value):
            found[attribute] = inspect.signature(value)
        elif inspect.isclass(value) and not issubclass(value, BaseException):
            made = {"__call__"} if attrs.has(value) else {"__call__", "__init__"}
            for method in dir(value):
                code = inspect.getattr_static(value, method, None)
                plain: Any = code.__func__ if isinstance(code, (classmethod, staticmethod)) else code
                if inspect.isfunction(plain) and (method in made or not method.startswith("_")):
                    found[f"{attribute}.{method}"] = inspect.signature(plain)
    return found


def in_order(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions, each by its name."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def test_the_reference_lists_what_is_public() -> None:
    """Each name of each public module is documented, once, and nothing else is."""
    exported = {
        place(f"{module}.{name}")
        for module in public_modules()
        for name in importlib.import_module(module).__all__
    }
    documented = [place(name) for name in listed()]
    assert sorted(documented) == sorted(exported)


def test_documented_names_can_be_imported() -> None:
    """No name of the reference needs a module with an underscore."""
    assert [name for name in listed() if "._" in name] == []


@pytest.mark.parametrize("module", public_modules())
def test_names_are_sorted(module: str) -> None:
    """Every module says what it exports, in order, and has it."""
    room = importlib.import_module(module)
    assert sorted(room.__all__, key=in_order) == list(room.__all__)
    assert [name for name in room.__all__ if not hasattr(room, name)] == []


@pytest.mark.parametrize(("option", "default"), OPTIONS.items())
def test_an_option_is_the_same_everywhere(option: str, default: object) -> None:
    """Whatever takes it takes it by name, and leaves it out in the same sense."""
    takers = {
        name: signature.parameters[option]
        for name, signature in callables().items()
        if option in signature.parameters
        and signature.parameters[option].default is not inspect.Parameter.empty
    }
    assert len(takers) > 1
    assert {name: (one.kind.description, one.default) for name, one in takers.items()} == dict.fromkeys(
        takers, ("keyword-only", default)
    )


def test_paths_are_paths() -> None:
    """Whatever takes a path takes text and path objects alike."""
    kinds = {
        str(one.annotation).removesuffix(" | None")
        for signature in callables().values()
        for one in signature.parameters.values()
        if one.name in {"path", "folder", "journal"}
    }
    assert kinds == {"str | os.PathLike[str]"}
