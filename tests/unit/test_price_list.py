"""Prices from the AWS Price List API.

No answer of AWS with the prices of Custom Labels is public. The products here have the form of the Billing
guide ("Finding services and products using AWS Price List Query API") and the usage types of its page
"Tracking your AWS Free Tier usage"; units and amounts are made up.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import Stubber

from rekolabels import Client
from rekolabels.costs import KNOWN_PRICES, Prices
from rekolabels.errors import AccessDenied, InvalidInput, NoRegion

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REQUEST = {
    "ServiceCode": "AmazonRekognition",
    "Filters": [{"Type": "TERM_MATCH", "Field": "regionCode", "Value": "eu-west-1"}],
}


def product(usage: str, price: str, unit: str = "minutes", date: str = "2026-09-01T00:00:00Z") -> str:
    """Return a product of the price list, as text."""
    dimension = {
        "unit": unit,
        "endRange": "Inf",
        "beginRange": "0",
        "rateCode": "A.B.C",
        "description": "made up",
        "appliesTo": [],
        "pricePerUnit": {"USD": price},
    }
    term = {"priceDimensions": {"A.B.C": dimension}, "sku": "A", "effectiveDate": date, "offerTermCode": "B"}
    return json.dumps(
        {
            "product": {
                "productFamily": "AI Services",
                "attributes": {
                    "regionCode": "eu-west-1",
                    "usagetype": usage,
                    "servicecode": "AmazonRekognition",
                },
                "sku": "A",
            },
            "serviceCode": "AmazonRekognition",
            "terms": {"OnDemand": {"A.B": term}},
            "version": "20260911000000",
            "publicationDate": "2026-09-11T00:00:00Z",
        }
    )


TRAINED = product("EUW1-minutestrained", "0.0200000000")
INFERENCE = product("EUW1-inferenceminutes", "0.0800000000", date="2026-10-01T00:00:00Z")


class Aws:
    """A session whose Price List API answers as it is told."""

    def __init__(self) -> None:
        self.regions: list[str] = []
        outer = self

        class Session(boto3.Session):
            def client(self, service_name: str, *_: Any, **options: Any) -> Any:
                assert service_name == "pricing"
                outer.regions.append(options["region_name"])
                return outer.made

        self.session: Any = Session("testing", "testing", region_name="eu-west-1")
        self.made = boto3.client(
            "pricing", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
        self.stub = Stubber(self.made)
        self.stub.activate()

    def answers(self, *products: str, token: str | None = None, then: str | None = None) -> None:
        """Answer the next request, which has the token ``then``."""
        answer: dict[str, Any] = {"FormatVersion": "aws_v1", "PriceList": list(products)}
        request = REQUEST if then is None else {**REQUEST, "NextToken": then}
        self.stub.add_response(
            "get_products", answer if token is None else {**answer, "NextToken": token}, request
        )

    def fails(self, code: str) -> None:
        """Answer the next request with an error."""
        self.stub.add_client_error("get_products", code, http_status_code=400)


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """AWS, and an empty folder for caches."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    found = Aws()
    yield found
    found.stub.assert_no_pending_responses()


def test_prices_of_a_region(aws: Aws) -> None:
    """By the hour, with the latest date and the source; other usage types do not matter."""
    aws.answers(product("EUW1-Group1-ImagesProcessed", "0.001", "images"), TRAINED, token="next")
    aws.answers(INFERENCE, product("EUW1-FaceVectorsStored", "0.00001"), then="next")
    prices = Prices.from_aws(aws.session)

    assert (round(prices.training_hour, 9), round(prices.inference_unit_hour, 9)) == (1.2, 4.8)
    assert (prices.region, prices.as_of) == ("eu-west-1", "2026-10-01")
    assert prices.source.startswith("AWS Price List API (AmazonRekognition), read on 20")
    assert aws.regions == ["us-east-1"]
    assert Client(prices=prices, region_name="eu-west-1").prices() == prices


def test_prices_are_kept(aws: Aws, tmp_path: Path) -> None:
    """In a file with date and source; AWS is asked again when it is too old."""
    aws.answers(TRAINED, INFERENCE)
    prices = Prices.from_aws(aws.session)
    file = tmp_path / "caches" / "rekolabels" / "prices-eu-west-1.json"
    stored = json.loads(file.read_text())

    assert (stored["prices"]["as_of"], stored["prices"]["source"]) == (prices.as_of, prices.source)
    assert Prices.from_aws(aws.session) == prices

    aws.answers(product("EUW1-minutestrained", "0.03"), INFERENCE)
    assert round(Prices.from_aws(aws.session, max_age=0).training_hour, 9) == 1.8


def test_a_file_of_your_own(aws: Aws, tmp_path: Path) -> None:
    """It is used instead of the one in the folder for caches, and must be writable."""
    aws.answers(TRAINED, INFERENCE)
    prices = Prices.from_aws(aws.session, cache=tmp_path / "prices.json")
    assert Prices.from_aws(aws.session, cache=str(tmp_path / "prices.json")) == prices
    assert not (tmp_path / "caches").exists()

    (tmp_path / "file").write_text("")
    aws.answers(TRAINED, INFERENCE)
    with pytest.raises(InvalidInput, match="Cannot store the prices in"):
        Prices.from_aws(aws.session, cache=tmp_path / "file" / "prices.json")


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"version": 2}', '{"version": 1, "read_at": 1e18, "prices": []}', "[" * 60_000],
)
def test_a_damaged_file_is_replaced(aws: Aws, tmp_path: Path, content: str) -> None:
    """AWS is asked again."""
    file = tmp_path / "prices.json"
    file.write_text(content)
    aws.answers(TRAINED, INFERENCE)
    prices = Prices.from_aws(aws.session, cache=file)
    assert json.loads(file.read_text())["prices"]["training_hour"] == prices.training_hour


@pytest.mark.parametrize(
    "change",
    [{"read_at": 10**400}, {"prices": {"as_of": 5}}, {"prices": {"source": None}}],
    ids=["read_at", "as_of", "source"],
)
def test_a_file_with_odd_values_is_replaced(aws: Aws, tmp_path: Path, change: dict[str, Any]) -> None:
    """AWS is asked again."""
    file = tmp_path / "prices.json"
    aws.answers(TRAINED, INFERENCE)
    prices = Prices.from_aws(aws.session, cache=file)
    stored = json.loads(file.read_text())
    file.write_text(
        json.dumps({**stored, **change, "prices": {**stored["prices"], **change.get("prices", {})}})
    )
    aws.answers(TRAINED, INFERENCE)
    assert Prices.from_aws(aws.session, cache=file) == prices


def test_a_user_without_a_home(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in containers with a numeric user: nothing is kept, and AWS is asked each time."""

    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("pathlib.Path.home", home)
    for _ in range(2):
        aws.answers(TRAINED, INFERENCE)
        assert Prices.from_aws(aws.session).region == "eu-west-1"


def test_a_file_of_another_region_is_not_used(aws: Aws, tmp_path: Path) -> None:
    """Nor is one from the future."""
    file = tmp_path / "prices.json"
    aws.answers(TRAINED, INFERENCE)
    Prices.from_aws(aws.session, cache=file)
    stored = json.loads(file.read_text())
    for changed in (
        {**stored, "prices": {**stored["prices"], "region": "us-east-1"}},
        {**stored, "read_at": 4e9},
    ):
        file.write_text(json.dumps(changed))
        aws.answers(TRAINED, INFERENCE)
        assert Prices.from_aws(aws.session, cache=file).region == "eu-west-1"


def test_without_the_permission(aws: Aws) -> None:
    """The error names it, also where older prices are known."""
    aws.fails("AccessDeniedException")
    with pytest.raises(AccessDenied) as raised:
        Prices.from_aws(aws.session)
    assert str(raised.value).startswith(
        "Cannot read the prices of eu-west-1 from AWS: the caller lacks the permission pricing:GetProducts "
        "on '*'. Allow it, or give prices: `Client(prices=Prices(region='eu-west-1', training_hour=..., "
        "inference_unit_hour=...))`."
    )


def test_the_known_prices_are_used_instead(aws: Aws, caplog: pytest.LogCaptureFixture) -> None:
    """If AWS cannot be asked, and nothing is kept."""
    aws.stub.add_client_error("get_products", "UnknownOperationException", http_status_code=400)
    assert Prices.from_aws(aws.session, region_name="us-east-1") == KNOWN_PRICES["us-east-1"]
    assert "Using prices of undated, read in 2026" in caplog.text


def test_old_prices_are_used_instead(aws: Aws, caplog: pytest.LogCaptureFixture) -> None:
    """If AWS cannot be asked."""
    aws.answers(TRAINED, INFERENCE)
    prices = Prices.from_aws(aws.session)
    aws.fails("InvalidNextTokenException")
    assert Prices.from_aws(aws.session, max_age=0) == prices
    assert "Using prices of 2026-10-01 (AWS Price List API" in caplog.text


def test_without_any_prices(aws: Aws) -> None:
    """The message says why, and what to do."""
    aws.answers(TRAINED)
    with pytest.raises(InvalidInput) as raised:
        Prices.from_aws(aws.session)
    assert str(raised.value) == (
        "Cannot read the prices of eu-west-1 from AWS, and no others are known. Try again, or give "
        "`Client(prices=Prices(region='eu-west-1', training_hour=..., inference_unit_hour=...))`. The AWS "
        "Price List has no price of inferenceminutes for eu-west-1."
    )


@pytest.mark.parametrize(
    ("unit", "hour"),
    [("minute", 1.2), ("Minutes", 1.2), ("min", 1.2), ("Hrs", 0.02), ("hour", 0.02), ("Sec", 72.0)],
)
def test_units(aws: Aws, unit: str, hour: float) -> None:
    """The unit is that of the answer."""
    aws.answers(product("EUW1-minutestrained", "0.02", unit), INFERENCE)
    assert round(Prices.from_aws(aws.session).training_hour, 9) == hour


def test_of_several_prices_the_highest_counts(aws: Aws) -> None:
    """What is free, or has no unit of time, does not count."""
    aws.answers(
        product("EUW1-minutestrained", "0.0000000000"),
        product("EUW1-minutestrained", "0.01"),
        TRAINED,
        product("EUW1-minutestrained", "9", "images"),
        product("EUW1-minutestrained-Custom", "9"),
        INFERENCE,
    )
    assert round(Prices.from_aws(aws.session).training_hour, 9) == 1.2


@pytest.mark.parametrize(
    "odd",
    [
        "{",
        "[]",
        '"text"',
        '{"product": []}',
        '{"product": {"attributes": {"usagetype": "EUW1-minutestrained"}}}',
        '{"product": {"attributes": {"usagetype": "EUW1-minutestrained"}}, "terms": {"OnDemand": {"a": 1}}}',
        product("EUW1-minutestrained", "NaN"),
        product("EUW1-minutestrained", "much"),
        product("EUW1-minutestrained", "-1"),
        product("EUW1-minutestrained", "1e999"),
        "[" * 100_000,
    ],
)
def test_odd_products_are_left_out(aws: Aws, odd: str) -> None:
    """An answer in another form does not end the program with an error of Python."""
    aws.answers(odd, TRAINED, INFERENCE)
    assert round(Prices.from_aws(aws.session).training_hour, 9) == 1.2


def test_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are checked before anything is read."""
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "none")
    with pytest.raises(NoRegion, match=r"Prices\.from_aws\(region_name=\.\.\.\)"):
        Prices.from_aws()
    with pytest.raises(InvalidInput, match="region_name is 'eu-west-3'"):
        Prices.from_aws(region_name="eu-west-3")
    with pytest.raises(InvalidInput, match="session is 'bucket'"):
        Prices.from_aws("bucket")  # type: ignore[arg-type] # what is tested
    with pytest.raises(InvalidInput, match="max_age is -1"):
        Prices.from_aws(region_name="eu-west-1", max_age=-1)
    with pytest.raises(InvalidInput, match="cache is 7"):
        Prices.from_aws(region_name="eu-west-1", cache=7)  # type: ignore[arg-type] # what is tested


def test_the_embedded_service_has_no_price_list(tmp_path: Path) -> None:
    """The known prices are used."""
    from rekolabels.local import LocalService

    with LocalService(engine="tiny") as service:
        prices = Prices.from_aws(service.session(), cache=tmp_path / "prices.json")
    assert prices == KNOWN_PRICES["us-east-1"]
    assert list(tmp_path.iterdir()) == []
