"""The states of a lease, and the events that each state allows."""

from __future__ import annotations

from rekolabels.models._lease import _TRANSITIONS, LeaseState, _Event

FINAL = {LeaseState.STOPPING, LeaseState.RELEASED}


def test_every_event_has_transitions() -> None:
    """The table has a row for each event."""
    assert set(_TRANSITIONS) == set(_Event)


def test_every_state_can_be_reached_and_released() -> None:
    """A release is possible in every state, and every state but the first follows from another."""
    following = {state for row in _TRANSITIONS.values() for state in row.values()}
    assert following == set(LeaseState) - {LeaseState.NEW}
    assert set(_TRANSITIONS[_Event.RELEASE]) == set(LeaseState)


def test_final_states_are_never_left() -> None:
    """After the lease is released, only further releases are possible, and they change nothing."""
    for event, row in _TRANSITIONS.items():
        for state in FINAL & row.keys():
            assert (event, row[state]) == (_Event.RELEASE, state)
