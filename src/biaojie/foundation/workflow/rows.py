"""What a workflow is, as rows: states that say who moves next, transitions that say everything about a step. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

StateCode = int | str
# Gives the reason why the step may not be taken, or None.
Guard = Callable[[Any], str | None]


class Unit(Enum):
    """In what a deadline is counted."""

    HOURS = "小时"
    DAYS = "日"
    WORKING_DAYS = "个工作日"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """How long the next mover has. Working days are counted by whoever holds a calendar; hours and days here."""

    amount: int
    unit: Unit

    def __str__(self) -> str:
        return f"{self.amount} {self.unit.value}"

    def due_at(self, start: datetime) -> datetime | None:
        """The moment it ends; None for working days, which need a calendar."""
        if self.unit is Unit.WORKING_DAYS:
            return None
        return start + (timedelta(hours=self.amount) if self.unit is Unit.HOURS else timedelta(days=self.amount))


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """`mover` says whose turn it is (a role's or party's Chinese name); empty for a state nobody has to leave."""

    code: StateCode
    title: str
    mover: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One step. `roles` empty: no person of any role, only the software (a peer's signed call, a job)."""

    event: str
    title: str
    source: StateCode
    target: StateCode
    roles: frozenset[str] = frozenset()
    guard: Guard | None = None
    deadline: Deadline | None = None
    mail: str = ""
    document: str = ""
    clause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """A workflow; refuses to exist if its rows contradict each other."""

    name: str
    title: str
    states: tuple[State, ...]
    transitions: tuple[Transition, ...]
    initial: tuple[StateCode, ...]

    def __post_init__(self) -> None:
        codes = [state.code for state in self.states]
        if len(set(codes)) != len(codes) or len({type(code) for code in codes}) != 1:
            raise ValueError(f"workflow {self.name}: state codes must differ and be of one type")
        named = {*self.initial, *(row.source for row in self.transitions), *(row.target for row in self.transitions)}
        if not self.initial or named - set(codes):
            raise ValueError(f"workflow {self.name}: undeclared states {sorted(map(str, named - set(codes)))}")
        steps = [(row.event, row.source) for row in self.transitions]
        if len(set(steps)) != len(steps):
            raise ValueError(f"workflow {self.name}: an event leads from one state to two")

    def state(self, code: StateCode) -> State:
        """The state of this code; KeyError for none."""
        for state in self.states:
            if state.code == code:
                return state
        raise KeyError(code)

    def find(self, event: str, source: StateCode) -> Transition | None:
        """The step `event` takes from `source`."""
        return next((row for row in self.transitions if row.event == event and row.source == source), None)

    def possible(self, source: StateCode, role: str | None = None) -> tuple[Transition, ...]:
        """The steps out of `source`, for one role or for all."""
        return tuple(row for row in self.transitions if row.source == source and (role is None or role in row.roles))

    def allows(self, source: StateCode, target: StateCode) -> bool:
        """Whether some declared step leads from one to the other; staying is always allowed."""
        return source == target or any(row.source == source and row.target == target for row in self.transitions)

    def title_of(self, event: str) -> str:
        """The event's Chinese name."""
        return next((row.title for row in self.transitions if row.event == event), event)
