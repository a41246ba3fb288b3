"""A block explorer on loopback: it compiles what is submitted and holds it against the chain, as the real ones do."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.rollout.rig import CHAIN_ID, Rig

KEY = "an-api-key"


class LocalExplorer:
    """The API of Etherscan's second version; `verified` has the contracts that it agreed with."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.verified: dict[str, str] = {}
        self.answers: dict[str, str] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {name: values[0] for name, values in parse_qs(raw, keep_blank_values=True).items()}
                outer.asked.append(self.path)
                status, said = outer.answer(parse_qs(urlsplit(self.path).query), form)
                body = json.dumps({"status": status, "message": "OK" if status == "1" else "NOTOK", "result": said})
                with suppress(OSError):  # who asked may have lost patience
                    self.send_response(200)
                    self.end_headers()
                    self.wfile.write(body.encode())

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v2/api"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, query: dict[str, list[str]], form: dict[str, str]) -> tuple[str, str]:
        """(status, result) of one call; the first look at a submission finds it in the queue."""
        if form.get("apikey") != KEY:
            return "0", "Invalid API Key"
        if query.get("chainid") != [str(CHAIN_ID)]:
            return "0", "Missing or unsupported chainid parameter"
        if form["action"] == "checkverifystatus":
            said = self.answers[form["guid"]]
            self.answers[form["guid"]] = self._verdict(form["guid"]) if said == "Pending in queue" else said
            return ("1" if said.startswith("Pass") else "0"), said
        if form["contractaddress"] in self.verified:
            return "0", "Contract source code already verified"
        guid = f"guid-{len(self.answers)}"
        self.answers[guid] = "Pending in queue"
        self._forms = {**getattr(self, "_forms", {}), guid: form}
        return "1", guid

    def _verdict(self, guid: str) -> str:
        form = self._forms[guid]
        where = form["contractaddress"]
        problem = self._problem(form, where)
        if problem:
            return f"Fail - Unable to verify: {problem}"
        self.verified[where] = form["contractname"]
        return "Pass - Verified"

    def _problem(self, form: dict[str, str], where: str) -> str:
        if form["codeformat"] != "solidity-standard-json-input":
            return "codeformat"
        version = form["compilerversion"]
        path, name = form["contractname"].split(":")
        asked = json.loads(form["sourceCode"])
        if asked["language"] != "Solidity" or any(set(each) != {"content"} for each in asked["sources"].values()):
            return "not a standard JSON input"
        wanted = asked["settings"].setdefault("outputSelection", {}).setdefault("*", {}).setdefault("*", [])
        wanted += ["evm.bytecode.object", "evm.deployedBytecode.object", "evm.deployedBytecode.immutableReferences"]
        made = _compile(version, asked)
        errors = [each["formattedMessage"] for each in made.get("errors", []) if each["severity"] == "error"]
        if errors:
            return errors[0]
        evm = made["contracts"][path][name]["evm"]
        runtime = bytearray.fromhex(evm["deployedBytecode"]["object"])
        there = bytearray.fromhex(self.rig.ask("eth_getCode", where, "latest")[2:])
        for places in evm["deployedBytecode"].get("immutableReferences", {}).values():
            for place in places:
                there[place["start"] : place["start"] + place["length"]] = bytes(place["length"])
        if there != runtime:
            return "the bytecode is another"
        if self._creation(where) != "0x" + evm["bytecode"]["object"] + form["constructorArguements"]:
            return "the constructor's arguments are others"
        return ""

    def _creation(self, where: str) -> str:
        """What the transaction carried that created a contract."""
        for number in range(int(self.rig.ask("eth_blockNumber"), 16), 0, -1):
            for tx in self.rig.ask("eth_getBlockByNumber", hex(number), True)["transactions"]:
                if tx["to"] is None:
                    receipt = self.rig.ask("eth_getTransactionReceipt", tx["hash"])
                    if receipt["contractAddress"].lower() == where.lower():
                        return str(tx["input"])
        return ""


def _compile(version: str, asked: dict[str, Any]) -> dict[str, Any]:
    folder = Path(os.environ.get("SOLCX_BINARY_PATH") or Path.home() / ".solcx")
    program = folder / f"solc-{version.split('+', maxsplit=1)[0]}"
    ran = subprocess.run(
        [program, "--standard-json"], check=False, input=json.dumps(asked), capture_output=True, text=True, timeout=120
    )
    made: dict[str, Any] = json.loads(ran.stdout)
    return made
