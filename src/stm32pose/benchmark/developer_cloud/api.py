"""`Api`: requests with a token, renewed when the server says so."""

from __future__ import annotations

import logging
from dataclasses import replace

from stm32pose.benchmark.developer_cloud.account import HOW_TO, Account
from stm32pose.benchmark.developer_cloud.addresses import Addresses, without_query
from stm32pose.benchmark.developer_cloud.errors import CloudError, Refused, RouteNotFound, TokenExpired
from stm32pose.benchmark.developer_cloud.http import Call, Http, Reply, fail

log = logging.getLogger(__name__)


class Api:
    """The services of one site for one account.

    Attributes:
        http, addresses, account: what it is made of.
    """

    def __init__(self, http: Http, addresses: Addresses, account: Account) -> None:
        self.http = http
        self.addresses = addresses
        self.account = account

    def call(self, call: Call, failed: type[CloudError] = CloudError) -> Reply:
        """Send a request; the answer has status 200 (201, 202, 204).

        A 401 renews the token once, then logs in once.

        Raises:
            TokenExpired: still 401. Refused: 403. RouteNotFound: 404.
            failed: any other status, in the server's words.
            CloudError: see `Http.send`.
        """
        reply = self.send(call)
        if reply.status in (200, 201, 202, 204):
            return reply
        if reply.status == 403:
            raise fail(Refused, reply)
        if reply.status == 404:
            said = f": {reply.words}" if reply.words else ""
            raise RouteNotFound(f"{call.what}: {without_query(call.url)} is not there (HTTP 404){said}")
        raise fail(failed, reply)

    def send(self, call: Call) -> Reply:
        """As `call`, but any status except 401, 429 and 5xx is the caller's to judge."""
        for renew in (self.account.refresh, self.account.log_in):
            reply = self.http.send(replace(call, bearer=self.account.access))
            if reply.status != 401:
                return reply
            log.info("%s: the token is no longer accepted; getting another", call.what)
            renew()
        reply = self.http.send(replace(call, bearer=self.account.access))
        if reply.status == 401:
            said = f": {reply.words}" if reply.words else ""
            raise TokenExpired(f"{call.what}: the token is not accepted{said}; {HOW_TO}")
        return reply
