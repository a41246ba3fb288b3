"""A reader of one page: types its commands in their order, with the ports and addresses of the network there is."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from chain import deployment
from chain.client import Chain
from ops.console import ROOT
from ops.ports import HOST
from scripts.localstack import Ports
from tests.docs_run.pages import Command, File, read, steps
from tests.docs_run.shell import Ended, Shell

#: The ports that the pages name.
WRITTEN = {"chain": 17545, "registry": 5000, "scheduler": 17300, "files": 17400}
SECOND_POOL = 8400
HEX = r"0x[0-9a-fA-F]{64}|0x[0-9a-fA-F]{40}"
#: Commands that go on until they are told to end.
LASTING = re.compile(r"pew (up|scheduler --config \S+|worker run .*)$")


class DocumentationError(AssertionError):
    """A page is not true: which command, and what came."""


@dataclass
class Network:
    """The network that `pew up` has started, and the checkout in which it was typed."""

    checkout: Path
    ports: Ports
    second: int
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.checkout / "build" / "network"

    def wallet(self, name: str) -> Path:
        return self.folder / "wallets" / f"{name}.json"

    def status(self) -> dict[str, object]:
        with urllib.request.urlopen(f"http://{HOST}:{self.ports.scheduler}/status", timeout=10) as answer:
            return dict(json.load(answer))

    def end(self, name: str, number: signal.Signals = signal.SIGINT, seconds: float = 60) -> int:
        """Tell what lasts to end; its exit code."""
        process = self.running.pop(name)
        process.send_signal(number)
        try:
            return process.wait(seconds)
        finally:
            process.kill()


def make_checkout(folder: Path) -> Path:
    """What a reader has: the project, set up, in a folder whose `dapps`, `build` and `deployments` are its own."""
    own = {"dapps", "build", "deployments", ".git", "reports"}
    folder.mkdir()
    for entry in ROOT.iterdir():
        if entry.is_dir() and entry.name not in own:
            (folder / entry.name).symlink_to(entry)
        elif entry.is_file():
            shutil.copy(entry, folder)
    for name in ("dapps", "deployments"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "build").mkdir()
    for name in ("cache", "contracts", "tools"):
        (ROOT / "build" / name).mkdir(parents=True, exist_ok=True)
        (folder / "build" / name).symlink_to(ROOT / "build" / name)
    return folder


class Reader:
    """Types one page.

    Args:
        network: where the page's network is, or will be.
        page: which page.
        home: a home of the reader's own.
        env: variables that an earlier page has set.
        hooks: what happens outside the terminal after a command that matches: a wallet is given money.
        other: variables for one command, of somebody else whom the page speaks to.
    """

    def __init__(
        self, network: Network, page: str, home: Path, *, env: dict[str, str],
        hooks: dict[str, Callable[[Reader, Ended], None]], other: Callable[[Network, Command], dict[str, str]],
    ) -> None:  # fmt: skip
        home.mkdir(parents=True, exist_ok=True)
        self.network, self.page, self.home, self.hooks, self.other = network, page, home, hooks, other
        self.shell = Shell(network.checkout, home, env)
        self.bound: dict[str, str] = {}
        self.log: list[str] = []
        self.typed = 0

    def type_all(self, leave_out: Callable[[Command], bool]) -> None:
        """Every step of the page that no other test runs; `typed` counts the commands."""
        for step in steps(self.page, read(self.page)):
            if isinstance(step, File):
                (self.network.checkout / step.name).write_text(self.filled(step.text))
            elif not leave_out(step):
                self.type(step)
                self.typed += 1

    def type(self, command: Command) -> None:
        """One command; DocumentationError where it ends otherwise than the page says."""
        text = self.filled(command.text)
        started = time.monotonic()
        if LASTING.match(command.text):
            self._begin(command, text)
            return
        given = " ".join(f"{name}={shlex.quote(value)}" for name, value in self.other(self.network, command).items())
        ended = self.shell.run(f"{given} {text}".lstrip())
        self.log.append(f"{time.monotonic() - started:6.1f} s  [{ended.code}]  {command}\n{ended.output}")
        refused = any(line.startswith("error:") for line in command.shown)
        if (ended.code != 0) is not refused:
            raise DocumentationError(f"{command}\nended with {ended.code}:\n{ended.output[-3000:]}")
        if refused:
            for line in command.shown:
                if line.startswith("error:") and not _alike(line, ended.output):
                    raise DocumentationError(f"{command}\nsays otherwise than `{line}`:\n{ended.output[-3000:]}")
        self._bind(command, ended)
        for pattern, hook in self.hooks.items():
            if re.search(pattern, command.text):
                hook(self, ended)

    def filled(self, text: str) -> str:
        """The command with what is really there."""
        for name, port in WRITTEN.items():
            text = re.sub(rf"(127\.0\.0\.1|localhost):{port}\b", f"{HOST}:{getattr(self.network.ports, name)}", text)
        text = re.sub(rf"\b{SECOND_POOL}\b", str(self.network.second), text)
        if "0x..worker" in text and "0x..worker" not in self.bound:
            workers = self.network.status()["workers"]
            self.bound["0x..worker"] = workers[0]["wallet"]  # type: ignore[index]
        if "0x..pool" in text and "0x..pool" not in self.bound:
            self.bound["0x..pool"] = str(self.network.status()["workerpool"])
        for written, there in self.bound.items():
            text = text.replace(written, there)
        return text

    def _begin(self, command: Command, text: str) -> None:
        name = command.text.split()[1]
        if name == "up":
            options = [f"--{each}-port={getattr(self.network.ports, each)}" for each in WRITTEN]
            text = " ".join([text, f"--dir {self.network.folder}", *options])
        log = self.home / f"{name}.log"
        process = self.network.running[name] = self.shell.background(text, log)
        ready: Callable[[], bool] = {
            "up": (self.network.folder / "env").is_file,
            "scheduler": lambda: _is_well(self.network.second),
            "worker": lambda: '"started"' in log.read_text(),
        }[name]
        end = time.monotonic() + 180
        while not ready():
            if process.poll() is not None or time.monotonic() > end:
                raise DocumentationError(f"{command}\nended with {process.poll()}:\n{log.read_text()[-3000:]}")
            time.sleep(0.1)
        self.log.append(f"{command}\n{log.read_text()}")

    def _bind(self, command: Command, ended: Ended) -> None:
        """What the page shows as an address or id stands for the one that was printed in its place."""
        for line in command.shown:
            for found in re.finditer(HEX, line):
                before = re.escape(line[: found.start()].strip())
                real = re.search(rf"{before}\s*({HEX})", ended.output)
                if real is None:
                    raise DocumentationError(f"{command}\nprints nothing like `{line}`:\n{ended.output[-3000:]}")
                self.bound[found[0]] = real[1]
        for name, placeholder in (("task", "TASK"), ("deal", "DEAL"), ("app", "0x..app"), ("pool", "0x..pool")):
            for real_id in re.findall(rf"\b{name} ({HEX})", ended.output):
                self.bound[placeholder] = real_id


def _is_well(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _alike(shown: str, output: str) -> bool:
    """Whether an error line of a page is among what was printed; `...` and numbers stand for anything."""
    pattern = re.sub(r"\\\.\\\.\\\.|0x[0-9a-f.\\]+|\d+", ".*", re.escape(shown))
    return re.search(pattern, output) is not None


def fund(network: Network, address: str, rlc: int = 100, coin: int = 5) -> None:
    """RLC and the chain's own coin from the deployer, whose account the node holds."""
    chain = Chain(f"http://{HOST}:{network.ports.chain}", deployment.load(network.folder / "deployment.json"))
    eth = chain.web3.eth
    deployer = eth.accounts[0]
    sent = eth.send_transaction({"from": deployer, "to": address, "value": coin * 10**18})
    eth.wait_for_transaction_receipt(sent)
    eth.wait_for_transaction_receipt(chain.rlc.functions.transfer(address, rlc * 10**9).transact({"from": deployer}))
