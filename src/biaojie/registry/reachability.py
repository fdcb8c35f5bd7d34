"""Asks an address whether somebody answers there: once, over the protocol it is registered for.

Any well-formed answer counts, whatever its code: a node that is not yet published answers too. No Django, no database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from biaojie.client.aio import Client
from biaojie.client.errors import ClientError
from biaojie.handle.bodies import GetSiteInfoRequest
from biaojie.registry.rules import Address
from biaojie.resolution.cache import Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What came of asking one address; `reason` says why nobody answered, `elapsed_ms` how long it took."""

    address: Address
    is_answered: bool
    elapsed_ms: float = 0.0
    reason: str = ""

    def as_row(self) -> dict[str, Any]:
        """The form in which a routing change keeps it."""
        return {
            **self.address.as_row(),
            "answered": self.is_answered,
            "elapsed_ms": round(self.elapsed_ms, 1),
            "reason": self.reason,
        }


def check_addresses(addresses: Sequence[Address], *, record: str, timeout_ms: int) -> list[Check]:
    """One check per address, all at once; `record` (`0.NA/<prefix>`) is what HTTP is asked for."""
    return asyncio.run(_check_all(addresses, record, timeout_ms))


async def _check_all(addresses: Sequence[Address], record: str, timeout_ms: int) -> list[Check]:
    async with Client(timeout_ms=timeout_ms) as client:
        return list(await asyncio.gather(*(_check(client, address, record, timeout_ms) for address in addresses)))


async def _check(client: Client, address: Address, record: str, timeout_ms: int) -> Check:
    endpoint = Endpoint(address.protocol.lower(), address.ip, address.port)
    try:
        if address.protocol == "HTTP":
            response = await client.content(endpoint, record, timeout_ms=timeout_ms)
        else:
            response = await client.ask(endpoint, GetSiteInfoRequest(), timeout_ms=timeout_ms)
    except ClientError as error:
        return Check(address=address, is_answered=False, reason=error.message)
    return Check(address=address, is_answered=True, elapsed_ms=response.elapsed_ms)
