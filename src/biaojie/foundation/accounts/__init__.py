"""People and programs that sign in: accounts, their roles, bearer tokens, and the lock after repeated failures.

Reading order: `errors`, `models` (user, token, lock), `lockout` (when an account is closed), `tokens` (issue, find, revoke),
`bearer` (how a request is signed in, `actor_of`), `operations` (create an account, change a password), `api`. What a role
may do is a row in `base.roles`; which registrant a user belongs to is the registry's business.
"""
