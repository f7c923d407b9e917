"""Who uses the exchange."""

from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    """A person with an account. Ours from the start, since Django can't exchange the model later."""
