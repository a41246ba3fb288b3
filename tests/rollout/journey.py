"""The way to a testnet where nothing goes wrong, step by step: what each has to leave behind."""

from __future__ import annotations

import json
from collections.abc import Callable

from web3 import Web3

from chain import abi, deployment
from ops import real_poco
from ops.stack import Stack
from poco.errors import PewError
from sdk.rollout.verify import ORIGINAL
from tests.rollout import smoke
from tests.rollout.explorer import KEY, LocalExplorer
from tests.rollout.rig import OWNER, Rig


def plain(stack: Stack) -> None:
    """plan sends nothing and says the sum; apply deploys, hands over; a second apply has nothing to do."""
    rig = Rig(stack, "plain")
    said = json.loads(rig.run("plan").require().out)
    if rig.sent() != (0, 0) or said["cost"]["limit"] <= 0:
        raise PewError(f"plan sent {rig.sent()} and said {said['cost']}")
    before = int(rig.ask("eth_getBalance", rig.wallet.address, "latest"), 16)
    rig.run("apply", "--dry-run").require()
    rig.run("apply").require()
    paid = before - int(rig.ask("eth_getBalance", rig.wallet.address, "latest"), 16)
    if not 0 < paid <= said["cost"]["limit"]:
        raise PewError(f"it cost {paid} wei, at most {said['cost']['limit']} were said")
    rig.run("apply").require()
    rig.settled()
    found = deployment.load(rig.folder / "rehearsal.json")
    if _owner(rig, found.hub).lower() != OWNER:
        raise PewError(f"the hub belongs to {_owner(rig, found.hub)}")
    said = rig.run("status").require().out + (rig.folder / "rehearsal.journal").read_text()
    if "rehearsal\n" in said or "password" in said:
        raise PewError("a password was written")
    _end(stack, rig)


def sources(stack: Stack) -> None:
    """verify submits every source; an explorer that compiles them agrees. Byte code that is another is noticed."""
    rig = Rig(stack, "sources")
    explorer = LocalExplorer(rig)
    key = rig.folder / "key"
    key.write_text(KEY)
    rig.write(explorer={"api": explorer.url, "key_file": str(key), "poll_seconds": 0.05})
    rig.run("apply").require()
    key.chmod(0o644)
    rig.run("verify").require(2)
    key.chmod(0o600)
    rig.run("verify").require()
    if len(explorer.verified) != 7 or any(KEY in path for path in explorer.asked):
        raise PewError(f"verified: {explorer.verified}; asked {explorer.asked}")
    rig.run("verify").require()
    ledger = json.loads((rig.folder / "rehearsal.json").read_text())["contracts"]["EnergyLedger"]
    code = rig.ask("eth_getCode", ledger, "latest")
    rig.ask("anvil_setCode", ledger, code[:200] + ("0" if code[200] != "0" else "1") + code[201:])
    rig.run("verify", "--no-source").require(1)
    explorer.close()
    _end(stack, rig)


def attach(stack: Stack) -> None:
    """iExec's own contracts: their byte code is verified, a pool registered, the deployment file written."""
    rig = Rig(stack, "attach")
    web3 = Web3(Web3.HTTPProvider(rig.url))
    original = real_poco.deploy_real(web3, web3.eth.accounts[0], [("XS", "up to 5 minutes", 300)])
    _records(rig)
    rig.write(categories=None, owner=None, attach={"records": str(rig.folder)})
    rig.run("apply").require()
    found = deployment.load(rig.folder / "rehearsal.json")
    pool = json.loads((rig.folder / "rehearsal.json").read_text())["workerpool"]
    if found.hub != original.hub.address or found.rlc != original.rlc.address or found.energy_ledger is not None:
        raise PewError(f"attached to {found}")
    registry = web3.eth.contract(address=original.workerpool_registry.address, abi=abi.load("workerpool_registry"))
    if not registry.functions.isRegistered(pool).call():
        raise PewError(f"{pool} is no pool there")
    rig.settled(creations=0, steps=1)
    facet = json.loads((rig.folder / "IexecPoco2Facet.json").read_text())["address"]
    code = rig.ask("eth_getCode", facet, "latest")
    rig.ask("anvil_setCode", facet, code[:-200] + "00" * 20 + code[-160:])
    rig.run("verify").require(1)
    _end(stack, rig)


def _records(rig: Rig) -> None:
    """Records of what was just deployed, in the form of those in npm's @iexec/poco."""
    made = []
    for number in range(int(rig.ask("eth_blockNumber"), 16) + 1):
        for tx in rig.ask("eth_getBlockByNumber", hex(number), True)["transactions"]:
            if tx["to"] is None:
                receipt = rig.ask("eth_getTransactionReceipt", tx["hash"])
                made.append((tx["input"], Web3.to_checksum_address(receipt["contractAddress"])))
    library: dict[str, str] = {}
    for name in ("IexecLibOrders_v5", *ORIGINAL, "RLC"):
        begin = real_poco.creation_code(name, library)
        code, where = next((code, where) for code, where in made if code.startswith(begin))
        if name == "IexecLibOrders_v5":
            library = {name: where}
        (rig.folder / f"{name}.json").write_text(json.dumps({"address": where, "bytecode": code}))


def _end(stack: Stack, rig: Rig) -> None:
    rig.close()
    stack.stop_process(rig.folder.name)


def _owner(rig: Rig, hub: str) -> str:
    raw = rig.ask("eth_call", {"to": hub, "data": "0x8da5cb5b"}, "latest")
    return "0x" + str(raw)[-40:]


STEPS: dict[str, Callable[[Stack], None]] = {
    "plan, apply, hand over": plain,
    "verify byte code and sources": sources,
    "attach to iExec's hub": attach,
    "one paid task": smoke.run,
}
