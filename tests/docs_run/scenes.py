"""What the pages presuppose and no command of theirs does: money that somebody sends, files that a reader has."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable

from tests.docs_run.pages import Command
from tests.docs_run.reader import HEX, Network, Reader, fund
from tests.docs_run.shell import Ended

#: Typed in `make test`, by tests/e2e/test_docs.py; the network is that of the first one's `pew up`.
SHORT = ("docs/quickstart.md", "docs/how-to/run-a-task.md")
#: Typed too in `make test-docs`, in this order: workers join the pool that is run before.
LONG = (
    "docs/how-to/build-a-dapp.md",
    "docs/how-to/run-a-pool.md",
    "docs/how-to/join-a-pool-with-a-pi.md",
    "docs/how-to/buy-green-computation.md",
    "docs/reference/energy-ledger.md",
    "docs/reference/images.md",
    "docs/reference/sdk.md",
    "docs/reference/sensors.md",
    "docs/reference/worker.md",
    "docs/dependencies.md",
)


def variables(network: Network) -> dict[str, str]:
    """What `. build/network/env` sets."""
    lines = (network.folder / "env").read_text().splitlines()
    pairs = (line.removeprefix("export ").split("=", 1) for line in lines)
    return {name: shlex.split(value)[0] for name, value in pairs if name != "PATH"}


def activated(network: Network) -> dict[str, str]:
    """What `. .venv/bin/activate` does to commands."""
    return {"PATH": f"{network.checkout}/.venv/bin:/usr/local/bin:/usr/bin:/bin"}


def before(network: Network, page: str) -> dict[str, str]:
    """Prepare the files of a page; the variables that its reader has set."""
    for name in ("results", "result", "footage"):
        shutil.rmtree(network.checkout / name, ignore_errors=True)
    if page == SHORT[0]:
        return {}
    scene = network.checkout / "dapps" / "motion-detection" / "golden" / "scene.avi"
    shutil.copy(scene, network.checkout / "video.avi")
    (network.checkout / "footage").mkdir()
    for day in ("monday", "tuesday"):
        shutil.copy(scene, network.checkout / "footage" / f"{day}.avi")
    shutil.copy(network.folder / "workers" / "pi-garden" / "config.yaml", network.checkout / "worker.yaml")
    (network.checkout / "may-1.csv").write_text("time,temperature_c\n2026-05-01T00:00:00Z,14.3\n")
    (network.checkout / "pw").touch(mode=0o600)
    (network.checkout / "pw").write_text("a long password")
    if page == "docs/how-to/run-a-task.md":
        return {**activated(network), "PEW_REGISTRY": variables(network)["PEW_REGISTRY"]}
    return {**activated(network), **variables(network)}


def _money(reader: Reader, ended: Ended) -> None:
    """Somebody sends coin and RLC to the wallet that was made."""
    made = re.search(HEX, ended.output)
    assert made is not None, ended.output
    fund(reader.network, made[0])


def _other_program(reader: Reader, ended: Ended) -> None:
    """The reader changes the program: what it counts comes out otherwise."""
    path = reader.network.checkout / "dapps" / "bird-words" / "program" / "words.py"
    text = path.read_text()
    assert '"lines": lines,' in text
    path.write_text(text.replace('"lines": lines,', '"lines": lines, "about": "birds",'))


#: Pattern of a command -> what happens in the world after it.
AFTER: dict[str, Callable[[Reader, Ended], None]] = {
    r"^pew (.* )?wallet new$": _money,
    r"^pew dapp new ": _other_program,
}


def as_owner(network: Network, command: Command) -> dict[str, str]:
    """The wallet of the pool's owner, for what only that may do."""
    if re.match(r"pew (pool green .* --days|order publish workerpool 0x\.\.pool)", command.text):
        wallet = network.wallet("scheduler")
        return {"PEW_WALLET": str(wallet), "PEW_PASSWORD_FILE": str(wallet.with_suffix(".password"))}
    return {}
