"""One process of simulated workers: `python -m benchmarks.scale.fleet SPEC`.

They speak the worker's protocol as it is: EIP-712 login, registration, long polls as long as the scheduler tells them,
every status of a task in its order, contribution and reveal as real transactions, the upload of a real zip. Only the
computing is a pause. What was seen between two instants is written beside SPEC as `<name>.result.json`.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_account import Account

from benchmarks.scale.client import Answer, Connection
from chain.wallet import Wallet
from poco import ids
from poco.hexes import ZERO_ADDRESS, keccak, to_bytes, to_hex, uint256
from poco.wire import login_typed_data

CONTRIBUTE = keccak(b"contribute(bytes32,bytes32,bytes32,address,bytes,bytes)")[:4]
REVEAL = keccak(b"reveal(bytes32,bytes32)")[:4]
GAS = {CONTRIBUTE: 500_000, REVEAL: 150_000}
#: Logins and registrations of one process at once.
LOGINS = 8
#: A worker without a free slot comes again so soon, seconds (as `worker.loop` does).
FULL_POLL_SECONDS = 5
TICK = 0.05
BEFORE = ("STARTED", "APP_DOWNLOADED", "DATA_DOWNLOADED", "COMPUTING")


@dataclass(frozen=True)
class Spec:
    """What a process is told. Workers are numbered; their wallets follow from their numbers."""

    scheduler: str
    rpc: str
    hub: str
    pool: str
    chain_id: int
    first: int
    count: int
    #: seconds that a task computes, least and most
    compute: tuple[float, float]
    #: the upload, and the sha-256 of its deterministic output
    zip_file: str
    digest: str


@dataclass
class Seen:
    """Latencies in seconds: of a poll from something to answer, of a status update from the request."""

    poll: list[float] = field(default_factory=list)
    status: list[float] = field(default_factory=list)
    lag: list[float] = field(default_factory=list)
    finished: int = 0
    #: polls whose answer does not say since when there was something
    untimed: int = 0
    errors: Counter[str] = field(default_factory=Counter)


def wallet(number: int) -> Wallet:
    """The wallet of a simulated worker: public, for local chains."""
    return Wallet(Account.from_key(keccak(b"simulated worker", uint256(number))))


class Fleet:
    """The workers of this process and what they saw."""

    def __init__(self, spec: Spec, folder: Path, name: str) -> None:
        self.spec, self._folder, self._name = spec, folder, name
        self.seen = Seen()
        self.begin = self.end = float("inf")
        self.dice = random.Random(spec.first)
        self.zip = Path(spec.zip_file).read_bytes()
        self.go = asyncio.Event()
        self.login_places = asyncio.Semaphore(LOGINS)

    def counts(self) -> bool:
        return self.begin <= time.monotonic() < self.end

    async def run(self) -> None:
        """Log everybody in, work until the measured time is over, write down what was seen."""
        workers = [Simulated(self, self.spec.first + n) for n in range(self.spec.count)]
        started = time.monotonic()
        await asyncio.gather(*(worker.join() for worker in workers))
        lives = [asyncio.create_task(worker.live()) for worker in workers]
        self._write("ready", {"seconds": time.monotonic() - started})
        window = await self._window()
        self.begin, self.end = window["begin"], window["end"]
        await asyncio.sleep(max(self.begin - time.monotonic(), 0))
        before = resource.getrusage(resource.RUSAGE_SELF)
        while (now := time.monotonic()) < self.end:
            await asyncio.sleep(TICK)
            self.seen.lag.append(time.monotonic() - now - TICK)
        after = resource.getrusage(resource.RUSAGE_SELF)
        for life in lives:
            life.cancel()
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        self._write("result", {**vars(self.seen), "cpu_s": cpu})

    async def _window(self) -> dict[str, float]:
        path = self._folder / "window.json"
        while not path.exists():
            await asyncio.sleep(TICK)
        return dict(json.loads(path.read_text()))

    def _write(self, kind: str, content: dict[str, Any]) -> None:
        path = self._folder / f"{self._name}.{kind}.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps(content))
        part.rename(path)


class Simulated:
    """One worker: a connection that polls, another for what it tells, a third to the chain while it needs one."""

    def __init__(self, fleet: Fleet, number: int) -> None:
        self._fleet, self._spec, self._number = fleet, fleet.spec, number
        self._wallet = wallet(number)
        self._polls = Connection(fleet.spec.scheduler)
        self._calls = Connection(fleet.spec.scheduler)
        self._calling = asyncio.Lock()
        self._token = ""
        self._acked = 0
        #: of the next transaction; the chain is asked once, an earlier fleet has the same wallets
        self._nonce: int | None = None
        self._wait = 20
        self._news: dict[str, asyncio.Queue[str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def join(self) -> None:
        """Log in and register."""
        async with self._fleet.login_places:
            me = self._wallet.address
            asked = json.loads((await self._call("POST", "/login/challenge", {"wallet": me})).body)
            typed = login_typed_data(self._spec.chain_id, self._spec.pool, me, asked["nonce"], asked["expires"])
            signed = {"wallet": me, **asked, "signature": self._wallet.sign_typed(typed)}
            answer = await self._call("POST", "/login", signed)
            self._token = f"Authorization: Bearer {json.loads(answer.body)['token']}\r\n"
            info = {"name": f"w{self._number}", "platforms": ["linux/arm64"], "cpus": 4, "memory_mb": 900}
            told = await self._call("PUT", "/workers/me", {**info, "disk_mb": 8000})
            if told.status != 204:
                raise RuntimeError(f"registration answered {told.status}: {told.body[:200]!r}")
            config = json.loads((await self._call("GET", "/config")).body)
            self._wait = config["poll_seconds"]
            self._calls.close()

    async def live(self) -> None:
        """Poll and do what is asked, until cancelled."""
        await asyncio.sleep(self._fleet.dice.uniform(0, self._wait))
        while True:
            try:
                await self._poll()
            except (OSError, TimeoutError) as error:
                self._fault(f"poll: {type(error).__name__}")
                await asyncio.sleep(self._fleet.dice.uniform(1, 3))

    async def _poll(self) -> None:
        wait = min(self._wait, FULL_POLL_SECONDS) if self._news else self._wait
        question = {
            "presence": "WORKING" if self._news else "WAITING",
            "free_slots": 0 if self._news else 1,
            "acked": self._acked,
            "running": sorted(self._news),
            "wait_seconds": wait,
            "energy": {"harvested_wh": 12.5, "consumed_wh": 11.0, "stored_wh": 40.0, "soc": 0.8, "decision": "takes"},
        }
        begun = time.monotonic()
        body = json.dumps(question).encode()
        answer = await self._polls.call("POST", "/poll", body, headers=self._headers(), patience=wait + 60)
        took = time.monotonic() - begun
        if answer.status != 200:
            self._fault(f"poll: {answer.status}")
            await asyncio.sleep(self._fleet.dice.uniform(2, 10))
            return
        said = json.loads(answer.body)
        if self._fleet.counts():
            if not said["notifications"]:
                self._fleet.seen.poll.append(took - wait)
            elif answer.timing:
                self._fleet.seen.poll.append(took - float(answer.timing.partition("dur=")[2]) / 1000)
            else:
                self._fleet.seen.untimed += 1
        self._wait = said.get("wait_seconds") or self._wait
        for one in said["notifications"]:
            if one["seq"] > self._acked:
                self._acked = one["seq"]
                self._told(one)

    def _told(self, one: dict[str, Any]) -> None:
        task_id = one["task_id"]
        if one["type"] == "START" and task_id not in self._news:
            self._news[task_id] = asyncio.Queue()
            doing = asyncio.create_task(self._do(task_id, one["data"]["authorization"]))
            self._tasks.add(doing)
            doing.add_done_callback(self._tasks.discard)
        elif task_id in self._news:
            self._news[task_id].put_nowait(one["type"])

    async def _do(self, task_id: str, authorization: str) -> None:
        try:
            await self._work(task_id, authorization)
        except (OSError, TimeoutError, RuntimeError) as error:
            self._fault(f"task: {error}"[:120])
        finally:
            del self._news[task_id]

    async def _work(self, task_id: str, authorization: str) -> None:
        for status in BEFORE:
            await self._report(task_id, status)
        await asyncio.sleep(self._fleet.dice.uniform(*self._spec.compute))
        await self._report(task_id, "COMPUTED")
        await self._report(task_id, "CONTRIBUTING")
        me, digest = self._wallet.address, self._spec.digest
        values: list[bytes | str] = [to_bytes(task_id), to_bytes(ids.result_hash(task_id, digest))]
        values += [to_bytes(ids.result_seal(me, task_id, digest)), ZERO_ADDRESS, b"", to_bytes(authorization)]
        types = ["bytes32", "bytes32", "bytes32", "address", "bytes", "bytes"]
        await self._report(task_id, "CONTRIBUTED", await self._send(CONTRIBUTE, encode(types, values)))
        while (news := await self._news[task_id].get()) != "COMPLETE":
            if news == "REVEAL":
                await self._report(task_id, "REVEALING")
                sent = await self._send(REVEAL, encode(["bytes32"] * 2, [to_bytes(task_id), to_bytes(digest)]))
                await self._report(task_id, "REVEALED", sent)
            elif news == "UPLOAD":
                await self._report(task_id, "RESULT_UPLOADING")
                kept = await self._call("PUT", f"/results/{task_id}", raw=self._fleet.zip)
                if kept.status != 200:
                    raise RuntimeError(f"upload answered {kept.status}: {kept.body[:60]!r}")
                await self._report(task_id, "RESULT_UPLOADED")
            elif news == "ABORT":
                raise RuntimeError("aborted")
        await self._report(task_id, "COMPLETED")
        self._fleet.seen.finished += self._fleet.counts()

    async def _report(self, task_id: str, status: str, tx_hash: str | None = None) -> None:
        body = {"status": status, "at": int(time.time()), **({"tx_hash": tx_hash} if tx_hash else {})}
        for _ in range(10):
            begun = time.monotonic()
            answer = await self._call("POST", f"/tasks/{task_id}/status", body)
            if self._fleet.counts():
                self._fleet.seen.status.append(time.monotonic() - begun)
            if answer.status == 200:
                if json.loads(answer.body)["verdict"] == "ABORT":
                    raise RuntimeError(f"told to abort at {status}")
                return
            self._fault(f"{status}: {answer.status}")
            await asyncio.sleep(0.5)
        raise RuntimeError(f"{status} is not taken")

    async def _call(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, raw: bytes | None = None
    ) -> Answer:
        content = raw if raw is not None else json.dumps(body).encode() if body is not None else b""
        async with self._calling:
            try:
                return await self._calls.call(method, path, content, headers=self._headers())
            except ConnectionResetError:  # an idle connection was closed
                return await self._calls.call(method, path, content, headers=self._headers())

    def _headers(self) -> str:
        return f"Content-Type: application/json\r\n{self._token}"

    def _fault(self, what: str) -> None:
        if self._fleet.counts():
            self._fleet.seen.errors[what] += 1

    # the chain

    async def _send(self, selector: bytes, arguments: bytes) -> str:
        """Sign, send, and wait until it is mined; the transaction's hash."""
        chain = Connection(self._spec.rpc)
        try:
            if self._nonce is None:
                self._nonce = int(await _rpc(chain, "eth_getTransactionCount", self._wallet.address, "latest"), 16)
            transaction = {"to": self._spec.hub, "value": 0, "data": to_hex(selector + arguments), "gasPrice": 0}
            transaction |= {"nonce": self._nonce, "gas": GAS[selector], "chainId": self._spec.chain_id}
            tx_hash, signed = self._wallet.sign_transaction(transaction)
            await _rpc(chain, "eth_sendRawTransaction", to_hex(signed))
            self._nonce += 1
            for _ in range(200):
                receipt = await _rpc(chain, "eth_getTransactionReceipt", tx_hash)
                if receipt is not None:
                    if receipt["status"] != "0x1":
                        raise RuntimeError("a transaction was reverted")
                    return tx_hash
                await asyncio.sleep(0.05)
            raise RuntimeError("a transaction is not mined")
        finally:
            chain.close()


async def _rpc(chain: Connection, method: str, *params: Any) -> Any:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    answer = json.loads((await chain.call("POST", "/", body, headers="Content-Type: application/json\r\n")).body)
    if "error" in answer:
        raise RuntimeError(f"{method}: {answer['error'].get('message')}")
    return answer["result"]


def main() -> None:
    path = Path(sys.argv[1])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    spec = Spec(**json.loads(path.read_text()))
    asyncio.run(Fleet(spec, path.parent, path.stem).run())


if __name__ == "__main__":
    main()
