"""What every floor may lean on: errors, time, settings, roles, digests.

Reading order: `errors` (the tree every package extends), `clock` (the only source of time), `digests`,
`settings` (declared rows, read once at start), `roles` (what a node's role runs and answers, as data).
It knows nothing of handles, tables or databases; those belong to the rooms above.
"""
