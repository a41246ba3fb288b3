"""iExec's own client (npm `iexec`), installed from its lock file and driven as a user drives it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_account import Account

from ops.console import ROOT
from poco.errors import PewError

HERE = Path(__file__).parent
SECONDS = 240


def install(line: str = "client") -> Path:
    """The client's folder below build/tools/; installed where its lock file has changed.

    Args:
        line: folder here with the lock: `client` (8.x) or `client9` (9.x).

    Raises:
        PewError: npm is missing or fails; with its last words.
    """
    lock = HERE / line / "package-lock.json"
    folder = ROOT / "build" / "tools" / f"iexec-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            folder.mkdir(exist_ok=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copyfile(lock.with_name(name), folder / name)
            argv = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            env = {**os.environ, "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"}
            done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, check=False)
            if done.returncode:
                raise PewError(f"npm ci failed: {done.stderr[-500:]}", hint="npm's registry must answer")
            (folder / "installed").touch()
    return folder


@dataclass
class Outcome:
    """One command: whether it did what it should, how long it took, what it said."""

    ok: bool
    seconds: float
    said: dict[str, Any]
    error: str = ""


@dataclass
class OfficialClient:
    """The command line `iexec` in one working folder.

    Args:
        folder: working folder with `chain.json` and `wallets/`.
        chain: the entry of `chain.json`.
        line: which of the clients (see `install`).
        password: of wallets that the client makes.
    """

    folder: Path
    chain: dict[str, str]
    line: str = "client"
    password: str = "a password for trials"
    passwords: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.installed = install(self.line)
        (self.folder / "wallets").mkdir(parents=True, exist_ok=True)
        self.write_chain()

    def write_chain(self) -> None:
        """The folder's chain.json, as a user writes it."""
        content = {"default": "here", "chains": {"here": self.chain}}
        (self.folder / "chain.json").write_text(json.dumps(content, indent=2))

    def take_wallet(self, keystore: Path) -> None:
        """Put a keystore of ours among the client's: both speak Web3 Secret Storage."""
        shutil.copyfile(keystore, self.folder / "wallets" / keystore.name)
        self.passwords[keystore.stem] = keystore.with_suffix(".password").read_text()

    def key(self, wallet: str) -> str:
        """The private key of one of the folder's wallets, for the library."""
        content = json.loads((self.folder / "wallets" / f"{wallet}.json").read_text())
        return "0x" + Account.decrypt(content, self.passwords[wallet]).hex().removeprefix("0x")

    def run(
        self, *words: str, wallet: str | None = None, seconds: float = SECONDS, preload: str | None = None
    ) -> Outcome:
        """Run one command with machine-readable output; never raises for what the client says.

        Args:
            words: the command.
            wallet: the name of the wallet that signs; None: the command needs none.
            seconds: after which it is given up.
            preload: a module from `client/` that Node loads first.
        """
        argv = ["node", str(self.installed / "node_modules" / ".bin" / "iexec"), *words, "--raw", "--quiet"]
        if wallet is not None:
            argv += ["--keystoredir", str(self.folder / "wallets"), "--wallet-file", f"{wallet}.json"]
            argv += ["--password", self.passwords[wallet]]
        started = time.monotonic()
        env = {**os.environ, "HOME": str(self.folder), "NO_COLOR": "1"}
        env["PATH"] = f"{ROOT / '.venv' / 'bin'}:{env['PATH']}"
        if preload is not None:
            env["NODE_OPTIONS"] = f"--import={shutil.copy(HERE / 'client' / preload, self.installed)}"
        try:
            done = subprocess.run(
                argv, cwd=self.folder, env=env, capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            return Outcome(False, time.monotonic() - started, {}, f"no end after {seconds:.0f} s")
        taken = time.monotonic() - started
        said = _last_json(done.stdout)
        ok = done.returncode == 0 and said.get("ok") is True
        failed = said.get("error")
        error = str(failed.get("message") if isinstance(failed, dict) else failed or done.stderr[-300:])
        return Outcome(ok, taken, said, "" if ok else error)

    def library(self, script: str, arguments: dict[str, Any], seconds: float = SECONDS) -> Outcome:
        """Run a module of ours that uses the client as a library; it prints one JSON object."""
        target = self.installed / f"{Path(script).stem}.mjs"
        for name in (script, "names.mjs"):
            shutil.copy(HERE / "client" / name, self.installed)
        started = time.monotonic()
        argv = ["node", str(target), json.dumps(arguments)]
        env = {**os.environ, "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"}
        try:
            done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            return Outcome(False, time.monotonic() - started, {}, f"no end after {seconds:.0f} s")
        said = _last_json(done.stdout)
        ok = done.returncode == 0 and said.get("ok") is True
        return Outcome(ok, time.monotonic() - started, said, "" if ok else str(said.get("error") or done.stderr[-500:]))


def _last_json(text: str) -> dict[str, Any]:
    """The last line that is a JSON object (watching prints one for each change)."""
    for line in reversed(text.strip().splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            return found
    try:
        whole = json.loads(text)
    except ValueError:
        return {}
    return whole if isinstance(whole, dict) else {}
