"""Any life of a campaign or of content, lived through the API, held against the tables of the documentation."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.market_ai.making import audited, make_campaign, make_content, post

PAGE = (Path(__file__).parents[2] / "docs/market-ai-api.md").read_text()
PAST = {
    "activate": "activated", "pause": "paused", "resume": "resumed", "complete": "completed", "archive": "archived",
    "submit": "submitted", "approve": "approved", "reject": "rejected", "publish": "published",
    "a new version": "revised",
}  # fmt: skip


def documented(first_move: str) -> dict[str, dict[str, str]]:
    """Of each status the moves and where they lead, from the table whose second column is `first_move`."""
    head, *rows = next(
        block.splitlines() for block in PAGE.split("\n\n") if block.startswith(f"| status | `{first_move}`")
    )
    moves = [cell.strip(" `") for cell in head.strip("|").split("|")[1:]]
    table = {}
    for row in rows[1:]:
        status, *targets = (re.sub(r"[ `]", "", cell) for cell in row[1:-1].split("|"))
        table[status] = {move: target for move, target in zip(moves, targets, strict=True) if target}
    return table


CAMPAIGN, CONTENT = documented("activate"), documented("submit")


def test_the_tables_were_found():
    assert set(CAMPAIGN) == {"draft", "active", "paused", "completed", "archived"}
    assert set(CONTENT) == {"draft", "in_review", "approved", "published", "archived"}
    assert CAMPAIGN["active"] == {"pause": "paused", "complete": "completed"}
    assert CONTENT["in_review"] == {
        "approve": "approved", "reject": "draft", "a new version": "draft", "archive": "archived",
    }  # fmt: skip


STEPS = st.lists(st.tuples(st.integers(0, 11), st.sampled_from([True, True, True, False])), min_size=1, max_size=12)


async def any_of(live: Callable[[Any], Awaitable[None]], *, examples: int = 30) -> None:
    """Live through sequences that hypothesis thinks of, on this loop: of each step a number, and whether it is legal."""
    loop = asyncio.get_running_loop()

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(STEPS)
    def lives(steps: Any) -> None:
        asyncio.run_coroutine_threadsafe(live(steps), loop).result()

    await asyncio.to_thread(lives)


def chosen(table: dict[str, dict[str, str]], status: str, number: int, legal: bool) -> str:
    """A legal move, so that lives get on, or any of all."""
    every = sorted({move for row in table.values() for move in row})
    moves = (sorted(table[status]) if legal else every) or every
    return moves[number % len(moves)]


async def refused_or_done(answer: Any, table: dict[str, dict[str, str]], before: Any, move: str) -> bool:
    """Whether it was done; a refusal names what the documentation says is legal."""
    legal = table[before["status"]]
    if move in legal:
        assert answer.status_code in {200, 201}, answer.text
        return True
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["state"]) == (409, "illegal_transition", before["status"])
    assert {"a new version" if name == "revise" else name for name in problem["legal"]} == set(legal)
    return False


@pytest.fixture
def unlimited(monkeypatch):
    """Hypothesis makes more than ten campaigns a minute."""
    from tandem.market_ai.access import CREATING

    monkeypatch.setattr(CREATING, "amount", 1_000_000)


async def test_any_life_of_a_campaign(market, member, unlimited):
    ada = await member()

    async def live(steps):
        before = await make_campaign(market, ada)
        path, done = f"/api/campaigns/{before['id']}", []
        for number, legal in steps:
            move = chosen(CAMPAIGN, before["status"], number, legal)
            answer = await post(market, ada, f"{path}/{move}")
            now = (await market.get(path, headers=ada.headers)).json()
            if await refused_or_done(answer, CAMPAIGN, before, move):
                done.append(move)
                stamp = f"{PAST[move]}_at"
                assert now == answer.json()
                changed = {"status": CAMPAIGN[before["status"]][move], "version": before["version"] + 1}
                changed |= {name: now[name] for name in ("updated_at", stamp)}
                assert now == before | changed
                assert now[stamp] == now["updated_at"] != before[stamp]
            else:
                assert now == before
            before = now
        assert {
            name
            for name in before
            if name.endswith("ed_at") and before[name] and name not in {"created_at", "updated_at"}
        } == {f"{PAST[move]}_at" for move in done}
        trail = ["campaign.created", *(f"campaign.{PAST[move]}" for move in done)]
        assert await audited(market, ada, before["id"]) == trail

    await any_of(live)


async def test_any_life_of_content(market, member):
    ada = await member()
    campaign = await make_campaign(market, ada)

    async def live(steps):
        before = await make_content(market, ada, campaign)
        path = f"/api/content/{before['id']}"
        done, seen = [], {"current": 1, "approved": None, "published": None}
        for number, legal in steps:
            move = chosen(CONTENT, before["status"], number, legal)
            answer = await act(market, ada, path, move, seen["current"])
            now = (await market.get(path, headers=ada.headers)).json()
            if await refused_or_done(answer, CONTENT, before, move):
                done.append(move)
                seen["current"] += move == "a new version"
                seen |= {name: seen["current"] for name in ("approved", "published") if PAST[move] == name}
                assert now["status"] == CONTENT[before["status"]][move]
                assert now["version"] == before["version"] + 1
                assert {name: now[f"{name}_version"] for name in seen} == seen
            else:
                assert now == before
            before = now
        trail = ["content.created", *(f"content.{PAST[move]}" for move in done)]
        assert await audited(market, ada, before["id"]) == trail
        reviews = (await market.get(f"{path}/reviews", headers=ada.headers)).json()["items"]
        assert [one["action"] for one in reversed(reviews)] == [move for move in done if move != "a new version"]
        versions = (await market.get(f"{path}/versions", headers=ada.headers)).json()["items"]
        assert [one["number"] for one in versions] == list(range(seen["current"], 0, -1))

    await any_of(live)


async def act(market, who, path, move, number):
    if move == "a new version":
        return await post(market, who, f"{path}/versions", {"body": "Two hundred are left."})
    bodies = {"approve": {"version": number}, "reject": {"reason": "The price is missing."}}
    return await post(market, who, f"{path}/{move}", bodies.get(move))
