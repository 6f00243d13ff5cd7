"""Models of the loopback server, one for each API."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
import pytest_asyncio

from tandem.market_ai.llm.endpoint import Endpoint
from tandem.market_ai.llm.openai_adapter import OpenAIModel
from tests.market_ai.llm.asking import KEY, Asking
from tests.openai_server import OpenAIServer


@pytest.fixture(scope="module")
def openai(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAIServer]:
    with OpenAIServer(tmp_path_factory.mktemp("openai") / "bills") as server:
        yield server


@pytest.fixture(scope="module")
def endpoint(openai: OpenAIServer) -> Endpoint:
    return Endpoint("gpt-4o-mini", KEY, openai.url(), timeout=60)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["chat", "responses"])
async def asking(request: pytest.FixtureRequest, openai: OpenAIServer, endpoint: Endpoint) -> AsyncIterator[Asking]:
    """Of both APIs; the second searches a vector store."""
    store = "vs_1" if request.param == "responses" else None
    model = OpenAIModel(replace(endpoint, vector_store=store))
    yield Asking(openai, model)
    await model.close()
