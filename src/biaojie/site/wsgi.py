"""The WSGI application that the web server runs."""

from __future__ import annotations

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from biaojie.site import startup
from biaojie.site.unread import UnreadBodies

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "biaojie.site.settings")

startup.check(settings.NODE)
application = UnreadBodies(get_wsgi_application())
