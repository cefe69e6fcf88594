"""Structure-aware mutations: of JSON trees, XML elements, text and bytes.

An input that the parser rejects only tests the parser, so most mutations keep the syntax and change a value.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 0.5, -0.0, 1e308, float("nan"), float("inf"), 2**31, 2**63, 10**400,
    "", " ", "\0", "\ud800", "é", "e\u0301", "a" * 300, "yes", "1", "NaN", "..", "/", "s3://", [], {}, [[]],
    [None], {"": 0}, {"a": {}},
)  # fmt: skip
ODD_TEXTS = (
    "..", "../", "/../..", "%2e%2e%2f", "%00", "\0", "\\", "//", "/", ".", "~", "\n", "\r\n", "\t", " ", '"',
    "'", "<", "&", "&lt;", "]]>", "%", "?", "#", "+", ":", ";", "=", ",", "*", "é", "\u202e", "\ufeff", "-1",
    "0", "9" * 30, "1e400", "arn:aws:", "s3://", "s3://dogs/", "-metadata", ".rekolabels", "x" * 300,
)  # fmt: skip
ODD_BYTES = (
    b"", b"\0", b"\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\n", b"\r\n", b"{", b"}", b"[",
)  # fmt: skip
_ELEMENT = re.compile(r"<(\w+)>([^<]*)</\1>")


def text(value: str, rng: Random) -> str:
    """Insert, remove, duplicate or replace a piece of a text."""
    start = rng.randint(0, len(value))
    end = min(len(value), start + rng.choice((0, 0, 1, 4, 20)))
    match rng.randrange(4):
        case 0:
            return value[:start] + rng.choice(ODD_TEXTS) + value[end:]
        case 1:
            return value[:start] + value[end:]
        case 2:
            return value[:end] + value[start:]
        case _:
            return (
                value[:start]
                + chr(rng.choice((rng.randrange(128), rng.randrange(0xD800))))
                + value[start + 1 :]
            )


def raw(value: bytes, rng: Random) -> bytes:
    """Insert, remove or duplicate a piece of bytes, or flip a bit."""
    start = rng.randint(0, len(value))
    end = min(len(value), start + rng.choice((0, 1, 4, 20, 200)))
    match rng.randrange(5):
        case 0:
            return value[:start] + rng.choice(ODD_BYTES) + value[end:]
        case 1:
            return value[:start] + value[end:]
        case 2:
            return value[:end] + value[start:]
        case 3:
            return value[:start]
        case _:
            if start == len(value):
                return value
            return value[:start] + bytes([value[start] ^ (1 << rng.randrange(8))]) + value[start + 1 :]


def tree(value: Any, rng: Random, donors: Sequence[Any] = ()) -> Any:
    """Change one node of a JSON value; pieces of ``donors`` may be inserted."""
    nodes = list(_nodes(value))
    if not nodes or rng.random() < 0.02:
        return rng.choice(ODD_VALUES)
    holder, key = rng.choice(nodes)
    old = holder[key]
    match rng.randrange(8):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[text(str(key), rng)] = holder.pop(key)
        case 1:
            holder.insert(key, json.loads(json.dumps(old)))
        case 2 if donors:
            donor_nodes = list(_nodes(rng.choice(donors)))
            other, place = rng.choice(donor_nodes) if donor_nodes else ([None], 0)
            holder[key] = json.loads(json.dumps(other[place]))
            if isinstance(holder, dict) and isinstance(place, str) and rng.random() < 0.5:
                holder[place] = holder.pop(key)
        case 3:
            holder[key] = [old] if rng.random() < 0.5 else {"a": old}
        case 4 | 5 if isinstance(old, str):
            holder[key] = text(old, rng)
        case 4 | 5 if isinstance(old, int | float):
            holder[key] = rng.choice(
                (old + 1, -old, old * 1000, old * 0.5 if abs(old) < 1e300 else 0, str(old))
            )
        case _:
            holder[key] = rng.choice(ODD_VALUES)
    return value


def _nodes(value: Any) -> list[tuple[Any, Any]]:
    """Return the container and key of every node in a value."""
    found: list[tuple[Any, Any]] = []
    values = [value]
    for container in values:  # it grows: documents are nested too deeply for recursion
        if isinstance(container, dict):
            found += [(container, key) for key in container]
            values += container.values()
        elif isinstance(container, list):
            found += [(container, index) for index in range(len(container))]
            values += container
    return found


def json_text(value: bytes, rng: Random, donors: Sequence[Any] = ()) -> bytes:
    """Change one node of a JSON document; mutate the bytes if it is not JSON."""
    try:
        document = json.loads(value)
    except (ValueError, RecursionError):
        return raw(value, rng)
    if rng.random() < 0.01:
        deep = rng.choice((150, 250, 450, 700, 950, 100_000))
        return b'{"a":' * deep + value + b"}" * deep
    try:
        text = json.dumps(tree(document, rng, donors), ensure_ascii=rng.random() < 0.7)
    except RecursionError:
        return raw(value, rng)
    return text.encode("utf-8", "surrogatepass")


def xml_text(value: bytes, rng: Random) -> bytes:
    """Remove, duplicate, rename or refill an element of an XML document, or insert a declaration."""
    document = value.decode("utf-8", "replace")
    elements = list(_ELEMENT.finditer(document))
    choice = rng.randrange(7)
    if choice == 0 or not elements:
        bomb = '<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d SYSTEM "file:///etc/passwd">]>'
        return (rng.choice((bomb, "<!-- -->", "<?xml?>", "<![CDATA[a]]>")) + document).encode(
            "utf-8", "replace"
        )
    if choice == 1:
        return raw(value, rng)
    found = rng.choice(elements)
    name, content = found[1], found[2]
    replacement = {
        2: "",
        3: found[0] * rng.choice((2, 1500)),
        4: f"<{text(name, rng)}>{content}</{name}>",
    }.get(choice, f"<{name}>{text(content, rng)}</{name}>")
    return (document[: found.start()] + replacement + document[found.end() :]).encode("utf-8", "replace")
