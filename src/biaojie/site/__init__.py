"""The Django project: what a web or worker process of any role loads.

Reading order: `settings` (Django's settings, derived from `biaojie.base.settings`), `api` (the JSON API of a role),
`urls/` (one module per role, each one line), `views` (health, metrics, JSON error pages), `wsgi` (what the web server
runs), `migrate` (brings one database up to date). Business lies in the chapters; here they are only put together.
"""
