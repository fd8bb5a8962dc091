"""The onboarding of a party: a customer, a vendor or a DC, from the request to its closing."""

from __future__ import annotations

from typing import Final

from fillrate_assets.fulfillment.rules.state_machine import NOTHING, StateMachine, Transition

EFFECTS: Final = {
    "validate_party": "onboarding",
    "provision_party": "onboarding",
    "activate_party": "onboarding",
    "suspend_party": "onboarding",
    "close_party": "onboarding",
    "notify_requester": "notify",
}
"""By kind of effect, the function whose queue it goes to. To provision is to write master rows, routes and the
partition key of a DC."""

_ROWS: Final = (
    Transition(NOTHING, "OnboardingRequested", "REQUESTED", ("validate_party",)),
    Transition("REQUESTED", "OnboardingValidated", "VALIDATED", ("provision_party",)),
    Transition("REQUESTED", "OnboardingRefused", "REJECTED", ("notify_requester",)),
    Transition("VALIDATED", "PartyProvisioned", "PROVISIONED", ("activate_party",)),
    Transition("PROVISIONED", "PartyActivated", "ACTIVE", ("notify_requester",)),
    Transition("ACTIVE", "PartySuspended", "SUSPENDED", ("suspend_party", "notify_requester")),
    Transition("ACTIVE", "PartyClosed", "CLOSED", ("close_party", "notify_requester")),
    Transition("SUSPENDED", "PartyResumed", "ACTIVE", ("activate_party", "notify_requester")),
    Transition("SUSPENDED", "PartyClosed", "CLOSED", ("close_party", "notify_requester")),
    # The answer to the activation that a resumption requested.
    Transition("ACTIVE", "PartyActivated", "ACTIVE"),
)

_EVENTS: Final = tuple(dict.fromkeys(row.event for row in _ROWS))


def _list_all_but(*decided: str) -> tuple[str, ...]:
    return tuple(event for event in _EVENTS if event not in decided)


PARTY_LIFECYCLE: Final = StateMachine(
    "onboarding",
    _ROWS,
    refused={
        NOTHING: _list_all_but("OnboardingRequested"),
        "REQUESTED": _list_all_but("OnboardingValidated", "OnboardingRefused"),
        "VALIDATED": _list_all_but("PartyProvisioned"),
        "PROVISIONED": _list_all_but("PartyActivated"),
        "ACTIVE": _list_all_but("PartySuspended", "PartyClosed", "PartyActivated"),
        "SUSPENDED": _list_all_but("PartyResumed", "PartyClosed"),
        "REJECTED": _EVENTS,
        "CLOSED": _EVENTS,
    },
    terminal=frozenset({"REJECTED", "CLOSED"}),
    effects=EFFECTS,
)
