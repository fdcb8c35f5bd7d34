"""The database a node stands on: our own PostgreSQL in a folder, or somebody else's behind a URL. No Django here.

Reading order: `errors` (PG-1xx), `dsn` (`BIAOJIE_DATABASE_URL` to Django and libpq), `databases` (create, clone, drop),
`cluster` (the embedded server of one folder: initialise, run, stop, recover); beneath it `binaries` (the server programs
of the wheel), `account` (who runs them), `place` (where the folder's cluster lives, and who holds it), `options`
(the server's settings as rows), `leftovers` (servers that outlived their launcher) and `diagnosis` (server output to a
coded error). It knows nothing of tables, migrations or nodes: those come with the rooms above.
"""
