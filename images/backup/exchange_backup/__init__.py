"""Backups of a PostgreSQL database in S3: streamed, encrypted, and known to restore."""

__version__ = "0.1.0"
