"""The public API: the reference documents every public name and member, and no others."""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import pkgutil
import re
import textwrap
from pathlib import Path
from typing import Any

import attrs
import pytest

import rekolabels
from public_names import REFERENCE, listed, resolve

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
"""Options that several functions have, with their defaults."""


def public_modules() -> list[str]:
    """Return the modules whose names have no underscore."""
    found = [name for _, name, _ in pkgutil.walk_packages(rekolabels.__path__, "rekolabels.")]
    return ["rekolabels", *[name for name in found if "._" not in name and not name.endswith("__main__")]]


def place(name: str) -> tuple[str, str]:
    """Return where an object is defined, which is the same for all of its names."""
    module, _, attribute = name.rpartition(".")
    value = getattr(importlib.import_module(module), attribute)
    if inspect.isclass(value) or inspect.isfunction(value):
        return value.__module__, value.__qualname__
    return module, attribute


def callables() -> dict[str, inspect.Signature]:
    """Return the signatures of the public functions and methods; constructors of values are their fields."""
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


def sources(cls: type) -> list[ast.ClassDef]:
    """Return the parsed source of a class and of its base classes, except those of Python."""
    own = [base for base in cls.__mro__ if base.__module__.partition(".")[0] == "rekolabels"]
    parsed = [ast.parse(textwrap.dedent(inspect.getsource(base))).body[0] for base in own]
    return [node for node in parsed if isinstance(node, ast.ClassDef)]


def offered_members(cls: type) -> set[str]:
    """Return what ``dir()`` gives of a class and its instances, without Python's own and private names."""
    assigned = {
        node.attr
        for source in sources(cls)
        for node in ast.walk(source)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        if isinstance(node.value, ast.Name) and node.value.id == "self"
    }
    of_python = {
        name
        for base in cls.__mro__
        if base.__module__.partition(".")[0] != "rekolabels"
        for name in vars(base)
    }
    return {name for name in {*dir(cls), *assigned} - of_python if not name.startswith("_")}


def documented_members(cls: type) -> set[str]:
    """Return what Sphinx finds: docstrings of members, and the sections ``Attributes`` and ``Args``."""
    names: set[str] = set()
    for source in sources(cls):
        methods = [node for node in source.body if isinstance(node, ast.FunctionDef)]
        parts: list[ast.ClassDef | ast.FunctionDef] = [source, *methods]
        names |= {method.name for method in methods if ast.get_docstring(method)}
        for part in parts:
            for node, following in itertools.pairwise(part.body):
                targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
                if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                    names |= {getattr(target, "attr", getattr(target, "id", "_")) for target in targets}
        sections = (
            r"^(?:Attributes|Args):\n((?:    .*\n?|\n)*)"
            if attrs.has(cls)
            else r"^Attributes:\n((?:    .*\n?|\n)*)"
        )
        for section in re.findall(sections, ast.get_docstring(source) or "", re.MULTILINE):
            names |= set(re.findall(r"^    (\w+)(?= ?[:(])", section, re.MULTILINE))
    return {name for name in names if not name.startswith("_")}


def in_order(name: str) -> tuple[int, str]:
    """Sort constants first, then classes, then functions, each by name."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def test_the_reference_lists_what_is_public() -> None:
    """Each name of each public module is documented exactly once, and nothing else is."""
    exported = {
        place(f"{module}.{name}")
        for module in public_modules()
        for name in importlib.import_module(module).__all__
    }
    documented = [place(name) for name in listed()]
    assert sorted(documented) == sorted(exported)


@pytest.mark.parametrize("name", [name for name in listed() if inspect.isclass(resolve(name))])
def test_members_are_documented(name: str) -> None:
    """Autocompletion on a public class and its instances offers exactly what the reference documents."""
    cls = resolve(name)
    assert offered_members(cls) == documented_members(cls)


@pytest.mark.parametrize("name", ["Project", "Dataset", "ModelVersion", "RunningModel"])
def test_inherited_members_are_shown(name: str) -> None:
    """The reference shows what handles inherit from private base classes."""
    pages = "".join(page.read_text(encoding="utf-8") for page in sorted(REFERENCE.glob("*.md")))
    assert f".. autoclass:: rekolabels.{name}\n   :inherited-members:\n" in pages


def test_returned_types_are_documented() -> None:
    """Every class of ours that a public function returns is in the reference."""
    ours = {
        node.name
        for path in Path(rekolabels.__path__[0]).rglob("*.py")
        for node in ast.parse(path.read_bytes()).body
        if isinstance(node, ast.ClassDef)
    }
    names = {name.rpartition(".")[2] for name in listed()}
    returned = {
        word
        for signature in callables().values()
        for word in re.findall(r"\w+", str(signature.return_annotation))
    }
    assert returned & ours <= names


def test_documented_names_can_be_imported() -> None:
    """No documented name is in a module with an underscore."""
    assert [name for name in listed() if "._" in name] == []


@pytest.mark.parametrize("module", public_modules())
def test_names_are_sorted(module: str) -> None:
    """Every public module has a sorted ``__all__``, whose names exist."""
    loaded = importlib.import_module(module)
    assert sorted(loaded.__all__, key=in_order) == list(loaded.__all__)
    assert [name for name in loaded.__all__ if not hasattr(loaded, name)] == []


@pytest.mark.parametrize(("option", "default"), OPTIONS.items())
def test_an_option_is_the_same_everywhere(option: str, default: object) -> None:
    """Every function takes the option by keyword, with the same default."""
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
    """Parameters for paths accept strings and path objects."""
    kinds = {
        str(one.annotation).removesuffix(" | None")
        for signature in callables().values()
        for one in signature.parameters.values()
        if one.name in {"path", "folder", "journal"}
    }
    assert kinds == {"str | os.PathLike[str]"}


def test_the_package_offers_its_names_and_modules() -> None:
    """``dir(rekolabels)`` has public names and modules only."""
    offered = {name for name in dir(rekolabels) if not name.startswith(("_", "@"))}  # pytest adds @ names
    assert offered - set(rekolabels.__all__) <= {name.partition(".")[2] for name in public_modules()}
