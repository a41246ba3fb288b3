"""`python -m worker doctor`: each thing that is missing, and its cure."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import requests

from chain import deployment, wallet
from chain.client import Chain
from chain.wallet import Wallet
from poco.errors import PewError
from worker.config import WorkerConfig
from worker.energy import create_power_source
from worker.link import Link
from worker.runner import checks

_CLOCK_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One examined thing."""

    what: str
    ok: bool
    said: str
    cure: str = ""

    def as_dict(self) -> dict[str, object]:
        return {"what": self.what, "ok": self.ok, "said": self.said, "cure": self.cure}

    def line(self) -> str:
        text = f"{'ok  ' if self.ok else 'FAIL'} {self.what}: {self.said}"
        return f"{text}\n     cure: {self.cure}" if self.cure else text


class Doctor:
    """Examines a worker's surroundings; later examinations use what earlier ones found."""

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._wallet: Wallet | None = None
        self._chain: Chain | None = None

    def examine(self) -> list[Finding]:
        examinations: tuple[tuple[str, Callable[[], str]], ...] = (
            ("keystore", self._keystore),
            ("deployment", self._deployment),
            ("chain", self._reach_chain),
            ("clock", self._clock),
            ("workerpool", self._workerpool),
            ("stake", self._stake),
            ("gas", self._gas),
            ("scheduler", self._scheduler),
            ("runtime", lambda: checks.runtime(self._config)),
            ("platform", lambda: checks.platform(self._config)),
            ("memory", lambda: checks.memory(self._config)),
            ("data_dir", lambda: checks.data_dir(self._config)),
            ("energy", self._energy),
        )
        return [self._one(what, call) for what, call in (*examinations, *self._sensors())]

    def _sensors(self) -> list[tuple[str, Callable[[], str]]]:
        if self._config.sensors is None:
            return []
        from worker.sensors import checks as of_sensors  # only devices with sensors need what it imports

        return of_sensors.examinations(self._config.sensors, self._config.name, self._config.platform)

    def _one(self, what: str, call: Callable[[], str]) -> Finding:
        try:
            return Finding(what, True, call())
        except PewError as error:
            return Finding(what, False, error.message, error.hint)
        except OSError as error:
            return Finding(what, False, str(error), "check the path and its permissions")

    def _keystore(self) -> str:
        path = self._config.keystore
        self._wallet = wallet.load(path, wallet.read_password(self._config.password_file))
        for secret in (path, self._config.password_file):
            if secret.stat().st_mode & 0o077:
                raise PewError(f"others may read {secret}", hint=f"chmod 600 {secret}")
        return self._wallet.address

    def _deployment(self) -> str:
        found = deployment.load(self._config.deployment)
        self._chain = Chain(
            self._config.rpc_urls, found, self._config.chain.model_copy(update={"request_seconds": 5.0})
        )
        return f"{found.network}, hub {found.hub}"

    def _needed(self) -> tuple[Chain, Wallet]:
        if self._chain is None or self._wallet is None:
            raise PewError("not examined", hint="cure the failures above first")
        return self._chain, self._wallet

    def _reach_chain(self) -> str:
        chain, _ = self._needed()
        chain.check()
        return f"chain {chain.deployment.chain_id} at block {chain.block_number()}"

    def _clock(self) -> str:
        chain, _ = self._needed()
        cure = "synchronise it: timedatectl set-ntp true"
        ahead = chain.block()[2] - time.time()
        if ahead > _CLOCK_SECONDS:
            raise PewError(f"this clock is {ahead:.0f} s behind the chain's", hint=cure)
        # a quiet chain's last block says nothing about a clock that is fast; a server does
        away = self._scheduler_clock() - time.time()
        if abs(away) > _CLOCK_SECONDS:
            raise PewError(f"this clock and the scheduler's are {abs(away):.0f} s apart", hint=cure)
        return "as the chain's and the scheduler's"

    def _scheduler_clock(self) -> float:
        """Unix seconds that the scheduler's HTTP server says; our own where it says nothing."""
        try:
            ca_file = self._config.ca_file
            verify = str(ca_file) if ca_file is not None else True
            answer = requests.get(f"{self._config.scheduler_url}/config", timeout=5, verify=verify)
            return parsedate_to_datetime(answer.headers["Date"]).timestamp()
        except (requests.RequestException, KeyError, ValueError):
            return time.time()

    def _workerpool(self) -> str:
        chain, _ = self._needed()
        pool = chain.workerpool(self._config.workerpool)
        return f"{pool.address} of {pool.owner}"

    def _stake(self) -> str:
        chain, own = self._needed()
        account, in_wallet = chain.account(own.address), chain.rlc_balance(own.address)
        lacking = self._config.stake_nrlc - account.stake - account.locked - in_wallet
        said = f"{account.stake} nRLC free and {account.locked} locked in the escrow, {in_wallet} in the wallet"
        if lacking > 0:
            raise PewError(
                f"{said}; stake_nrlc is {self._config.stake_nrlc}",
                hint=f"send {lacking} nRLC to {own.address}, or lower stake_nrlc",
            )
        return said

    def _gas(self) -> str:
        chain, own = self._needed()
        have = chain.native_balance(own.address)
        price = int(chain.ask(lambda: chain.web3.eth.gas_price))
        if price and have < 650_000 * price:
            raise PewError(
                f"{have} wei for gas",
                hint=f"send {650_000 * price - have} wei or more of the chain's coin to {own.address}",
            )
        return f"{have} wei"

    def _scheduler(self) -> str:
        chain, own = self._needed()
        where = chain.deployment
        told = self._config
        link = Link(told.scheduler_url, own, where.chain_id, where.hub, told.workerpool, ca_file=told.ca_file)
        said = link.config()
        owner = chain.workerpool(self._config.workerpool).owner
        if said.scheduler != owner:
            raise PewError(f"it signs as {said.scheduler}, the pool belongs to {owner}", hint="check scheduler_url")
        link.login()
        return f"{self._config.scheduler_url} takes this wallet"

    def _energy(self) -> str:
        return create_power_source(self._config.energy).check()


def examine(config: WorkerConfig) -> list[Finding]:
    """All findings, in an order in which cures make sense."""
    return Doctor(config).examine()
