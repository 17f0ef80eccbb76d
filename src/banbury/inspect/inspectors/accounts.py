"""Who can log in, and with what: account files, password hashes anywhere, secrets in settings."""

from __future__ import annotations

from banbury.inspect.inspectors._hashes import PasswordHashes
from banbury.inspect.inspectors._passwd import Accounts
from banbury.inspect.inspectors._secrets import Credentials

INSPECTORS = (Accounts(), PasswordHashes(), Credentials())
