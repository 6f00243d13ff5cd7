"""What tokens cost: the public price list that comes with genai-prices, or the two prices of the settings.

The list is a table in the package (0.2 s and 18 MB to load, so it is loaded when first asked); nothing is fetched. All
arithmetic is Decimal, rounded up to a micro-dollar once, at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal, localcontext
from typing import TYPE_CHECKING, Literal, Protocol
from urllib.parse import urlsplit

from tandem.market_ai.llm.errors import UnknownModel
from tandem.market_ai.llm.protocol import Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices

MILLION = 1_000_000
_INPUT = ("input_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok")
_OUTPUT = ("output_mtok", "output_reasoning_mtok", "output_citation_mtok")
_CALL, _SEARCH = "requests_kcount", "storage_searches_kcount"
_OTHER_MEDIA = ("audio", "image", "video", "document", "web_searches")  # never asked for
SEARCH_FEE = Decimal("0.0025")  # dollars a search, OpenAI's list price
_AHEAD = timedelta(hours=1)  # between the reservation and the call a price may change


class Prices(Protocol):
    @property
    def context_window(self) -> int | None:
        """Input tokens that the model takes at most, when known."""
        ...

    def worst(self, input_tokens: int, output_tokens: int, searches: int) -> int:
        """Micro-dollars, at the dearest price that may apply."""
        ...

    def actual(self, usage: Usage, tier: str | None = None) -> int:
        """Micro-dollars; `tier` is the service tier that answered. Raises ValueError for counts that contradict."""
        ...


def micros(dollars: Decimal) -> int:
    return int((dollars * MILLION).to_integral_value(ROUND_CEILING))


@dataclass(frozen=True)
class FixedPrices:
    """Dollars per million tokens, as the settings give them; a search costs the list price."""

    input: Decimal
    output: Decimal
    context_window: int | None = None

    def worst(self, input_tokens: int, output_tokens: int, searches: int) -> int:
        tokens = (self.input * input_tokens + self.output * output_tokens) / MILLION
        return micros(tokens + SEARCH_FEE * searches)

    def actual(self, usage: Usage, tier: str | None = None) -> int:  # noqa: ARG002 - one price for all tiers
        return self.worst(usage.input_tokens, usage.output_tokens, usage.searches)


@dataclass(frozen=True)
class ListedPrices:
    """`standard_tier`: the call asks for it by name, so that prices of other tiers cannot apply."""

    provider: Provider
    model: ModelInfo
    standard_tier: bool

    @property
    def context_window(self) -> int | None:
        return self.model.context_window

    def worst(self, input_tokens: int, output_tokens: int, searches: int) -> int:
        dearest = Decimal(0)
        for price in self._applicable():
            tokens = _dearest(price, _INPUT, input_tokens) * input_tokens
            tokens += _dearest(price, _OUTPUT, input_tokens) * output_tokens
            fees = _dearest(price, (_CALL,), input_tokens)
            if searches:
                fees += self._search_fee(price) * searches
            dearest = max(dearest, tokens / MILLION + fees / 1000)
        return micros(dearest)

    def actual(self, usage: Usage, tier: str | None = None) -> int:
        from genai_prices import Usage as Counts

        counts = Counts(
            input_tokens=usage.input_tokens,
            cache_read_tokens=usage.cached_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            output_tokens=usage.output_tokens,
            storage_searches=usage.searches,
        )
        context = {"service_tier": tier} if tier else None
        with localcontext(prec=50):
            return micros(self.model.calc_price(counts, self.provider, price_context=context).total_price)

    def _search_fee(self, price: ModelPrice) -> Decimal:
        fee = getattr(price, _SEARCH)
        if fee is None:
            raise UnknownModel(f"the price list has no fee for file search with {self.model.id}")
        return _top(fee, 0)

    def _applicable(self) -> Iterator[ModelPrice]:
        """The list price and, of its variants, those a single call may be charged by."""
        now = datetime.now(UTC)
        contexts: list[dict[str, str]] = [{}]
        for variant in self.model.price_variants or ():
            standard = variant.when == {"service_tier": "default"}
            if "processing" not in variant.when and (standard or not self.standard_tier):
                contexts.append(variant.when)
        for moment in (now, now + _AHEAD):
            for context in contexts:
                yield self.model.get_prices(moment, context)

    def check(self) -> None:
        """Raises UnknownModel unless both directions have a price per token, and nothing else has one."""
        for price in self._applicable():
            keys = {key for key, value in price.__dict__.items() if value is not None}
            if "input_mtok" not in keys or "output_mtok" not in keys:
                raise UnknownModel(f"the price list knows {self.model.id} of {self.provider.id}, but no price of it")
            known = {*_INPUT, *_OUTPUT, _CALL, _SEARCH}
            if strange := {k for k in keys - known if not any(media in k for media in _OTHER_MEDIA)}:
                raise UnknownModel(f"{self.model.id} is charged in ways that cannot be bounded: {sorted(strange)}")


def _dearest(price: ModelPrice, units: tuple[str, ...], input_tokens: int) -> Decimal:
    return max(_top(getattr(price, unit), input_tokens) for unit in units)


def _top(value: Decimal | TieredPrices | None, input_tokens: int) -> Decimal:
    """The dearest of a base price and the tiers that so many input tokens may reach."""
    if value is None:
        return Decimal(0)
    if isinstance(value, Decimal):
        return value
    return max([value.base, *(tier.price for tier in value.tiers if tier.start < input_tokens)])


def listed(model: str, base_url: str) -> ListedPrices:
    """The price of the provider that the address belongs to; OpenAI's for an address that is nobody's (a gateway).

    Raises UnknownModel.
    """
    found = _find(model, base_url)
    if found is None:
        raise UnknownModel(
            f"the price list does not know {model} at {base_url}: set MODEL_INPUT_PRICE and MODEL_OUTPUT_PRICE"
        )
    provider, info = found
    prices = ListedPrices(provider, info, standard_tier=provider.id == "openai")
    prices.check()
    return prices


def dialect_of(model: str, base_url: str) -> Literal["openai", "azure", "compatible"]:
    """Which flavour of the protocol is spoken there: OpenAI's own also by a gateway that serves OpenAI's models."""
    if (urlsplit(base_url).hostname or "").endswith(".openai.com"):
        return "openai"
    found = _find(model, base_url)
    name = found[0].id if found else ""
    return "openai" if name == "openai" else "azure" if name == "azure" else "compatible"


def _find(model: str, base_url: str) -> tuple[Provider, ModelInfo] | None:
    from genai_prices.data_snapshot import get_snapshot

    snapshot = get_snapshot()
    try:
        provider = snapshot.find_provider(None, None, base_url)
    except LookupError:
        provider = snapshot.find_provider(None, "openai", None)
    try:
        return snapshot.find_provider_model(model, provider, None, None)
    except LookupError:
        return None


__all__ = ["FixedPrices", "ListedPrices", "Prices", "dialect_of", "listed", "micros"]
