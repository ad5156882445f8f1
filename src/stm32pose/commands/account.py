"""`stm32pose login` and `stm32pose logout`: the token of ST Edge AI Developer Cloud."""

from __future__ import annotations

from argparse import Namespace

from stm32pose.reporting.console import say


def login(given: Namespace) -> int:
    """Log in and keep the token; a token that is still accepted is kept as it is."""
    from stm32pose.benchmark.developer_cloud.client import connect, interactive_credentials

    with connect(ask=interactive_credentials) as client:
        say(f"logged in to ST Edge AI Developer Cloud as {client.user}; the token is in {client.token_place}")
    return 0


def logout() -> int:
    """Forget the stored token."""
    from stm32pose.benchmark.developer_cloud.addresses import Addresses
    from stm32pose.benchmark.developer_cloud.tokens import TokenStore

    addresses = Addresses.from_environment()
    there = TokenStore(addresses.host).delete()
    say(f"the token of {addresses.host} is forgotten" if there else f"there was no token of {addresses.host}")
    return 0
