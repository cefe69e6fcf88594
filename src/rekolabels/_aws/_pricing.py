"""Prices of Custom Labels from the AWS Price List API, kept in a file.

The usage types, ``inferenceminutes`` and ``minutestrained``, are those of the Billing guide ("Tracking your
AWS Free Tier usage"). In the price list they begin with a short name of the Region, such as ``USE1-``, like
the others of Rekognition. No answer with them is public, so the unit of a price is read from the answer.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from rekolabels._arguments import check_path, check_seconds
from rekolabels._aws._errors import call_boto3
from rekolabels._aws._retry import RetryPolicy, call_with_retries
from rekolabels._aws._session import SessionSettings, check_session, make_client, make_session
from rekolabels._files import FOLDER_MODE, replacing
from rekolabels.costs import KNOWN_PRICES, Prices
from rekolabels.errors import (
    AccessDenied,
    ConnectionFailed,
    InvalidInput,
    NoRegion,
    ServiceError,
    ServiceFault,
)
from rekolabels.manifest._json import is_object
from rekolabels.regions import check_region

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import boto3

__all__ = ["prices_from_aws"]

_log = logging.getLogger("rekolabels")

_ENDPOINT_REGION = "us-east-1"
"""The Price List API is in few Regions, and knows the prices of all."""
_SERVICE = "AmazonRekognition"
_SOURCE = "AWS Price List API"
_USAGE = re.compile(r"(?:[A-Z]{2,4}\d?-)?(inferenceminutes|minutestrained)", re.IGNORECASE | re.ASCII)
_UNITS = {"sec": 3600.0, "min": 60.0, "hour": 1.0, "hr": 1.0}
"""How many of a unit, by the beginning of its name, an hour has."""
_MAX_BYTES = 1 << 16
_VERSION = 1


@attrs.frozen
class _Cached:
    prices: Prices
    read_at: float
    """Seconds since 1970."""


def prices_from_aws(
    session: boto3.Session | None,
    region_name: str | None,
    cache: str | os.PathLike[str] | None,
    max_age: float,
) -> Prices:
    """Do what ``Prices.from_aws`` describes."""
    check_session(session)
    if cache is not None:
        check_path("cache", cache)
    age = check_seconds("max_age", max_age) or 0.0
    session = make_session(SessionSettings(None, region_name)) if session is None else session
    region: str | None = region_name or session.region_name
    if not region:
        raise NoRegion(
            "No AWS Region is set. Use `Prices.from_aws(region_name=...)`, or set AWS_DEFAULT_REGION."
        )
    check_region(region, argument="region_name")
    file = _default_cache(region) if cache is None else Path(cache)
    cached, now = None if file is None else _read(file, region), time.time()
    if cached is not None and 0 <= now - cached.read_at < age:
        return cached.prices
    try:
        prices = _ask(session, region, now)
    except AccessDenied as error:
        raise error.explained(
            f"Cannot read the prices of {region} from AWS: the caller lacks the permission "
            "pricing:GetProducts on '*'. Allow it, or give prices: "
            f"`Client(prices=Prices(region={region!r}, training_hour=..., inference_unit_hour=...))`."
        ) from error
    except (ConnectionFailed, ServiceError) as error:
        return _instead(region, cached, error)
    if file is not None:
        _write(file, _Cached(prices, now), required=cache is not None)
    return prices


def _ask(session: boto3.Session, region: str, now: float) -> Prices:
    """Return the prices of a Region (GetProducts).

    Raises:
        ServiceFault: The answer has no prices of Custom Labels in US dollars and for a unit of time.
    """
    client = make_client(session, "pricing", region_name=_ENDPOINT_REGION)
    parameters: dict[str, Any] = {
        "ServiceCode": _SERVICE,
        "Filters": [{"Type": "TERM_MATCH", "Field": "regionCode", "Value": region}],
    }
    found: list[tuple[str, float]] = []
    dates: list[str] = []
    while True:
        answer = call_with_retries(
            RetryPolicy(), lambda: call_boto3("GetProducts", client.get_products, **parameters)
        )
        for text in answer.get("PriceList", ()):
            found += _prices_of(_parse(text), dates)
        token = answer.get("NextToken")
        if not token:
            break
        parameters["NextToken"] = token
    training = [price for usage, price in found if usage == "minutestrained"]
    inference = [price for usage, price in found if usage == "inferenceminutes"]
    if not training or not inference:
        missing = " and ".join(
            name
            for name, prices in (("minutestrained", training), ("inferenceminutes", inference))
            if not prices
        )
        raise ServiceFault(
            f"The AWS Price List has no price of {missing} for {region}.",
            operation="GetProducts",
            code="NoPrice",
        )
    read = datetime.fromtimestamp(now, UTC).date()
    # of several prices the highest: a limit of costs must not be too low
    return Prices(
        region=region,
        training_hour=max(training),
        inference_unit_hour=max(inference),
        as_of=max(dates, default=str(read)),
        source=f"{_SOURCE} ({_SERVICE}), read on {read}",
    )


def _prices_of(product: object, dates: list[str]) -> Iterable[tuple[str, float]]:
    """Yield usage type and price of an hour of a product; add when the price applies from to the dates.

    Products of other kinds, and what has another form than the Billing guide describes, have none.
    """
    usage = _USAGE.fullmatch(str(_get(product, "product", "attributes", "usagetype")))
    terms = _get(product, "terms", "OnDemand")
    if usage is None or not is_object(terms):
        return
    for term in terms.values():
        date = _get(term, "effectiveDate")
        dimensions = _get(term, "priceDimensions")
        for dimension in dimensions.values() if is_object(dimensions) else ():
            price = _hourly(_get(dimension, "unit"), _get(dimension, "pricePerUnit", "USD"))
            if price is not None:
                if isinstance(date, str):
                    dates.append(date[:10])
                yield usage[1].lower(), price


def _hourly(unit: object, price: object) -> float | None:
    """Return a price by the hour; None for one that is 0, as of a free tier, or not for a time."""
    try:
        amount = float(str(price))
    except ValueError:
        return None
    name = str(unit).lower()
    factor = next((factor for start, factor in _UNITS.items() if name.startswith(start)), None)
    if factor is None or not math.isfinite(amount) or amount <= 0:
        return None
    return amount * factor


def _parse(text: str) -> object:
    """Return a product; None for what is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _get(value: object, *names: str) -> object:
    for name in names:
        value = value.get(name) if is_object(value) else None
    return value


def _instead(region: str, cached: _Cached | None, error: Exception) -> Prices:
    """Return older prices, because AWS could not be asked.

    Raises:
        InvalidInput: There are none.
    """
    prices = KNOWN_PRICES.get(region) if cached is None else cached.prices
    if prices is None:
        raise InvalidInput(
            f"Cannot read the prices of {region} from AWS, and no others are known. Try again, or give "
            f"`Client(prices=Prices(region={region!r}, training_hour=..., inference_unit_hour=...))`. {error}"
        ) from error
    _log.warning("Using prices of %s (%s): %s", prices.as_of, prices.source, error)
    return prices


def _default_cache(region: str) -> Path | None:
    """Return the file in the user's folder for caches; None for a user without a home, as in containers."""
    try:
        base = os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        return None
    return Path(base, "rekolabels", f"prices-{region}.json")


def _read(file: Path, region: str) -> _Cached | None:
    """Return what is stored; None if there is nothing, or it cannot be used."""
    try:
        with file.open("rb") as stream:
            stored: Mapping[str, Any] = json.loads(stream.read(_MAX_BYTES))
        if stored["version"] != _VERSION or stored["prices"]["region"] != region:
            return None
        if not all(isinstance(stored["prices"][name], str) for name in ("as_of", "source")):
            return None
        read_at = float(stored["read_at"])
        return _Cached(Prices(**stored["prices"]), read_at)
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def _write(file: Path, cached: _Cached, *, required: bool) -> None:
    content = {"version": _VERSION, "read_at": cached.read_at, "prices": attrs.asdict(cached.prices)}
    try:
        file.parent.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
        with replacing(file) as stream:
            stream.write(json.dumps(content, indent=2).encode())
    except (OSError, InvalidInput) as error:
        if required:
            raise InvalidInput(f"Cannot store the prices in {file}: {error}") from error
        _log.debug("Cannot store the prices in %s: %s", file, error)
