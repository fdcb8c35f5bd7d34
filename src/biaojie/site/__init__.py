"""The Django project: what a web or worker process of any role loads.

Reading order: `settings` (Django's settings, derived from `biaojie.base.settings`), `api` (the JSON API of a role),
`urls/` (one module per role, each one line), `views` (health, metrics, JSON error pages), `api_answers` (HEAD, OPTIONS and
refusals of the API), `headers`, `wsgi` (what the web server runs) with `unread` (bodies nobody has read), `migrate` (brings one database up to date). Business lies in the chapters; here they are only put together.
"""
