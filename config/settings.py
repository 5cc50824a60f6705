"""Every setting of Drydock in one place; what differs between installations comes from the environment."""

from typing import Any

import django_stubs_ext
from csp.constants import SELF
from django.utils.translation import gettext_lazy as _

from config import env as environment
from config import logging
from config.env import BASE_DIR, DATA_DIR, env

# Lets `QuerySet[Host]` and friends be written in annotations at run time too.
django_stubs_ext.monkeypatch()

DEBUG: bool = env.bool("DEBUG", default=False)
SECRET_KEY: str = environment.secret_key()
ENCRYPTION_KEYS: list[str] = environment.encryption_keys()
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "csp",
    "django_htmx",
    "django_structlog",
    "template_partials",
    "images",
    "cleanup",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "config.middleware.AccountMiddleware",
    "config.middleware.NotAllowedMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "config.middleware.RowNumbersMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "images.live.progress.live_position",
            ],
            "builtins": ["template_partials.templatetags.partials"],
        },
    }
]

_SQLITE_OPTIONS: dict[str, Any] = {
    # IMMEDIATE and a patient timeout: the defaults gave "database is locked" from several processes.
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-65536;",
}
DATABASES: dict[str, dict[str, Any]] = {
    "default": env.db_url("DATABASE_URL", default=f"sqlite:///{DATA_DIR}/drydock.sqlite3")
}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["OPTIONS"] = _SQLITE_OPTIONS
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "images.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "account:login"
LOGIN_REDIRECT_URL = "images:overview"
LOGOUT_REDIRECT_URL = "account:login"

# "json" is for collectors, "text" for people.
LOGGING = logging.configured(
    level=env.str("LOG_LEVEL", default="INFO"), as_json=env.str("LOG_FORMAT", default="text") == "json"
)

REDIS_URL: str = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("zh-hans", _("Simplified Chinese"))]
LOCALE_PATHS = [BASE_DIR / "config" / "locale"]
TIME_ZONE: str = env.str("TIME_ZONE", default="UTC")
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT: str = env.str("STATIC_ROOT", default=str(BASE_DIR / "build" / "static"))
# build/vendor holds the browser packages of package.json, copied there at set-up; see Makefile.
STATICFILES_DIRS = [BASE_DIR / "static", BASE_DIR / "build" / "vendor"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": ["'none'"],
        "object-src": ["'none'"],
    }
}
HTTPS: bool = env.bool("HTTPS", default=False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT: bool = env.bool("SECURE_SSL_REDIRECT", default=False)
SECURE_HSTS_SECONDS: int = env.int("SECURE_HSTS_SECONDS", default=0)
SECURE_HSTS_INCLUDE_SUBDOMAINS: bool = env.bool("SECURE_HSTS_INCLUDE_SUBDOMAINS", default=False)
SECURE_HSTS_PRELOAD: bool = env.bool("SECURE_HSTS_PRELOAD", default=False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SESSION_COOKIE_AGE = 14 * 24 * 3600
X_FRAME_OPTIONS = "DENY"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

# Celery: two queues, so that a long build never delays a sync. Every task is safe to deliver twice.
CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # Longer than any job may take: Redis hands a task out again after this time.
    "visibility_timeout": 24 * 3600,
    "socket_keepalive": True,
    # A click must not wait for a Redis that is down or hangs: the next tick wakes the worker instead.
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0,
    "interval_max": 0,
    "socket_connect_timeout": 2,
    "socket_timeout": 5,
}
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "quick"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"

PLAN_HOURS: int = env.int("PLAN_HOURS", default=24)  # a plan older than this is not run
# How long ended jobs with their logs, and entries of the audit log, are kept; 0 keeps them for ever.
JOB_DAYS: int = env.int("JOB_DAYS", default=90)
AUDIT_DAYS: int = env.int("AUDIT_DAYS", default=400)  # a review of a whole year finds all of it
# How long a registry's word on a tag is good for; then it is asked again, by digest only.
REMOTE_TAG_HOURS: int = env.int("REMOTE_TAG_HOURS", default=24)
# Build contexts: web writes what people send, workers read it; both need the same folder.
SPOOL_DIR: str = env.str("SPOOL_DIR", default=str(DATA_DIR / "spool"))
CONTEXT_LIMIT_BYTES: int = env.int("CONTEXT_LIMIT_BYTES", default=4_000_000_000)
BUILDX: str = env.str("BUILDX", default="")  # the program docker-buildx, where it is not found by itself
GIT_ALLOWS_FILES: bool = env.bool("GIT_ALLOWS_FILES", default=False)  # file:// addresses; for tests
