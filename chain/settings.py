"""What the daemons' configurations say about the chain, in one form."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

#: Chains on one machine (Ganache, Anvil, Hardhat): they make blocks only when there is something to do, and keep them.
LOCAL_CHAINS = frozenset({1337, 31337})


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ChainSettings(_Section):
    """How far the endpoints are believed. Where None stands the kind of chain decides."""

    max_lag_blocks: int = Field(5, ge=0, le=10_000, description="an endpoint further behind the best is not read from")
    max_block_age_seconds: int | None = Field(
        None, ge=5, le=86_400, description="newest block older than this: out of service (120; local chains: never)"
    )
    confirmations: int | None = Field(
        None, ge=1, le=1000, description="blocks, its own included, until a transaction counts as mined (3; local: 1)"
    )
    quorum: bool = Field(True, description="what decides about money is believed of two endpoints, where there are two")
    request_seconds: float = Field(20.0, gt=0, le=300)
    stuck_seconds: float = Field(
        60.0, gt=0, le=86_400, description="a transaction not mined after this is sent again at a higher fee"
    )

    def block_age(self, chain_id: int) -> int | None:
        """Seconds; None where any age will do."""
        if self.max_block_age_seconds is None:
            return None if chain_id in LOCAL_CHAINS else 120
        return self.max_block_age_seconds

    def depth(self, chain_id: int) -> int:
        """Confirmations on that chain."""
        return self.confirmations or (1 if chain_id in LOCAL_CHAINS else 3)


class FeeSettings(_Section):
    """Gas: a multiple of the node's price, within a cap. `emergency_cap_gwei` holds where a stake would be lost."""

    multiplier: float = Field(1.3, ge=1, le=10)
    cap_gwei: float = Field(22.0, ge=0)
    emergency_cap_gwei: float = Field(200.0, ge=0)


class Endpoints(_Section):
    """The part of a configuration that names the nodes: `rpc_urls`, or `rpc_url` for one."""

    rpc_urls: Annotated[tuple[str, ...], Field(min_length=1, max_length=16)]
    chain: ChainSettings = ChainSettings()

    @model_validator(mode="before")
    @classmethod
    def _one_url(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "rpc_url" not in data:
            return data
        if "rpc_urls" in data:
            raise ValueError("rpc_url: name the nodes in rpc_urls alone")
        rest = {name: value for name, value in data.items() if name != "rpc_url"}
        return {**rest, "rpc_urls": [data["rpc_url"]]}

    @field_validator("rpc_urls")
    @classmethod
    def _urls(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(rpc_url(one) for one in value))


def rpc_url(text: str) -> str:
    """A node's address without a last slash; ValueError where it is none."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"rpc_url: an address starts with http:// or https://, not '{text[:40]}'")
    return text.rstrip("/")
