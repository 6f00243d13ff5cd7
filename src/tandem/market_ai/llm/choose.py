"""Which model the settings ask for."""

from tandem.core.settings import SettingsError
from tandem.market_ai.llm.endpoint import OPENAI, Endpoint
from tandem.market_ai.llm.offline import OfflineModel
from tandem.market_ai.llm.openai_adapter import OpenAIModel
from tandem.market_ai.llm.prices import FixedPrices
from tandem.market_ai.llm.protocol import Model
from tandem.market_ai.settings import MarketAiSettings


def model_from(settings: MarketAiSettings) -> Model:
    """Templates where no key is set, but never in production: raises SettingsError there."""
    if settings.openai_api_key is None:
        if settings.deployed:
            raise SettingsError(["OPENAI_API_KEY is not set: the key of your model's provider"])
        return OfflineModel()
    endpoint = Endpoint(
        model=settings.default_model,
        key=settings.openai_api_key.get_secret_value(),
        base_url=settings.openai_base_url or OPENAI,
        vector_store=settings.openai_vector_store_id,
        timeout=settings.llm_timeout,
    )
    return OpenAIModel(endpoint, _prices(settings))


def _prices(settings: MarketAiSettings) -> FixedPrices | None:
    price_in, price_out = settings.model_input_price, settings.model_output_price
    if price_in is None and price_out is None:
        return None
    if price_in is None or price_out is None:
        raise SettingsError(["MODEL_INPUT_PRICE and MODEL_OUTPUT_PRICE belong together: set both or neither"])
    return FixedPrices(price_in, price_out)


__all__ = ["model_from"]
