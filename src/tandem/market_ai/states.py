"""State machines as tables: what may happen to a thing in each state, and which state it leads to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from tandem.core.errors import Conflict

State = TypeVar("State", bound=str)
Move = TypeVar("Move", bound=str)


class IllegalTransition(Conflict):
    """`state` is the present one, `legal` the moves that it allows."""

    code, title = "illegal_transition", "That cannot happen in the present state"


class NotDeletable(Conflict):
    code, title = "not_deletable", "Only a draft, or what is archived, can be deleted"


@dataclass(frozen=True)
class Machine(Generic[State, Move]):
    """`moves` has a row for every state, an empty one for a state that nothing leaves."""

    thing: str  # in messages: "campaign"
    moves: Mapping[State, Mapping[Move, State]]

    def legal(self, state: State) -> list[Move]:
        return list(self.moves[state])

    def after(self, state: State, move: Move) -> State:
        """Where `move` leads; raises IllegalTransition."""
        target = self.moves[state].get(move)
        if target is None:
            legal = self.legal(state)
            allowed = ", ".join(legal) or "nothing"
            raise IllegalTransition(
                f"One cannot {move} this {self.thing}: its status is {state}, which allows {allowed}",
                state=state,
                legal=legal,
            )
        return target
