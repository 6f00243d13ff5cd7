"""Market AI's settings."""

from collections.abc import Iterator
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import ClassVar

from pydantic import Field, SecretStr, field_validator

from tandem.accounts.clerk.domain import ClerkDomainError, issuer_of
from tandem.core.settings import Settings, placeholder


class MarketAiSettings(Settings):
    service: ClassVar[str] = "marketing-ai-api"
    database_name: ClassVar[str] = "market_ai"

    port: int = Field(8001, ge=1, le=65535, validation_alias="PORT", description="port of `tandem serve`")
    openai_api_key: SecretStr | None = Field(
        None,
        validation_alias="OPENAI_API_KEY",
        description="key of the model's provider; unset outside production: copy is written offline, from templates",
    )
    openai_base_url: str | None = Field(
        None,
        validation_alias="OPENAI_BASE_URL",
        description="any endpoint that speaks the OpenAI protocol; unset: OpenAI's own",
    )
    openai_vector_store_id: str | None = Field(
        None,
        validation_alias="OPENAI_VECTOR_STORE_ID",
        description="the model searches this store instead of the uploaded knowledge",
    )
    default_model: str = Field(
        "gpt-4o-mini", min_length=1, validation_alias="DEFAULT_MODEL", description="the model that writes"
    )
    model_input_price: Decimal | None = Field(
        None,
        ge=0,
        validation_alias="MODEL_INPUT_PRICE",
        description="US dollars per million input tokens, for a model the price list does not know or has wrong",
    )
    model_output_price: Decimal | None = Field(
        None, ge=0, validation_alias="MODEL_OUTPUT_PRICE", description="the same for output tokens; set both or neither"
    )
    llm_timeout: float = Field(
        120, gt=0, le=900, validation_alias="LLM_TIMEOUT", description="a call to the model may take this long"
    )
    max_budget_per_request: Decimal = Field(
        Decimal("10.0"),
        ge=0,
        le=1_000_000,
        max_digits=13,
        decimal_places=6,
        validation_alias="MAX_BUDGET_PER_REQUEST",
        description="US dollars that one job may cost at most; 0 means nothing, not everything",
    )
    clerk_domain: str | None = Field(
        None,
        validation_alias="CLERK_DOMAIN",
        description="sign-in by Clerk, as in your-app.clerk.accounts.dev; unset outside production: built-in accounts",
    )
    clerk_secret_key: SecretStr | None = Field(
        None,
        validation_alias="CLERK_SECRET_KEY",
        description="accepted because deployments have it; verifying sessions needs only Clerk's public keys",
    )

    webhook_allowed_networks: str = Field(
        "",
        validation_alias="WEBHOOK_ALLOWED_NETWORKS",
        description="for development: networks that webhooks may reach though they are not public, comma-separated",
    )

    @property
    def webhook_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """What `webhook_allowed_networks` names."""
        return tuple(ip_network(one.strip()) for one in self.webhook_allowed_networks.split(",") if one.strip())

    @field_validator("webhook_allowed_networks")
    @classmethod
    def _networks(cls, value: str) -> str:
        for one in filter(None, map(str.strip, value.split(","))):
            try:
                ip_network(one)
            except ValueError:
                raise ValueError(f"{one!r} is no network, as in 127.0.0.0/8") from None
        return value

    @field_validator("openai_base_url", "clerk_domain")
    @classmethod
    def _without_slash(cls, value: str | None) -> str | None:
        return value.strip().rstrip("/") if value else None

    @field_validator("clerk_domain")
    @classmethod
    def _a_domain(cls, value: str | None) -> str | None:
        if value is not None:
            issuer_of(value, deployed=False)
        return value

    def problems(self) -> Iterator[str]:
        by_clerk = self.clerk_domain is not None
        yield from (p for p in super().problems() if not (by_clerk and p.startswith("SESSION_HASH_SECRET")))
        key = self.openai_api_key.get_secret_value() if self.openai_api_key else None
        if key is None:
            yield "OPENAI_API_KEY is not set: the key of your model's provider"
        elif placeholder(key) or key.endswith("..."):
            yield "OPENAI_API_KEY is still the example value: paste the key of your model's provider"
        if self.environment == "production" and not by_clerk:
            yield "CLERK_DOMAIN is not set: your Clerk Frontend API's domain, as in clerk.your-company.com"
        elif self.clerk_domain is not None:
            yield from _problems_of_domain(self.clerk_domain)
        if self.webhook_allowed_networks:
            yield "WEBHOOK_ALLOWED_NETWORKS is for development: webhooks would reach your internal network"
        if (self.model_input_price is None) != (self.model_output_price is None):
            yield "MODEL_INPUT_PRICE and MODEL_OUTPUT_PRICE belong together: set both or neither"


def market_ai_settings(settings: Settings) -> MarketAiSettings:
    """Those of a job's worker, as what they are."""
    if not isinstance(settings, MarketAiSettings):
        raise TypeError(f"a job of Market AI was given the settings of {settings.service}")
    return settings


def _problems_of_domain(domain: str) -> Iterator[str]:
    try:
        issuer_of(domain, deployed=True)
    except ClerkDomainError as error:
        yield f"CLERK_DOMAIN: {error}"
        return
    if placeholder(domain):
        yield "CLERK_DOMAIN is still the example value: your Clerk Frontend API's domain, as in clerk.your-company.com"
