"""Settings of a gunicorn under test: the real ones, and two addresses that misbehave on purpose."""

from exchange.settings import *  # noqa: F403
from testing.settings_storage import STORAGES  # noqa: F401

ROOT_URLCONF = "testing.urls"
# Nobody has to run `collectstatic` before the tests.
WHITENOISE_USE_FINDERS = True
