"""What the pool sells: `orders` in scheduler.yaml."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from poco import amounts
from poco.errors import PewError
from poco.hexes import ZERO_ADDRESS
from poco.tags import FEATURES, GREEN, union
from poco.wire import Address

_TAGS = {**FEATURES, "green": GREEN}


def _amount(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return amounts.parse(value)
    except PewError as error:
        raise ValueError(error.message) from None


class Template(BaseModel):
    """One of `orders`: what the pool sells. `price` is of one task, as `1.5 RLC` or in nRLC."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    category: Annotated[int, Field(ge=0, le=2**53)]
    price: Annotated[int, BeforeValidator(_amount), Field(ge=0, le=amounts.SUPPLY_NRLC)]
    volume: Annotated[int, Field(ge=1, le=10**9)] = 100
    trust: Annotated[int, Field(ge=1, le=2**53)] = 1
    tags: tuple[str, ...] = ()
    app: Address = ZERO_ADDRESS
    dataset: Address = ZERO_ADDRESS
    requester: Address = ZERO_ADDRESS

    @field_validator("tags")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(value) - set(_TAGS))
        if unknown:
            raise ValueError(f"there is no tag {', '.join(unknown)}, only {', '.join(_TAGS)}")
        return value

    @property
    def tag(self) -> str:
        return union(_TAGS[name] for name in self.tags)

    def key(self) -> str:
        """A name for these terms, the same after a restart."""
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()[:32]
