"""Django's settings. Whatever differs between installations comes from environment variables (docs/app.md)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from psycopg import IsolationLevel

from exchange.environment import Environment, EnvironmentErrors
from exchange.media import media_storage
from operations.logs import logging_config

BASE_DIR = Path(__file__).resolve().parent.parent
HOST_NAME = r"\*|\.?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:.]+\]"
ORIGIN = r"https?://(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]+)?"
# Django's own deployment check asks for this much.
SECRET_KEY_PATTERN = r"(?!django-insecure-).{50,}"  # noqa: S105 - not one, but how one looks
SECRET_KEY_ALLOWED = "a random text of at least 50 characters"  # noqa: S105

env = Environment(os.environ)

# --- Core ------------------------------------------------------------------------------------------------------------
DEBUG = env.boolean("DEBUG", default=False)
SECRET_KEY = env.text("SECRET_KEY", pattern=SECRET_KEY_PATTERN, allowed=SECRET_KEY_ALLOWED, secret=True)
# Keys of before a rotation: sessions and reset links made with them stay good.
SECRET_KEY_FALLBACKS = env.words(
    "SECRET_KEY_FALLBACKS",
    [],
    pattern=SECRET_KEY_PATTERN,
    allowed="random texts of at least 50 characters",
    secret=True,
)
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", pattern=HOST_NAME, allowed="host names without scheme or port")
CSRF_TRUSTED_ORIGINS = env.words(
    "CSRF_TRUSTED_ORIGINS", [], pattern=ORIGIN, allowed="origins such as https://exchange.example.com"
)
# What was deployed, as the chart says it: on every page and in /healthz.
APP_VERSION = env.text(
    "APP_VERSION", "", pattern=r"[A-Za-z0-9_:.-]{1,128}", allowed="at most 128 letters, digits and `_:.-`"
)
ROOT_URLCONF = "exchange.urls"
WSGI_APPLICATION = "exchange.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True

INSTALLED_APPS = [
    "operations",  # before Django's own, so that its migrate command is found first
    "accounts",
    "ledger",
    "markets",
    "wallet",
    "api",
    "outbox",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "csp",
    "django_htmx",
    "django_prometheus",
    "ninja",
]

MIDDLEWARE = [
    # Probes come by pod address over plain HTTP: answered before host names and the scheme are looked at.
    "operations.health.HealthMiddleware",
    "operations.in_flight.InFlightMiddleware",
    "operations.requests.RequestContextMiddleware",
    "api.problems.ProblemMiddleware",
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    # Before whatever may need the database: what fails in between is a server error and has to be counted as one.
    "django_prometheus.middleware.PrometheusAfterMiddleware",
    "csp.middleware.CSPMiddleware",
    # Before whatever asks the database.
    "operations.repetition.RepetitionMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "operations.requests.UserContextMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

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
                "wallet.context.features",
                "operations.context.version",
            ],
        },
    },
]

# --- Database --------------------------------------------------------------------------------------------------------
database_sslmode = env.choice("DATABASE_SSLMODE", ["disable", "require", "verify-ca", "verify-full"], "verify-full")
database_sslrootcert = env.text(
    "DATABASE_SSLROOTCERT", "", pattern=r"/.+|system", allowed="the absolute path of a PEM file, or `system`"
)
env.require(
    condition=bool(database_sslrootcert) or not database_sslmode.startswith("verify-"),
    problem=f"DATABASE_SSLROOTCERT is not set, which DATABASE_SSLMODE {database_sslmode!r} needs; "
    "expected the absolute path of a PEM file, or `system`",
)
# A lock that can't be had must not hold up everybody who queues behind it.
database_lock_timeout_ms = env.integer("DATABASE_LOCK_TIMEOUT_MS", 5_000, minimum=1, maximum=600_000)
database_statement_timeout_ms = env.integer("DATABASE_STATEMENT_TIMEOUT_MS", 15_000, minimum=1, maximum=3_600_000)
MIGRATE_LOCK_TIMEOUT_MS = env.integer("MIGRATE_LOCK_TIMEOUT_MS", 5_000, minimum=1, maximum=600_000)

DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": env.text("DATABASE_HOST", pattern=r"[^\s@]+", allowed="a host name, or several with commas between"),
        "PORT": str(env.integer("DATABASE_PORT", 5432, minimum=1, maximum=65_535)),
        "NAME": env.text("DATABASE_NAME", allowed="the database's name"),
        "USER": env.text("DATABASE_USER", allowed="the login role"),
        "PASSWORD": env.text("DATABASE_PASSWORD", allowed="the login role's password", secret=True),
        # A connection is kept and looked at before its first use in a request: after a failover each thread notices,
        # and replaces, its own.
        "CONN_MAX_AGE": env.integer("DATABASE_CONN_MAX_AGE_SECONDS", 300, minimum=0, maximum=86_400),
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "application_name": "exchange",
            # The markets read what others committed while they waited for a lock (ledger.batch keeps plans from the
            # first use on).
            "isolation_level": IsolationLevel.READ_COMMITTED,
            "prepare_threshold": 0,
            "sslmode": database_sslmode,
            **({"sslrootcert": database_sslrootcert} if database_sslrootcert else {}),
            # Never a standby, nor a former primary that doesn't know yet.
            "target_session_attrs": "read-write",
            "connect_timeout": env.integer("DATABASE_CONNECT_TIMEOUT_SECONDS", 3, minimum=2, maximum=60),
            # A server that vanished without a word is noticed within some 10 s rather than after hours.
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
            "options": f"-c lock_timeout={database_lock_timeout_ms}"
            f" -c statement_timeout={database_statement_timeout_ms}"
            " -c idle_in_transaction_session_timeout=60000",
        },
    },
}

# Counters of the login rate limits: shared by all replicas, so in the database.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "operations_cache",
        # Beyond this Django drops entries that are still good: with its default of 300 somebody who guesses passwords
        # of many accounts would wipe out the counters. It counts the rows at each write, so not a million either.
        "OPTIONS": {"MAX_ENTRIES": 20_000},
    },
}

# --- Behind a proxy, over TLS ----------------------------------------------------------------------------------------
TRUSTED_PROXY_COUNT = env.integer("TRUSTED_PROXY_COUNT", 1, minimum=0, maximum=10)
if TRUSTED_PROXY_COUNT:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
HTTPS_ONLY = env.boolean("HTTPS_ONLY", default=not DEBUG)
SECURE_SSL_REDIRECT = HTTPS_ONLY
SECURE_HSTS_SECONDS = env.integer("HSTS_SECONDS", 31_536_000 if HTTPS_ONLY else 0, minimum=0, maximum=63_072_000)
SESSION_COOKIE_SECURE = HTTPS_ONLY
CSRF_COOKIE_SECURE = HTTPS_ONLY
CSRF_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SECURE = HTTPS_ONLY
SESSION_ENGINE = "django.contrib.sessions.backends.db"
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SILENCED_SYSTEM_CHECKS = [
    # Whether the other hosts of the domain are ready for HSTS is for their owner to say, at the ingress.
    "security.W005",
    "security.W021",
]
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        # data: is the QR code of the second factor.
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    },
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

# --- Accounts --------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
# scrypt takes 16 MiB a login, Argon2 as Django sets it 100 MiB: several at once must fit into a small pod.
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "wallet:dashboard"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email*", "password1*", "password2*"]
ACCOUNT_FORMS = {"login": "accounts.forms.LoginForm"}
ACCOUNT_UNIQUE_EMAIL = True
ACCOUNT_USERNAME_MIN_LENGTH = 3
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if HTTPS_ONLY else "http"
ACCOUNT_SESSION_REMEMBER = True
ALLAUTH_TRUSTED_PROXY_COUNT = TRUSTED_PROXY_COUNT
MFA_ADAPTER = "accounts.adapters.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "CryptoCurrencyExchange"

# --- Mail ------------------------------------------------------------------------------------------------------------
EMAIL_HOST = env.text("EMAIL_HOST", "", pattern=r"\S+", allowed="the SMTP server's host name")
EMAIL_PORT = env.integer("EMAIL_PORT", 587, minimum=1, maximum=65_535)
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER", "", allowed="the SMTP login")
EMAIL_HOST_PASSWORD = env.text("EMAIL_HOST_PASSWORD", "", allowed="the SMTP password", secret=True)
email_security = env.choice("EMAIL_SECURITY", ["starttls", "tls", "none"], "starttls")
EMAIL_USE_TLS = email_security == "starttls"
EMAIL_USE_SSL = email_security == "tls"
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.text(
    "EMAIL_FROM", "exchange@localhost", pattern=r"[^\s].*@.*", allowed="an address such as noreply@example.com"
)
# Mail waits in the database for the worker, which speaks SMTP. Without a server it is printed in development and
# dropped elsewhere: a reset link has no place in a log.
EMAIL_BACKEND = "{}.EmailBackend".format(
    "outbox.backend" if EMAIL_HOST else f"django.core.mail.backends.{'console' if DEBUG else 'dummy'}"
)
PASSWORD_RESET_BY_MAIL = bool(EMAIL_HOST) or DEBUG
ACCOUNT_EMAIL_VERIFICATION = "optional" if PASSWORD_RESET_BY_MAIL else "none"
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
# An address that nobody can verify must not keep anybody from a second factor.
MFA_ALLOW_UNVERIFIED_EMAIL = not PASSWORD_RESET_BY_MAIL

# --- Files -----------------------------------------------------------------------------------------------------------
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
MEDIA_URL = "media/"
media_folder = env.text("MEDIA_ROOT", "", pattern=r"/.*", allowed="an absolute path")
MEDIA_ROOT = media_folder or str(BASE_DIR / "media")
MEDIA_STORAGE, default_storage = media_storage(env, folder=bool(media_folder) or DEBUG)
STORAGES = {
    "default": default_storage,
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
# Uploads are read into memory, so that nothing is written to a disk before it is checked; what is larger isn't read.
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]
FILE_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024

# --- Wallet ----------------------------------------------------------------------------------------------------------
# The rails are simulated: who made a transfer may play the bank and confirm or reject it.
SIMULATED_RAILS = env.boolean("SIMULATED_RAILS", default=True)

# --- Operations ------------------------------------------------------------------------------------------------------
LOG_LEVEL = env.choice("LOG_LEVEL", ["DEBUG", "INFO", "WARNING", "ERROR"], "INFO")
LOG_FORMAT = env.choice("LOG_FORMAT", ["json", "console"], "json")
LOGGING = logging_config(LOG_LEVEL, LOG_FORMAT)
LOGGING_CONFIG = "operations.logs.configure"
# What a client that got a 503 is told to wait: a failover takes about as long.
RETRY_AFTER_SECONDS = env.integer("RETRY_AFTER_SECONDS", 5, minimum=1, maximum=3_600)
# How long an answer of /readyz is reused.
READINESS_CACHE_SECONDS = 1.0
PROMETHEUS_LATENCY_BUCKETS = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, float("inf"),
)  # fmt: skip

try:
    env.check()
except EnvironmentErrors as error:
    raise ImproperlyConfigured(str(error)) from None
