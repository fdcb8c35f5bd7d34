"""Who a node is, whom it knows, and how two nodes talk.

Reading order, first without Django (prober and recursor use these too): `errors`; `keys` (key file, key id,
fingerprint); `card` (the signed node card); `nonces` (used nonces, in memory); `signing` (RFC 9421: the signed call
and its check). Then with Django: `models` (this node, its peers, enrolment codes, nonces), `database_nonces`,
`operations` (the verbs), `auth` (a signed call as sign-in of the API), `middleware` (signed answers), `api`.
It carries cards and checks signatures; what a peer may do with a call belongs to the room that serves it.
"""
