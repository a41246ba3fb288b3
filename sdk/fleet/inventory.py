"""`fleet.yaml`: the one file that says which devices there are and what they are to be."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from poco import amounts
from poco.errors import BadInputError
from poco.wire import Address

HOST_NAME = r"^[a-z0-9][a-z0-9-]{0,62}$"
_HINT = "docs/how-to/run-a-fleet.md has an example"
_URL = r"^https?://[^\s/]+(/[^\s]*)?$"
#: What the inventory decides alone: a device's own settings cannot change it.
RESERVED = frozenset(
    {"name", "workerpool", "keystore", "password_file", "data_dir", "deployment", "operator_file", "ca_file"}
)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Site(_Section):
    """Where the panel stands; degrees."""

    latitude: float | None = Field(None, ge=-90, le=90)
    longitude: float | None = Field(None, ge=-180, le=180)
    tilt: float | None = Field(None, ge=0, le=90)
    azimuth: float | None = Field(None, ge=0, le=360)


class Host(_Section):
    """One device. `address`: None where it is never reached from outside and joins by a card."""

    address: Annotated[str, Field(pattern=r"^[A-Za-z0-9:][A-Za-z0-9_.:%-]{0,254}$")] | None = None
    port: int = Field(22, ge=1, le=65535)
    user: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")] = "pi"
    key: Path | None = Field(None, description="private key of ssh; default: what ssh finds by itself")
    site: Site = Site()
    board: str | None = None
    panel_wp: float | None = Field(None, gt=0, le=10_000)
    battery_wh: float | None = Field(None, gt=0, le=100_000)
    runtime: Literal["docker", "bubblewrap", "external"] = "docker"
    power: dict[str, Any] | None = Field(None, description="energy.hardware of worker.yaml; None: a simulated sun")
    settings: dict[str, Any] = Field(default_factory=dict, description="anything else of worker.yaml")

    @field_validator("settings")
    @classmethod
    def _not_ours(cls, value: dict[str, Any]) -> dict[str, Any]:
        wrong = sorted(RESERVED & set(value))
        if wrong:
            raise ValueError(f"{', '.join(wrong)} follows from the fleet's file and cannot be set")
        return value


class Pull(_Section):
    """How devices catch up by themselves. `at`: systemd's OnCalendar."""

    url: Annotated[str, Field(pattern=r"^(https?|ssh|git|file)://\S+$")]
    push: str | None = Field(
        None, description="git remote that the operator publishes to; None: <fleet>.state/pull.git"
    )
    at: Annotated[str, Field(pattern=r"^[0-9A-Za-z*:/,. -]{1,60}$")] = "*:0/30"
    lowest_soc: float = Field(0.4, ge=0, le=1)


class Upgrade(_Section):
    """`share` of the devices at a time: 25%, or a number; each is to be heard by the scheduler within `seconds`."""

    share: str = "25%"
    seconds: int = Field(180, ge=5, le=3600)

    @field_validator("share", mode="before")
    @classmethod
    def _share(cls, value: object) -> str:
        text = str(value)
        number = int(text.rstrip("%")) if re.fullmatch(r"[0-9]{1,4}%?", text) else 0
        if number < 1 or (text.endswith("%") and number > 100):
            raise ValueError("a share is 1% to 100%, or a number of devices")
        return text


class Fleet(_Section):
    """The file. Relative paths are relative to it (`folder`)."""

    pool: Address
    scheduler: Annotated[str, Field(pattern=_URL)]
    deployment: Path
    rpc_urls: Annotated[list[str], Field(min_length=1)]
    stake: str = "10 RLC"
    gas: float = Field(0.05, ge=0, le=1000, description="of the chain's own coin, for each device's transactions")
    vault: Path | None = Field(None, description="settings of worker.yaml that are secret, by ansible-vault")
    ca_file: Path | None = None
    pull: Pull | None = None
    upgrade: Upgrade = Upgrade()
    hosts: dict[Annotated[str, Field(pattern=HOST_NAME)], Host]
    folder: Path = Path()

    @field_validator("stake", mode="before")
    @classmethod
    def _stake(cls, value: object) -> str:
        text = str(value)
        try:
            amounts.parse(text)
        except BadInputError as error:
            raise ValueError(error.message) from None
        return text

    @model_validator(mode="after")
    def _apart(self) -> Fleet:
        seen: dict[tuple[str, int], str] = {}
        for name, host in self.hosts.items():
            if host.address is None:
                continue
            other = seen.setdefault((host.address, host.port), name)
            if other != name:
                raise ValueError(f"{other} and {name} have the same address {host.address}:{host.port}")
        return self

    @property
    def stake_nrlc(self) -> int:
        return amounts.parse(self.stake)

    def path(self, path: Path) -> Path:
        """Where a path of the file leads."""
        return self.folder / path.expanduser()

    def chosen(self, names: tuple[str, ...]) -> list[str]:
        """Those names, or all; BadInputError for one that is not in the file."""
        unknown = sorted(set(names) - set(self.hosts))
        if unknown:
            raise BadInputError(
                f"there is no {', '.join(unknown)} in the fleet",
                hint=f"there are {', '.join(self.hosts) or 'none yet'}",
            )
        return [name for name in self.hosts if not names or name in names]


def load(path: Path) -> Fleet:
    """Read a fleet's file.

    Raises:
        BadInputError: missing, no YAML, or something in it is wrong; each such setting is named.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise BadInputError(f"cannot read {path}: {why}", hint="make one: pew fleet init") from None
    return parse(text, path)


def parse(text: str, path: Path) -> Fleet:
    """As `load`, of that text at that path."""
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInputError(f"{path} is not YAML: {str(error).splitlines()[0]}", hint="check its indentation") from None
    if not isinstance(data, dict):
        raise BadInputError(f"{path} holds no fleet", hint=_HINT)
    defaults = data.pop("defaults", None) or {}
    hosts = data.get("hosts") or {}
    if not isinstance(defaults, dict) or not isinstance(hosts, dict):
        raise BadInputError(f"{path}: `defaults` and `hosts` are maps of names", hint=_HINT)
    if "folder" in data or "address" in defaults:
        raise BadInputError(f"{path}: `folder`, and an address for all, mean nothing", hint=_HINT)
    merged = {
        str(name): joined(defaults, host or {}) if isinstance(host or {}, dict) else host
        for name, host in hosts.items()
    }
    try:
        return Fleet.model_validate({**data, "hosts": merged, "folder": path.resolve().parent})
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'hosts'}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors()
        )
        raise BadInputError(f"{path}: {wrong}", hint=_HINT) from None


def _with_defaults(defaults: dict[str, Any], host: Any) -> Any:
    said = {} if host is None else host
    return joined(defaults, said) if isinstance(said, dict) else said


def worker_settings(fleet: Fleet, name: str) -> dict[str, Any]:
    """`worker.yaml` of one device, without what is secret."""
    host = fleet.hosts[name]
    energy: dict[str, Any] = {"source": "simulated" if host.power is None else "hardware"}
    for key in ("board", "panel_wp", "battery_wh"):
        if getattr(host, key) is not None:
            energy[key] = getattr(host, key)
    place = {key: value for key, value in host.site.model_dump().items() if value is not None}
    if host.power is not None:
        energy |= {**place, "hardware": host.power}
    else:  # a simulated sun shines where it was recorded
        energy |= {key: value for key, value in place.items() if key in ("tilt", "azimuth")}
    settings: dict[str, Any] = {
        "scheduler_url": fleet.scheduler.rstrip("/"),
        "rpc_urls": fleet.rpc_urls,
        "deployment": "/etc/pew/deployment.json",
        "keystore": "/var/lib/pew/wallet/wallet.json",
        "password_file": "/var/lib/pew/wallet/password",
        "data_dir": "/var/lib/pew/data",
        "name": name,
        "workerpool": fleet.pool,
        "stake_nrlc": fleet.stake_nrlc,
        "runtime": "bubblewrap" if host.runtime == "bubblewrap" else "docker",
        "energy": energy,
    }
    if fleet.ca_file is not None:
        settings["ca_file"] = "/etc/pew/ca.pem"
    return joined(settings, host.settings)


def joined(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Maps are joined key by key, `above` wins; anything else is replaced. Neither is changed."""
    made = copy.deepcopy(below)
    for key, value in above.items():
        under = made.get(key)
        both = isinstance(under, dict) and isinstance(value, dict)
        made[key] = joined(under, value) if both else copy.deepcopy(value)  # type: ignore[arg-type]
    return made


def added(text: str, path: Path, name: str, host: dict[str, Any]) -> str:
    """The file's text with one more host after the others, everything else as it is, comments too.

    Raises:
        BadInputError: the name is taken or wrong, `hosts` is not written a host a line, or the host is wrong.
    """
    before = parse(text, path)
    if name in before.hosts:
        raise BadInputError(f"{name} is in {path} already", hint="edit it there, or choose another name")
    kept = re.sub(r"(?m)^hosts:[ \t]*\{[ \t]*\}[ \t]*$", "hosts:", text.rstrip() + "\n")
    said = yaml.safe_dump(host, default_flow_style=True, sort_keys=False, width=10_000).strip()
    lines = kept.splitlines(keepends=True)
    lines.insert(_end_of_hosts(lines), f"  {name}: {said}\n")
    new = "".join(lines)
    write = f"write the host into {path} yourself: {name}: {said}"
    try:
        after = parse(new, path).hosts
    except BadInputError as error:
        raise BadInputError(f"{name} cannot be added: {error.message}", hint=write) from None
    if {key: after.get(key) for key in before.hosts} != before.hosts or name not in after:
        raise BadInputError(f"`hosts` of {path} is not written a host a line", hint=write)
    return new


def _end_of_hosts(lines: list[str]) -> int:
    """The line before which a host is added: comments above the next section are that section's."""
    begin = next((n for n, line in enumerate(lines) if line.startswith("hosts:")), len(lines) - 1)
    end = next((n for n in range(begin + 1, len(lines)) if re.match(r"[^\s#]", lines[n])), len(lines))
    while end > begin + 1 and (not lines[end - 1].strip() or lines[end - 1].startswith("#")):
        end -= 1
    return end


def removed(text: str, path: Path, name: str) -> str:
    """The file's text without the lines of one host.

    Raises:
        BadInputError: it is not there, or not on lines of its own.
    """
    before = parse(text, path)
    before.chosen((name,))
    lines, kept, inside = text.splitlines(keepends=True), [], False
    for line in lines:
        if re.match(rf"  {re.escape(name)}:(\s|$)", line):
            inside = True
            continue
        if inside and (line.startswith("   ") or not line.strip()):
            continue
        inside = False
        kept.append(line)
    new = "".join(kept)
    if len(before.hosts) == 1:
        new = re.sub(r"(?m)^hosts:[ \t]*$", "hosts: {}", new)
    try:
        if parse(new, path).hosts != {key: host for key, host in before.hosts.items() if key != name}:
            raise BadInputError("")
    except BadInputError:
        raise BadInputError(f"{name} is not on lines of its own in {path}", hint="take it out by hand") from None
    return new
