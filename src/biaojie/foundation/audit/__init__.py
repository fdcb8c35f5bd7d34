"""Who did what, kept for good: an append-only log and the guard that makes a table append-only.

Reading order: `append_only` (the trigger, as a migration operation any app can use), `models` (one row per act), `log` (the one
verb, `record`). The Merkle tree over these rows and its cosigned checkpoints build on `AuditRecord.id`; they are not here yet.
"""
