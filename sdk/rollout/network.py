"""`networks/<name>.yaml`: all that a rollout has to know of one network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from chain.settings import Endpoints, FeeSettings, rpc_url
from poco.errors import BadInputError
from poco.hexes import ZERO_ADDRESS, address

FOLDER = Path("networks")
#: What is deployed, in this order: each may need those before it.
CONTRACTS = ("Rlc", "AppRegistry", "DatasetRegistry", "WorkerpoolRegistry", "HubExtension", "EnergyLedger", "Hub")


def _account(text: str) -> str:
    try:
        found = address(text)
    except BadInputError as error:
        raise ValueError(f"{error.message}; {error.hint}") from None
    if found == ZERO_ADDRESS:
        raise ValueError("the zero address is nobody's")
    return found


Account = Annotated[str, AfterValidator(_account)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CategoryWanted(_Section):
    """A class of tasks: at most so many seconds."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    description: Annotated[str, Field(max_length=1000)] = ""
    seconds: Annotated[int, Field(ge=1, le=2**32 - 1)]


class PoolWanted(_Section):
    """A workerpool to register; it belongs to the deployer, or to `owner`."""

    description: Annotated[str, Field(min_length=1, max_length=200)]
    owner: Account | None = None


class Explorer(_Section):
    """Where the source is submitted: an API of Etherscan's second version. The key is in a file, never in this one."""

    api: Annotated[str, AfterValidator(rpc_url)]
    key_file: Path
    poll_seconds: Annotated[float, Field(gt=0, le=60)] = 5


class Attach(_Section):
    """iExec's own hub: its addresses are read from a folder of deployment records of npm's @iexec/poco."""

    records: Path
    block: Annotated[int, Field(ge=0)] | None = Field(None, description="logs are read from here; default: from now on")


class Smoke(_Section):
    """The paid task that shows that everything works together: an image, and what it is told."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    multiaddr: str
    checksum: str
    args: str = ""
    category: Annotated[int, Field(ge=0)] = 0
    trust: Annotated[int, Field(ge=1)] = 1
    max_price_nrlc: Annotated[int, Field(ge=0)] = Field(10**9, description="for the pool's work, at most")
    seconds: Annotated[float, Field(gt=0)] = Field(900, description="until it has to be complete")


class Network(Endpoints):
    """One network. Section `contracts` says which are deployed (`deploy`) and which are there already (an address)."""

    network: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    chain_id: Annotated[int, Field(ge=1, le=2**53)]
    coin: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,12}$")] = "ETH"
    block_seconds: Annotated[float, Field(gt=0, le=3600)]
    fees: FeeSettings
    contracts: dict[str, Literal["deploy"] | Account] = Field(
        default_factory=lambda: dict.fromkeys(CONTRACTS, "deploy")
    )
    attach: Attach | None = None
    categories: tuple[CategoryWanted, ...] = ()
    pool: PoolWanted | None = None
    owner: Account | None = None
    explorer: Explorer | None = None
    smoke: Smoke | None = None
    wait_seconds: Annotated[float, Field(ge=1, le=86_400)] = Field(
        300, description="for one transaction; then `apply` leaves the rest to the next one"
    )

    @model_validator(mode="after")
    def _fits(self) -> Network:
        if set(self.contracts) != set(CONTRACTS):
            raise ValueError(f"contracts: name each of {', '.join(CONTRACTS)}, with 'deploy' or an address")
        if self.attach is not None:
            beside = [name for name in ("contracts", "categories", "owner") if name in self.model_fields_set]
            if beside:
                raise ValueError(f"attach: the hub is iExec's, {' and '.join(beside)} cannot be set on it")
        if self.contracts["Hub"] != "deploy" and "deploy" in self.contracts.values():
            raise ValueError("contracts: a hub that is there has all its others already; name their addresses too")
        return self

    @property
    def confirmations(self) -> int:
        """Blocks, its own included, until a transaction counts as mined."""
        return self.chain.depth(self.chain_id)


def load(name: str, folder: Path = FOLDER, rpc_urls: tuple[str, ...] = ()) -> Network:
    """Read a network's file.

    Args:
        name: of a file in `folder`, without `.yaml`; or a path to one.
        folder: the networks of this workspace.
        rpc_urls: nodes to ask in place of those in the file.

    Raises:
        BadInputError: there is no such file, or it says something that cannot be.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else folder / f"{name}.yaml"
    try:
        data: Any = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        known = ", ".join(sorted(each.stem for each in folder.glob("*.yaml"))) or "none here"
        raise BadInputError(f"there is no network file {path}", hint=f"known: {known}; or name a file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInputError(f"{path} cannot be read as YAML: {error}", hint="correct it") from None
    if not isinstance(data, dict):
        raise BadInputError(f"{path} is not a network file", hint="start from networks/generic.yaml")
    if rpc_urls:
        data = {**data, "rpc_urls": list(rpc_urls)}
    try:
        return Network.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        said = re.sub(r"^Value error, ", "", first["msg"])
        raise BadInputError(
            f"{path}: {where}: {said}", hint="docs/how-to/go-to-a-testnet.md lists the fields"
        ) from None
