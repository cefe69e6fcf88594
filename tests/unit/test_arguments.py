"""The checks of arguments that all public functions share."""

from __future__ import annotations

import datetime as dt
import sys
import warnings
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rekolabels._arguments import (
    check_callable,
    check_choice,
    check_file,
    check_flag,
    check_folder,
    check_fraction,
    check_instance,
    check_integer,
    check_items,
    check_limit,
    check_mapping,
    check_number,
    check_path,
    check_percentage,
    check_seconds,
    check_text,
    is_url,
    shown,
)
from rekolabels.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAN = float("nan")
INF = float("inf")


class Unprintable:
    """An object whose repr fails."""

    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("check", "value", "message"),
    [
        (check_text, "", "x is ''; expected text."),
        (check_text, None, "x is None; expected text."),
        (check_flag, "no", "x is 'no'; expected True or False."),
        (check_flag, 1, "x is 1; expected True or False."),
        (check_number, "5", "x is '5'; expected a number. Remove the quotes: x=5."),
        (check_number, "five", "x is 'five'; expected a number."),
        (check_number, NAN, "x is nan; expected a number."),
        (check_number, True, "x is True; expected a number."),
        (check_number, 10**400, "x is 100000000000000000...0000000000000000000; expected a number."),
        (check_number, Decimal("sNaN"), "x is Decimal('sNaN'); expected a number."),
        (check_integer, 1.5, "x is 1.5; expected a whole number."),
        (check_integer, "3", "x is '3'; expected a whole number. Remove the quotes: x=3."),
        (check_fraction, 90, "x is 90; expected a fraction from 0 to 1. For 90 %, use x=0.9."),
        (check_fraction, -1, "x is -1; expected a fraction from 0 to 1."),
        (check_fraction, "90", "x is '90'; expected a fraction from 0 to 1. Remove the quotes: x=90."),
        (check_percentage, 101, "x is 101; expected a percentage from 0 to 100."),
        (check_percentage, NAN, "x is nan; expected a percentage from 0 to 100."),
        (check_seconds, -1, "x is -1; expected a number of seconds, 0 or more, or None."),
        (
            check_seconds,
            dt.timedelta(hours=1),
            (
                "x is datetime.timedelta(seconds=3600); expected a number of seconds. "
                "Use x=value.total_seconds()."
            ),
        ),
        (check_limit, -1, "x is -1; expected a whole number, 0 or more, or None."),
        (check_path, "", "x is ''; expected the path of a file."),
        (
            check_path,
            "~/pics",
            "x is '~/pics'; expected the path of a file. Use Path('~/pics').expanduser().",
        ),
        (check_path, 3, "x is 3; expected the path of a file."),
        (check_path, "a\0b", r"x is 'a\x00b'; expected the path of a file."),
        (
            check_path,
            "https://a.com/a.jpg",
            "x is 'https://a.com/a.jpg'; expected the path of a file on this machine. Download it first.",
        ),
        (check_text, Unprintable(), "x is an object of type Unprintable; expected text."),
        (check_text, np.zeros((50, 50)), "x is an object of type ndarray; expected text."),
        (check_text, b"x" * 30, "x is b'xxxxxxxxxxxxxxxxxxxx'...; expected text."),
    ],
)
def test_a_wrong_value_is_named_with_the_fix(
    check: Callable[[str, object], object], value: object, message: str
) -> None:
    """The message names the argument, the value and what was expected."""
    with pytest.raises(InvalidInput) as raised:
        check("x", value)
    assert message == str(raised.value)


@pytest.mark.parametrize(
    ("check", "value", "expected"),
    [
        (check_number, Decimal("0.5"), 0.5),
        (check_number, Fraction(1, 4), 0.25),
        (check_number, np.float32(0.5), 0.5),
        (check_number, INF, INF),
        (check_integer, np.int64(3), 3),
        (check_flag, np.bool_(True), True),  # noqa: FBT003 -- what is tested
        (check_fraction, 1, 1),
        (check_percentage, 0, 0),
        (check_seconds, None, None),
        (check_limit, None, None),
        (check_limit, 0, 0),
        (check_limit, 10**30, sys.maxsize),
    ],
)
def test_other_number_types_become_those_of_python(
    check: Callable[[str, object], Any], value: object, expected: object
) -> None:
    """boto3 accepts only int and float."""
    found = check("x", value)
    assert (expected, type(expected)) == (found, type(found))


@pytest.mark.parametrize(
    ("value", "ending"),
    [
        ("training", " Did you mean 'train'?"),
        ("Test", " Did you mean 'test'?"),
        ("trian", " Did you mean 'train'?"),
        ("validation", " Did you mean 'test'?"),
        ("banana", ""),
        (3, ""),
    ],
)
def test_a_choice_suggests_what_was_meant(value: object, ending: str) -> None:
    """By its beginning, its spelling or a synonym; and not at all costs."""
    with pytest.raises(InvalidInput) as raised:
        check_choice("kind", value, ("train", "test"), {"validation": "test"})
    assert f"kind is {value!r}; expected 'train' or 'test'.{ending}" == str(raised.value)
    assert "test" == check_choice("kind", "test", ("train", "test"))


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"above": 0, "kind": "a number of seconds"}, "x is -1; expected a number of seconds, more than 0."),
        ({"above": 0, "at_most": 5}, "x is -1; expected a number, more than 0 and at most 5."),
        ({"at_least": 1_000}, "x is -1; expected a number, 1,000 or more."),
        ({"at_most": -2, "optional": True}, "x is -1; expected a number, -2 or less, or None."),
    ],
)
def test_ranges_are_named(limits: dict[str, Any], message: str) -> None:
    """The message says which numbers are allowed."""
    with pytest.raises(InvalidInput) as raised:
        check_number("x", -1, **limits)
    assert message == str(raised.value)


def test_integers_have_ranges_too() -> None:
    """From and to."""
    with pytest.raises(InvalidInput, match=r"port is 70000; expected a whole number from 0 to 65,535\."):
        check_integer("port", 70_000, at_least=0, at_most=65_535)


def test_items_are_checked_one_by_one() -> None:
    """A single element gets the list that was forgotten; a wrong element is named by its position."""
    assert ["a", "b"] == check_items("labels", iter(["a", "b"]), str, "a list of labels")
    for value, message in (
        ("cat", "labels is 'cat'; expected a list of labels. Use labels=['cat']."),
        (7, "labels is 7; expected a list of labels."),
        ({"cat": 1}, "labels is {'cat': 1}; expected a list of labels."),
        (["cat", 7], "labels[1] is 7; expected a list of labels."),
    ):
        with pytest.raises(InvalidInput) as raised:
            check_items("labels", value, str, "a list of labels")
        assert message == str(raised.value)


def test_mappings_have_text_only() -> None:
    """Keys and values."""
    assert {"a": "b"} == check_mapping("tags", {"a": "b"}, "tags")
    for value in ({"a": 1}, {1: "a"}, ["a"], "a", None):
        with pytest.raises(InvalidInput) as raised:
            check_mapping("tags", value, "a dict of text")
        assert f"tags is {value!r}; expected a dict of text." == str(raised.value)


def test_instances_and_callables() -> None:
    """The caller says what was expected."""
    assert 3 == check_instance("x", 3, int, "an int")
    assert print is check_callable("x", print, "a function")
    with pytest.raises(InvalidInput, match=r"x is 3; expected a str\. Quote it\."):
        check_instance("x", 3, str, "a str", "Quote it.")
    with pytest.raises(InvalidInput, match=r"x is 3; expected a function\."):
        check_callable("x", 3, "a function")


def test_a_missing_file_suggests_its_neighbour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files and folders: what exists is returned, and otherwise the message says what is there."""
    (tmp_path / "pics").mkdir()
    (tmp_path / "cat.jpg").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    assert tmp_path / "pics" == check_folder("x", tmp_path / "pics")
    assert tmp_path / "cat.jpg" == check_file("x", tmp_path / "cat.jpg")
    file, folder = "expected the path of a file.", "expected the path of a folder."
    here = f"The current folder is {tmp_path}."
    for check, value, message in (
        (check_folder, "pisc", f"x is 'pisc', which does not exist; {folder} Did you mean 'pics'?"),
        (check_folder, "cat.jpg", f"x is 'cat.jpg'; {folder} It is a file."),
        (check_file, "pics", f"x is 'pics'; {file} It is a folder."),
        (check_file, "zebra", f"x is 'zebra', which does not exist; {file} {here}"),
        (
            check_file,
            "no/zebra",
            f"x is 'no/zebra', which does not exist; {file} The folder 'no' does not exist either.",
        ),
        (check_file, "z" * 300, f"x is {shown('z' * 300)}, which does not exist; {file} {here}"),
    ):
        with pytest.raises(InvalidInput) as raised:
            check("x", value)
        assert message == str(raised.value)


def test_urls_are_told_from_paths() -> None:
    """A drive letter is not a scheme."""
    found = [is_url(text) for text in ("s3://b/k", "https://x", r"C:\pics", "C://pics", "pics", "://", 3)]
    assert [True, True, False, False, False, False, False] == found


def test_a_percentage_below_one_warns_where_it_was_written() -> None:
    """0.5 is half a per cent, hardly what was meant."""
    with pytest.warns(UserWarning, match=r"^x is 0\.5, which means 0\.5 %\. For 50 %, use x=50\.$") as caught:
        assert 0.5 == check_percentage("x", 0.5)
    assert [__file__] == [warning.filename for warning in caught]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [0, 1, 100] == [check_percentage("x", value) for value in (0, 1, 100)]
