"""The Handle wire protocol, sans-I/O: bytes in, values out, and back.

Reading order: `errors`, `layout` and `kinds` (how a structure is declared), `codes` (numbers and flags as rows), `envelope`,
`header`, `values`, `sites`, `system_values`, `bodies` and `body_layouts` (what each operation carries), `messages` (a whole
message), `datagrams` (UDP pieces) and `streams` (TCP frames), `hashing` (which server of a site); then trust: `keys`, `jwk`,
`key_files`, `credentials`, `challenges`, `sessions`; then views: `json_form` (HTTP), `dump` (labelled hex), `reference` (the
generated page).

Where RFC 3650-3652 and the software in use differ, the software in use is followed (`docs/divergences.md`). Sockets, clocks,
randomness kept over time, storage and the meaning of requests belong to the rooms above.
"""
