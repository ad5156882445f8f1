"""Where a user name and a password come from: the environment, or the person at the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping

from stm32pose.benchmark.developer_cloud.errors import CloudError

PAIRS = (("STM32AI_USERNAME", "STM32AI_PASSWORD"), ("stmai_username", "stmai_password"))
Credentials = tuple[str, str]
Ask = Callable[[], Credentials | None]


def environment_credentials(environment: Mapping[str, str] | None = None) -> Credentials | None:
    """User name and password of the environment; None where neither is set. CloudError: only one of the two is."""
    given = os.environ if environment is None else environment
    for names in PAIRS:
        user, password = (given.get(name, "") for name in names)
        if user and password:
            return user, password
        if user or password:
            here, missing = names if user else names[::-1]
            raise CloudError(f"environment variable {here} is set but {missing} is not")
    return None


def interactive_credentials() -> Credentials | None:
    """Ask at the terminal, the password unseen; None where there is no terminal or nothing was typed."""
    import getpass

    if not sys.stdin.isatty():
        return None
    sys.stderr.write("my.ST user name (e-mail): ")
    sys.stderr.flush()
    user = sys.stdin.readline().strip()
    if not user:
        return None
    try:
        password = getpass.getpass("my.ST password: ", stream=sys.stderr)
    except EOFError:
        return None
    return (user, password) if password else None
