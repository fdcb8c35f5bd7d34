"""What strangers import: ask a Handle server or a recursive node, from asyncio or from plain code.

Reading order: `errors` (CLI-1xx), `exchange` (a request as octets, octets as a `Response`: shared by both clients, no
sockets), `web` (the JSON forms of `/api/handles` and `/api/v1/routes`), `aio` (asyncio: UDP, pooled TCP, HTTP), `blocking`
(the same for plain code), `walker` (drives a walk from the root), `resolver` (one call that asks a server and gives the
path), `terminal` (shows it).

It knows one server at a time; the walk from server to server is `resolution.recursion`.
"""
