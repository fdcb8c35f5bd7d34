"""What every chapter stands on; each room is a Django app unless it says otherwise.

Reading order, lowest first: `postgres` (launcher of the embedded database and its addresses, no Django), `audit`
(who did what, append-only), `ui` (answer envelope; later forms and lists), `accounts` (people, roles, tokens), `nodes` (node card, keys, enrolment, signed calls;
`card` and `signing` without Django), `jobs` (enqueue, schedule table, planner, lanes), `workflow` (transition rows,
trigger, deadlines), `records` (change journal; later the record store).
A room never imports one further down this list, and none imports a chapter.
"""
