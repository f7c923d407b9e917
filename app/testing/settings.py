"""Settings of the tests: the real ones, with an environment of their own."""

from __future__ import annotations

import os

# testing.server sets these to its server's before Django is set up; these are for mypy, which connects to none.
for name, value in {
    "SECRET_KEY": "only-for-tests-" + "0123456789" * 5,
    "ALLOWED_HOSTS": "testserver,localhost,127.0.0.1",
    "DATABASE_HOST": "localhost",
    "DATABASE_NAME": "exchange",
    "DATABASE_USER": "exchange",
    "DATABASE_PASSWORD": "exchange",
    "DATABASE_SSLMODE": "disable",
    "TRUSTED_PROXY_COUNT": "0",
    "MEDIA_STORAGE": "local",
}.items():
    os.environ.setdefault(name, value)

from exchange.settings import *  # noqa: E402, F403 - after the environment is there
from testing.settings_storage import STORAGES  # noqa: E402, F401

# The test client speaks plain HTTP; tests of the redirect switch it on.
SECURE_SSL_REDIRECT = False
# A hash of a password takes long on purpose.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
