"""Answers from memory-mapped files: what a node publishes, how resolvers follow it, what they reply and count.

Reading order: `policy` (the numbers, as rows), `errors`, `entries` (what a publication says, one entry at a time),
`container` (the sealed file form, shared with the deposit), `publication` (the writing side), `sources` and `follower` (the
reading side), `environment`, `index`, `reader` and `writing` (LMDB generations: shared, swapped, looked up, filled),
`routes` (narrowest covering interval), `answers`, `early` (what is refused before it is a request) and `authority` (what this node answers; octets in, octets out),
`fastpath` (the common request, recognised by its octets), `counters` (what 表3, 表8 and 附件2 count); then `cache`,
`questions`, `memory` and `recursion`: a resolver that asks others.

No sockets here (`net` has them) and no business rules: what is public was decided by whoever wrote the publication.
"""
