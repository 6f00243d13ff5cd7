"""The state machines by themselves, held against what the documents promise."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tandem.market_ai.campaigns import states as campaigns
from tandem.market_ai.campaigns.states import CAMPAIGNS, STAMPS
from tandem.market_ai.content import states as content
from tandem.market_ai.content.states import CONTENT
from tandem.market_ai.states import IllegalTransition, Machine

MOVES = {"campaign": campaigns.Move.__args__, "asset": content.Move.__args__}
STATES = {"campaign": campaigns.Status.__args__, "asset": content.Status.__args__}


@pytest.mark.parametrize("machine", [CAMPAIGNS, CONTENT], ids=["campaign", "asset"])
def test_every_state_has_a_row_and_nothing_leads_out_of_the_table(machine: Machine[str, str]) -> None:
    assert set(machine.moves) == set(STATES[machine.thing])
    for row in machine.moves.values():
        assert set(row) <= set(MOVES[machine.thing])
        assert set(row.values()) <= set(machine.moves)
    assert machine.legal("archived") == []


@pytest.mark.parametrize("machine", [CAMPAIGNS, CONTENT], ids=["campaign", "asset"])
def test_every_state_can_be_reached_and_every_one_can_come_to_its_end(machine: Machine[str, str]) -> None:
    def reached(start: str) -> set[str]:
        seen, ahead = {start}, [start]
        while ahead:
            new = set(machine.moves[ahead.pop()].values()) - seen
            seen |= new
            ahead += new
        return seen

    assert reached("draft") == set(machine.moves)
    assert all("archived" in reached(state) for state in machine.moves)


def test_an_illegal_move_names_the_legal_ones() -> None:
    with pytest.raises(IllegalTransition) as refused:
        CAMPAIGNS.after("paused", "activate")
    assert refused.value.status == 409
    assert refused.value.extra == {"state": "paused", "legal": ["resume", "complete"]}


def test_every_move_of_a_campaign_has_its_time() -> None:
    assert set(STAMPS) == set(MOVES["campaign"])
    assert len(set(STAMPS.values())) == len(STAMPS)


class CampaignLife(RuleBasedStateMachine):
    """Any sequence of moves, held against rules that are written here without the table."""

    def __init__(self) -> None:
        super().__init__()
        self.status = "draft"
        self.done: list[str] = []

    @rule(move=st.sampled_from(MOVES["campaign"]))
    def move(self, move: str) -> None:
        if move in CAMPAIGNS.legal(self.status):
            self.status = CAMPAIGNS.after(self.status, move)
            self.done.append(move)
        else:
            with pytest.raises(IllegalTransition):
                CAMPAIGNS.after(self.status, move)

    @invariant()
    def it_has_been_where_its_status_says(self) -> None:
        assert self.done.count("activate") <= 1
        assert self.done.count("complete") <= 1
        assert self.done.count("archive") <= 1
        assert 0 <= self.done.count("pause") - self.done.count("resume") <= 1
        assert (self.status == "draft") == (not self.done)
        if self.status == "archived":
            assert self.done[-1] == "archive"
            assert self.done == ["archive"] or "complete" in self.done
        elif "complete" in self.done:
            assert self.status == "completed"
        elif self.done:
            assert self.status == ("paused" if self.done[-1] == "pause" else "active")


class ContentLife(RuleBasedStateMachine):
    """Versions, approvals and publications as the service keeps them: nobody approves what they did not see."""

    def __init__(self) -> None:
        super().__init__()
        self.status = "draft"
        self.current, self.submitted, self.approved, self.published = 1, 0, 0, 0

    @rule(move=st.sampled_from(MOVES["asset"]))
    def move(self, move: str) -> None:
        try:
            self.status = CONTENT.after(self.status, move)
        except IllegalTransition:
            return
        self.current += move == "revise"
        self.submitted = self.current if move == "submit" else self.submitted
        self.approved = self.current if move == "approve" else self.approved
        self.published = self.current if move == "publish" else self.published

    @invariant()
    def what_is_approved_was_submitted_and_what_is_published_was_approved(self) -> None:
        assert self.published <= self.approved <= self.submitted <= self.current
        if self.status in {"in_review", "approved", "published"}:
            assert self.submitted == self.current
        if self.status in {"approved", "published"}:
            assert self.approved == self.current
        assert (self.status == "published") <= (self.published == self.current)


_SETTINGS = settings(derandomize=True, database=None, deadline=None, max_examples=50, stateful_step_count=20)
TestAnyLifeOfACampaign = CampaignLife.TestCase
TestAnyLifeOfACampaign.settings = _SETTINGS
TestAnyLifeOfAnAsset = ContentLife.TestCase
TestAnyLifeOfAnAsset.settings = _SETTINGS
