"""Cures for what is broken in eth-brownie 1.22.2; `apply` once, before a test runs."""

from __future__ import annotations

import gc
import importlib.util
import re
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import brownie.test
from brownie import chain, web3

READS_STACK = frozenset(
    ("CALL", "CALLCODE", "DELEGATECALL", "STATICCALL", "CREATE", "CREATE2", "CODECOPY", "RETURN", "REVERT")
)


def apply() -> None:
    _spare_the_call_stack()
    _mask_immutables()
    _uncompiled_state_machine()
    _uncompiled_coverage()
    # a revert collects garbage: spare it what is there to stay
    gc.freeze()


def _spare_the_call_stack() -> None:
    """Every snapshot and revert looks at the whole call stack only to print a warning."""
    frame = SimpleNamespace(f_locals={"self": chain})
    sys.modules["brownie.network.rpc"].inspect = SimpleNamespace(stack=lambda: (None, SimpleNamespace(frame=frame)))


def _mask_immutables() -> None:
    """Contracts with immutables count as foreign code: no coverage, no source of a revert; compare without them."""
    contract = sys.modules["brownie.network.contract"]
    verify = contract._verify_deployed_code

    def verify_masked(address: str, expected: str, language: str) -> bool:
        if verify(address, expected, language):
            return True
        wanted = expected.removeprefix("0x")
        found = web3.eth.get_code(address).hex().removeprefix("0x")
        if len(wanted) != len(found):
            return False
        for hole in re.finditer("7f" + "0" * 64, wanted):
            found = found[: hole.start()] + hole.group() + found[hole.end() :]
        metadata = (int(wanted[-4:], 16) + 2) * 2
        return found[:-metadata] == wanted[:-metadata]

    contract._verify_deployed_code = verify_masked


def _source_of(compiled: ModuleType) -> ModuleType:
    """The Python source that lies beside a compiled module, as a module."""
    path = Path(str(compiled.__file__))
    spec = importlib.util.spec_from_file_location(
        f"{compiled.__name__}_source", path.with_name(path.name.split(".")[0] + ".py")
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _uncompiled_state_machine() -> None:
    """The compiled state machine raises TypeError; its source works."""
    fixtures = sys.modules["brownie.test.fixtures"]
    stateful = _source_of(sys.modules["brownie.test.stateful"])
    brownie.test.state_machine = fixtures.state_machine = stateful.state_machine
    fixtures._BrownieStateMachine = stateful._BrownieStateMachine


def lighten_traces() -> None:
    """Coverage reads every step of every transaction: leave out what it needs no word of, and keep no trace.

    For a connected network. Memory is nine tenths of a trace; Brownie needs what a transaction returns, and Anvil says
    that besides (Ganache does not). Of the stack it needs what calls, creations and returns take.
    """
    if not web3.client_version.lower().startswith("anvil"):
        return
    provider, receipt = web3.provider, sys.modules["brownie.network.transaction"].TransactionReceipt
    ask, confirm = provider.make_request, receipt._await_confirmation

    def ask_for_less(method: str, params: Any) -> Any:
        if method != "debug_traceTransaction" or not params:
            return ask(method, params)
        answer = ask(method, (params[0], {"disableStorage": True, "disableMemory": True, "enableMemory": False}))
        steps = answer.get("result", {}).get("structLogs", ())
        depth = 0
        for step in steps:
            # a step after a creation holds the address that was made
            wanted = step["op"] in READS_STACK or step["depth"] < depth
            depth = step["depth"]
            step["stack"] = [word.removeprefix("0x").zfill(64) for word in step["stack"][-7:]] if wanted else []
            step["memory"] = []
        if steps and steps[-1]["op"] in ("RETURN", "REVERT"):
            data = "00" * int(steps[-1]["stack"][-1], 16) + answer["result"]["returnValue"].removeprefix("0x")
            steps[-1]["memory"] = [data[i : i + 64].ljust(64, "0") for i in range(0, len(data), 64)]
        return answer

    def confirm_and_forget(self: Any, *args: Any, **kwargs: Any) -> None:
        # Anvil counts a nonce as used before it has the receipt: Brownie would take the transaction for dropped
        while ask("eth_getTransactionReceipt", [self.txid])["result"] is None:
            time.sleep(0.005)
        confirm(self, *args, **kwargs)
        if self.status == 1 and self._raw_trace is not None:
            self._raw_trace = self._trace = []

    provider.make_request, receipt._await_confirmation = ask_for_less, confirm_and_forget


def _uncompiled_coverage() -> None:
    """The compiled reports take the lists that transactions are evaluated to for dictionaries: TypeError."""
    coverage, base = sys.modules["brownie.test.coverage"], sys.modules["brownie.test.managers.base"]
    source = _source_of(coverage)
    coverage.get_merged_coverage_eval = lambda: source.get_merged_coverage_eval(coverage._coverage_eval)
    base.output = _source_of(base.output)
