"""Who a node is, whom it knows, and how two nodes talk.

Reading order, first without Django (prober and recursor use these too): `errors`; `keys` (key file, key id,
fingerprint); `card` (the signed node card); `nonces` (used nonces, in memory); `signing` (RFC 9421: the signed call,
the signed answer, and their checks). Then with Django: `models`; `identity` (this node and its keys' roll); `peers`
(pinning); `enrolment` (one-time codes, parent and child); `cards` (cards on their way up); `operations` (all verbs in one
place); `database_nonces`, `auth` (a signed call as sign-in of the API), `middleware` (signed answers), `answers`, `api`.
It carries cards and checks signatures; what a peer may do with a call belongs to the room that serves it.
"""
