"""The public callables of rekolabels, and calls of them with values of the wrong type.

``public_callables`` walks the ``__all__`` of modules and the public methods of their classes. ``call`` makes
one call, which may neither hang nor raise another error than ours.
"""

from __future__ import annotations

import datetime as dt
import inspect
import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from hypothesis import strategies as st

from rekolabels.errors import RekolabelsError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PublicCallable", "call", "calls_of", "public_callables", "wrong_values"]

_TIMEOUT = 60.0
"""Seconds after which a call counts as hanging."""
_MAX_RESULTS = 3


@attrs.frozen
class PublicCallable:
    """A function, a constructor, or a method of a public class."""

    name: str
    """Full name, such as ``rekolabels.Client.create_project``."""
    owner: type | None
    """Class of an instance that the method needs; None for functions, constructors and class methods."""
    function: Callable[..., object] = attrs.field(repr=False)
    """The function; the first argument of a method is the instance."""
    parameters: tuple[inspect.Parameter, ...] = attrs.field(repr=False)
    """Its parameters, without ``self``."""


def public_callables(*modules: str) -> list[PublicCallable]:
    """Return the callables in the ``__all__`` of modules; exceptions are left out."""
    found: list[PublicCallable] = []
    for module in modules:
        namespace = import_module(module)
        for name in namespace.__all__:
            value = getattr(namespace, name)
            if inspect.isclass(value):
                if not issubclass(value, BaseException):
                    found += _of_class(f"{module}.{name}", value)
            elif inspect.isfunction(value):
                found.append(_callable(f"{module}.{name}", None, value))
    return found


def _of_class(name: str, kind: type) -> Iterator[PublicCallable]:
    yield _callable(name, None, kind)
    for member in dir(kind):
        if member.startswith("_") and member != "__call__":
            continue
        raw = inspect.getattr_static(kind, member)
        if isinstance(raw, (classmethod, staticmethod)):
            yield _callable(f"{name}.{member}", None, getattr(kind, member))
        elif inspect.isfunction(raw) and raw.__module__.startswith("rekolabels"):
            yield _callable(f"{name}.{member}", kind, raw)


def _callable(name: str, owner: type | None, function: Callable[..., object]) -> PublicCallable:
    parameters = tuple(inspect.signature(function).parameters.values())
    return PublicCallable(name, owner, function, parameters[1:] if owner else parameters)


class Unhelpful:
    """An object without a useful representation or truth value, as arrays and data frames are."""

    def __repr__(self) -> str:
        raise ValueError("This has no representation.")

    def __bool__(self) -> bool:
        raise ValueError("This is neither true nor false.")


wrong_values: st.SearchStrategy[object] = st.one_of(
    st.sampled_from(
        [
            None,
            True,
            0,
            -1,
            10**400,
            0.5,
            float("nan"),
            float("inf"),
            1j,
            "",
            "a\0b",
            "\ud800",
            "no such thing",
            "s3://",
            "https://example.com/a.jpg",
            "arn:aws:rekognition:us-east-1:000000000000:project/nothing/1",
            b"",
            b"hello",
            [],
            [None],
            [[]],
            (1, 2),
            {1, 2},
            {},
            {1: 2},
            {"a": None},
            object(),
            object,
            Unhelpful(),
            print,
            len,
            ...,
            np.zeros((2, 2)),
            dt.timedelta(seconds=1),
            dt.datetime(2026, 1, 1),  # noqa: DTZ001 -- a time without a zone is a slip
            PurePosixPath("nowhere"),
        ]
    ),
    st.builds(iter, st.lists(st.integers(), max_size=2)),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.lists(st.text(max_size=3), max_size=2),
)
"""Values that no argument expects, or that are nearly what is expected."""


@st.composite
def calls_of(
    draw: st.DrawFn, found: PublicCallable, examples: Mapping[str, object] | None = None
) -> tuple[tuple[object, ...], dict[str, object]]:
    """Draw the arguments of a call: wrong values, or for some parameters a valid example.

    Args:
        draw: Given by hypothesis.
        found: What is called.
        examples: A valid value for parameters of these names.
    """
    valid = examples or {}
    positional: list[object] = []
    named: dict[str, object] = {}
    for parameter in found.parameters:
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            continue
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            positional += draw(st.lists(wrong_values, max_size=2))
            continue
        if parameter.default is not inspect.Parameter.empty and not draw(st.booleans()):
            continue
        use_example = parameter.name in valid and draw(st.booleans())
        value = valid[parameter.name] if use_example else draw(wrong_values)
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            positional.append(value)
        else:
            named[parameter.name] = value
    if positional and any(
        parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in found.parameters
    ):
        before = [
            parameter.name for parameter in found.parameters if parameter.kind.name.startswith("POSITIONAL")
        ]
        positional = [*(named.pop(name) for name in before if name in named), *positional]
    return tuple(positional), named


def call(
    found: PublicCallable,
    instance: object,
    positional: tuple[object, ...],
    named: dict[str, object],
) -> RekolabelsError | None:
    """Make a call in a thread of its own, and return its error.

    Iterators are read, and what was opened is closed.

    Raises:
        AssertionError: The call hangs.
        Exception: It raised another error than ours.
    """
    raised: list[BaseException] = []

    def run() -> None:
        arguments = positional if found.owner is None else (instance, *positional)
        try:
            result: Any = found.function(*arguments, **named)
            if isinstance(result, Iterator):
                for _ in zip(range(_MAX_RESULTS), result, strict=False):
                    pass
            if hasattr(result, "close"):
                result.close()
        except BaseException as error:  # noqa: BLE001 -- raised again in the thread of the test
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_TIMEOUT)
    assert not thread.is_alive(), f"{found.name} hangs with {positional} and {named}"
    error = raised[0] if raised else None
    if error is not None and not isinstance(error, RekolabelsError):
        raise error
    return error
