"""The verbs of this room in one place: what pages, API, CLI, jobs and other rooms call.

`identity` makes and changes this node, `enrolment` joins two nodes, `cards` keeps their cards current.
"""

from __future__ import annotations

from biaojie.foundation.nodes.cards import (
    block_peer,
    client_for,
    grant_prefixes,
    parent,
    push_card,
    push_card_or_owe,
    receive_card,
    unblock_peer,
    unpin_peer,
)
from biaojie.foundation.nodes.enrolment import accept_enrolment, enrol_with_parent, issue_code
from biaojie.foundation.nodes.identity import establish, roll_key, set_prefixes, this_node

__all__ = [
    "accept_enrolment",
    "block_peer",
    "client_for",
    "enrol_with_parent",
    "establish",
    "grant_prefixes",
    "issue_code",
    "parent",
    "push_card",
    "push_card_or_owe",
    "receive_card",
    "roll_key",
    "set_prefixes",
    "this_node",
    "unblock_peer",
    "unpin_peer",
]
