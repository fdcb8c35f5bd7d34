"""Sockets around `handle` and `resolution`: octets come in, are answered, and go out. Meaning stays outside.

Reading order: `policy` (the limits, as rows), `responder` (one request in, one reply out, counted and limited), `ratelimit`,
`shares` (connections per source); then the shells: `mmsg` (many datagrams per system call), `answers` (replies kept by the octets of their requests) and `udp`;
`tcp`; `http` (the JSON API, the tunnel, health and metrics) with `lookup` (what it asks the index) and `http_server` (the
embedded server); `tallies` and `metrics` (what `/metrics` says).

Left to others: what an answer is (`resolution.authority`), what a message is (`handle`), which sockets a process opens
(`processes.resolver`).
"""
