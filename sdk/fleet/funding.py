"""Money for new devices: gas and stake, from the operator's wallet to the addresses that the devices told."""

from __future__ import annotations

from dataclasses import dataclass

from web3 import Web3

from chain.client import Chain
from chain.fees import FeePolicy, fee
from chain.transactions import Sender
from chain.wallet import Wallet
from poco.errors import BadInputError, PewError

_TRANSFER_GAS = 21_000
_WAIT_SECONDS = 180


@dataclass(frozen=True, slots=True)
class Need:
    """What one device lacks: wei of the chain's own coin, and nRLC."""

    name: str
    wallet: str
    wei: int
    nrlc: int


def needs(chain: Chain, devices: dict[str, str], gas_wei: int, stake_nrlc: int) -> list[Need]:
    """Who lacks what.

    Args:
        devices: addresses by name.
        gas_wei: what a device has at first; it is filled up again below half of that.
        stake_nrlc: in the escrow, locked there, and in the wallet, together.
    """
    found = []
    for name, wallet in devices.items():
        native, account = chain.native_balance(wallet), chain.account(wallet)
        nrlc = stake_nrlc - account.stake - account.locked - chain.rlc_balance(wallet)
        need = Need(name, wallet, gas_wei - native if 2 * native < gas_wei else 0, max(nrlc, 0))
        if need.wei or need.nrlc:
            found.append(need)
    return found


def require(chain: Chain, operator: str, wanted: list[Need]) -> None:
    """BadInputError where the operator's wallet does not hold it all."""
    wei, nrlc = sum(need.wei for need in wanted), sum(need.nrlc for need in wanted)
    has_wei, has_nrlc = chain.native_balance(operator), chain.rlc_balance(operator)
    if has_wei <= wei or has_nrlc < nrlc:
        raise BadInputError(
            f"the devices need {wei / 10**18:.6f} of the chain's own coin and {nrlc} nRLC; "
            f"{operator} has {has_wei / 10**18:.6f} and {has_nrlc}",
            hint="send it the rest, or lower `stake` and `gas` in the fleet's file",
            code="NOT_ENOUGH",
        )


def pay(chain: Chain, wallet: Wallet, need: Need) -> list[str]:
    """Send what is lacking, one transaction after the other; their hashes."""
    sent = []
    if need.wei:
        sent.append(_send_native(chain, wallet, need))
    if need.nrlc:
        call = chain.rlc.functions.transfer(Web3.to_checksum_address(need.wallet), need.nrlc)
        sent.append(Sender(chain, wallet).transact(call, timeout=_WAIT_SECONDS).tx_hash)
    return sent


def _send_native(chain: Chain, wallet: Wallet, need: Need) -> str:
    me = Web3.to_checksum_address(wallet.address)
    nonce = int(chain.ask(lambda: chain.web3.eth.get_transaction_count(me, "pending")))
    fields = fee(chain, FeePolicy()).fields()
    target = Web3.to_checksum_address(need.wallet)
    plain = {"to": target, "value": need.wei, "gas": _TRANSFER_GAS, **fields, "nonce": nonce, "data": b""}
    tx_hash, raw = wallet.sign_transaction({**plain, "chainId": chain.deployment.chain_id})
    chain.ask(lambda: chain.web3.eth.send_raw_transaction(raw))
    found = chain.web3.eth.wait_for_transaction_receipt(tx_hash, timeout=_WAIT_SECONDS)  # type: ignore[arg-type]
    if found["status"] != 1:
        raise PewError(f"the transaction {tx_hash} to {need.name} failed", hint="see the chain's explorer")
    return tx_hash
