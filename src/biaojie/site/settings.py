"""Django's settings, all derived from the node's own settings (`biaojie.base.settings`) and from constants.

Nothing here is set by hand for one installation: what may be set is a row in `base/settings.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from biaojie.base import clock
from biaojie.base import settings as node_settings
from biaojie.foundation.postgres import dsn

NODE = node_settings.load()
clock.configure(offset_s=NODE.clock_offset_s, scale=NODE.clock_scale, origin_s=NODE.clock_origin_s or None)


def _secret_key() -> str:
    """Empty where there is none: Django then refuses at the first signature, and `startup.check` before that."""
    try:
        return NODE.secret_key_file.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _database() -> dict[str, Any]:
    """Nothing where there is no address, so that tools which only look at the models (types, docs) can load this."""
    if not NODE.database_url:
        return {}
    row = dsn.parse(NODE.database_url).django()
    # One pool per process: a web process holds no more connections than it has threads.
    row["OPTIONS"] = {**row["OPTIONS"], "pool": {"min_size": 1, "max_size": NODE.web_threads + 2, "timeout": 10}}
    row["CONN_MAX_AGE"] = 0
    return row


DEBUG = False
SECRET_KEY = _secret_key()
ALLOWED_HOSTS = list(NODE.allowed_hosts)
ROLE = NODE.role
ROOT_URLCONF = f"biaojie.site.urls.{ROLE}"
WSGI_APPLICATION = "biaojie.site.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Every app and every migration in every role (DESIGN §3.13); the role decides addresses, permissions and planner rows.
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "procrastinate.contrib.django",
    "pgtrigger",
    "biaojie.foundation.audit",
    "biaojie.foundation.accounts",
    "biaojie.foundation.nodes",
    "biaojie.foundation.jobs",
    "biaojie.foundation.workflow",
    "biaojie.foundation.ui",
    "biaojie.foundation.records",
    "biaojie.registry",
]

MIDDLEWARE = [
    "biaojie.foundation.nodes.middleware.SignedAnswers",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "biaojie.site.headers.StrictHeaders",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "biaojie.site.api_answers.ApiAnswers",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
            ]
        },
    }
]

DATABASES = {"default": _database()}

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["biaojie.foundation.accounts.backend.AccountBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

LANGUAGE_CODE = "zh-hans"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "static/"
STATICFILES_DIRS: list[Path] = []
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

# Bulk bodies are read from the input stream by their own endpoints (DESIGN §3.1); all others stay small.
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024
APPEND_SLASH = False

HTTPS = NODE.web_url.startswith("https://")
SESSION_COOKIE_NAME = "biaojie_session"
SESSION_COOKIE_AGE = 30 * 60  # idle log-out after half an hour (等保 2.0, 8.1.4.1 b)
SESSION_SAVE_EVERY_REQUEST = True
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_NAME = "biaojie_csrf"
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SECURE = HTTPS
CSRF_TRUSTED_ORIGINS = [NODE.web_url]
CSRF_FAILURE_VIEW = "biaojie.site.views.csrf_refused"
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# Tasks are found in each app's `jobs.py`.
PROCRASTINATE_AUTODISCOVER_MODULE_NAME = "jobs"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    # At INFO it writes every job's arguments.
    "loggers": {"procrastinate": {"level": "WARNING"}},
    "root": {"handlers": ["stderr"], "level": NODE.log_level.upper()},
}
