"""What an operator does with a fleet: plan, apply, upgrade, drain, remove."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chain import deployment
from chain.client import Chain
from chain.wallet import Wallet
from poco.errors import PewError
from poco.wire import Declaration, operator_typed_data
from sdk.fleet import card, funding, publish
from sdk.fleet.inventory import Fleet
from sdk.fleet.playbook import Ansible, HostOutcome, Outcome
from sdk.fleet.reach import FAILED, READY, Reached, reach
from sdk.fleet.release import Release, build
from sdk.fleet.state import Device, State
from sdk.fleet.variables import inventory


@dataclass(slots=True)
class Report:
    """What became of each device: a word, why, what to do; `ok` where nothing failed."""

    rows: dict[str, Reached] = field(default_factory=dict)
    changes: dict[str, list[tuple[str, list[str]]]] = field(default_factory=dict)
    release: str = ""
    paid: list[str] = field(default_factory=list)
    published: bool = False

    @property
    def ok(self) -> bool:
        return not any(row.state == FAILED for row in self.rows.values())

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "release": self.release,
            "devices": {
                name: {
                    "state": row.state,
                    "why": row.why,
                    "cure": row.cure,
                    "changed": [{"task": task, "diff": diff} for task, diff in self.changes.get(name, [])],
                }
                for name, row in self.rows.items()
            },
            "transactions": self.paid,
            "published": self.published,
        }

    def take(self, outcome: Outcome) -> None:
        """Note what a playbook did."""
        for name, host in outcome.hosts.items():
            self.changes[name] = host.changed
            self.rows[name] = _row(host)


class Operation:
    """One call of `pew fleet`.

    Args:
        root: the checkout that releases are made of.
        confirm: asked before money is sent, with lines that say how much; it raises where the answer is no.
        tell: takes lines for people.
    """

    def __init__(
        self,
        fleet: Fleet,
        state: State,
        ansible: Ansible,
        root: Path,
        *,
        confirm: Callable[[list[str]], None],
        tell: Callable[[str], None],
    ) -> None:
        self.fleet, self.state, self.ansible, self.root = fleet, state, ansible, root
        self._confirm, self._tell = confirm, tell
        self.report = Report()

    def plan(self, names: list[str]) -> Report:
        """What `apply` would change, without changing anything."""
        release = self._release()
        ready = self._reach(names)
        if ready:
            self.report.take(
                self.ansible.play("site.yml", inventory(self.fleet, self.state, release, ready), check=True)
            )
        return self.report

    def apply(self, names: list[str], wallet: Callable[[], Wallet]) -> Report:
        """Make devices what the file says.

        Args:
            names: of the devices.
            wallet: opens the operator's wallet, where it is needed.
        """
        return self._bring(names, wallet, self._release())

    def upgrade(self, names: list[str], wallet: Callable[[], Wallet]) -> Report:
        """Bring a new release made of the checkout to devices, share by share; the first failure ends it."""
        release = build(self.root, self.state.releases)
        self._tell(f"release {release.digest}, {self.fleet.upgrade.share} of the devices at a time")
        return self._bring(names, wallet, release)

    def drain(self, names: list[str], *, undo: bool) -> Report:
        """Let workers end in an orderly way and stay so, or work again."""
        ready = self._reach(names)
        if ready:
            hosts = inventory(self.fleet, self.state, self._release(), ready)
            self.report.take(self.ansible.play("drain.yml", hosts, extra={"pew_undo": undo}))
        return self.report

    def remove(self, names: list[str]) -> Report:
        """Drain, and take everything from the device but its wallet."""
        ready = self._reach(names)
        if ready:
            hosts = inventory(self.fleet, self.state, self._release(), ready)
            drained = self.ansible.play("drain.yml", hosts)
            self.report.take(drained if not drained.ok else self.ansible.play("remove.yml", hosts))
        return self.report

    # parts

    def _bring(self, names: list[str], wallet: Callable[[], Wallet], release: Release) -> Report:
        self.report.release = release.digest
        ready = self._reach(names)
        fresh = [name for name in ready if name not in self.state.kept.devices]
        if fresh:
            self._tell(f"first: {', '.join(fresh)}")
            failed = self._prepare(fresh, release)
            ready = [name for name in ready if name not in failed]
        self._admit([name for name in names if name not in self.state.kept.devices], wallet)
        known = {name: self.state.kept.devices[name] for name in names if name in self.state.kept.devices}
        self._endow(known, wallet)
        if ready:
            hosts = inventory(self.fleet, self.state, release, ready)
            # a play's own keys know nothing of the inventory's variables
            outcome = self.ansible.play("site.yml", hosts, extra={"pew_share": self.fleet.upgrade.share})
            self._same_wallets(outcome)
            self.report.take(outcome)
        if self.report.ok or not self.state.kept.release:
            self.state.kept.release = release.digest
            self.state.save()
        if self.report.ok:
            self.report.published = publish.publish(self.fleet, self.state, release, self.root)
        return self.report

    def _reach(self, names: list[str]) -> list[str]:
        """Who can be worked on now; the others are in the report."""
        self.ansible.open_vault()
        self.report.rows = reach(self.fleet, self.state, names)
        return [name for name, found in self.report.rows.items() if found.state == READY]

    def _release(self) -> Release:
        """The release in force; the checkout's where there is none yet."""
        digest = self.state.kept.release
        path = self.state.releases / f"{digest}.tar.gz"
        return Release(digest, path) if digest and path.exists() else build(self.root, self.state.releases)

    def _prepare(self, names: list[str], release: Release) -> list[str]:
        """Have wallets made on devices; the names of those where that failed."""
        hosts = inventory(self.fleet, self.state, release, names)
        outcome = self.ansible.play("site.yml", hosts, extra={"pew_prepare": True})
        self.report.take(outcome)
        for name, host in outcome.hosts.items():
            if "address" in host.facts:
                self.state.kept.devices[name] = Device(wallet=host.facts["address"])
        self.state.save()
        return [name for name in names if name not in self.state.kept.devices]

    def _admit(self, names: list[str], wallet: Callable[[], Wallet]) -> None:
        """Take note of devices that have joined by a card meanwhile."""
        if not set(names) & set(self.state.kept.tokens):
            return
        for name, address in card.admitted(self.fleet, self.state, wallet()).items():
            if name in names:
                self._tell(f"{name} has joined by its card: {address}")
                self.state.kept.devices[name] = Device(wallet=address)
                del self.state.kept.tokens[name]
        self.state.save()

    def _same_wallets(self, outcome: Outcome) -> None:
        for name, host in outcome.hosts.items():
            address, known = host.facts.get("address"), self.state.kept.devices.get(name)
            if address and known is not None and address != known.wallet:
                host.failed = f"it shows the wallet {address}, and had {known.wallet}: if its card was replaced, "
                host.failed += f"pew fleet remove {name}, then add it anew"

    def _endow(self, devices: dict[str, Device], wallet: Callable[[], Wallet]) -> None:
        """Declarations and money for devices, by the operator's wallet."""
        where = deployment.load(self.fleet.path(self.fleet.deployment))
        chain = Chain(self.fleet.rpc_urls, where)
        chain.check()
        addresses = {name: device.wallet for name, device in devices.items()}
        wanted = funding.needs(chain, addresses, round(self.fleet.gas * 10**18), self.fleet.stake_nrlc)
        undeclared = [device for device in devices.values() if device.declaration is None]
        if not wanted and not undeclared:
            return
        operator = wallet()
        for device in undeclared:
            typed = operator_typed_data(where.chain_id, self.fleet.pool, device.wallet, operator.address)
            signature = operator.sign_typed(typed)
            device.declaration = Declaration(operator=operator.address, signature=signature)
        self.state.save()
        if wanted:
            funding.require(chain, operator.address, wanted)
            self._confirm([f"{n.name} {n.wallet}: {n.wei / 10**18:g} for gas, {n.nrlc / 10**9:g} RLC" for n in wanted])
        for need in wanted:
            self.report.paid += funding.pay(chain, operator, need)
            self._tell(f"{need.name}: {need.wei / 10**18:g} for gas and {need.nrlc / 10**9:g} RLC to {need.wallet}")


def _row(host: HostOutcome) -> Reached:
    if host.unreachable:
        return Reached(FAILED, "the connection broke off", "do it again; what is done is not done twice")
    if host.failed:
        return Reached(FAILED, host.failed, "see the lines above; pew worker doctor on the device examines it")
    if not host.seen:
        return Reached(FAILED, "not begun: the roll has stopped before it", "cure the failure, then do it again")
    return Reached("changed" if host.changed else "unchanged")


def require_done(report: Report) -> None:
    """PewError with a line for each device that failed."""
    failed = {name: row for name, row in report.rows.items() if row.state == FAILED}
    if failed:
        said = "; ".join(f"{name}: {row.why}" for name, row in failed.items())
        cures = dict.fromkeys(row.cure for row in failed.values() if row.cure)
        raise PewError(said, hint="; ".join(cures), code="DEVICES_FAILED")
