"""Used nonces in PostgreSQL, seen by every web process of the node."""

from __future__ import annotations

from datetime import datetime

from django.db import connection

# Each call clears away a few expired rows, so the table never outgrows the calls of some minutes.
_SWEEP = """
DELETE FROM nodes_nonce WHERE (key_id, nonce) IN
    (SELECT key_id, nonce FROM nodes_nonce WHERE expires_at < %s ORDER BY expires_at LIMIT 20 FOR UPDATE SKIP LOCKED)
"""
_REMEMBER = "INSERT INTO nodes_nonce (key_id, nonce, expires_at) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"


class DatabaseNonces:
    """The port `nonces.Nonces` on the default database.

    Inside a transaction of the caller, a rolled back request gives its nonce back; it has done nothing, so playing it
    again does no more than sending it again would.
    """

    def is_fresh(self, key_id: str, nonce: str, *, until: datetime, now: datetime) -> bool:
        with connection.cursor() as cursor:
            cursor.execute(_SWEEP, [now])
            cursor.execute(_REMEMBER, [key_id, nonce, until])
            return bool(cursor.rowcount == 1)
