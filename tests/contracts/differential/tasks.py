"""Steps of tasks: from `initialize` to payment or claim, honest and not, alone and in arrays."""

from __future__ import annotations

from typing import Any

from poco.hexes import ZERO_ADDRESS, keccak, to_bytes, to_hex
from poco.ids import authorization_hash, result_hash, result_seal
from tests.contracts.differential.cast import RLC, Party, personal
from tests.contracts.differential.stage import (
    ACTIVE,
    CONTRIBUTION,
    DATA,
    REVEAL,
    REVEALED,
    REVEALING,
    WINNERS,
    Deal,
    Stage,
    Task,
)
from tests.contracts.differential.twin import Pair, Query, word

DIGESTS = (to_hex(keccak(DATA)), "0x" + "d2" * 32, "0x" + "d3" * 32)
#: how a Receiver behaves
KEEP, REVERT, BURN_GAS, REENTER, LONG_ANSWER = range(5)


class Tasks(Stage):
    """Rules about tasks."""

    def initialize(self) -> None:
        if not self.deals:
            return
        deal = self.pick(self.deals[-4:])
        fresh = self._unstarted(deal)
        odd = self.random.randint(deal.first, deal.first + deal.volume)
        if not fresh and self.chance(0.9):
            return
        if len(fresh) > 1 and self.chance(0.15):
            self._initialize_many(deal, fresh[:3])
            return
        index = fresh[0] if fresh and self.chance(0.95) else odd
        task = self.task_of(deal, index)
        if self.task_step("initialize", self.pick(self.cast.workers), deal.ids, index):
            self.tasks.append(task)

    def _initialize_many(self, deal: Deal, indexes: list[int]) -> None:
        tasks = [self.task_of(deal, index) for index in indexes]
        if self.chance(0.1):
            indexes = [indexes[0], *indexes]
        if self._array_step("initializeArray", deal, indexes):
            self.tasks += tasks

    def _array_step(self, name: str, deal: Deal, indexes: list[int]) -> bool:
        """A step about several tasks of a deal; now and then the arrays do not fit."""
        times = len(indexes) + self.pick([0] * 12 + [1])
        calls = [
            side.hub.functions[name]([to_bytes(each)] * times, indexes)
            for side, each in zip(self.twin.sides, deal.ids, strict=True)
        ]
        return self.send(name, calls, self.cast.admin)

    def _unstarted(self, deal: Deal) -> list[int]:
        started = {task.name for task in self.tasks}
        return [i for i in range(deal.first, deal.first + deal.volume) if f"{deal.name}.{i}" not in started]

    def contribute(self) -> None:
        task = self.pick_task(ACTIVE, CONTRIBUTION)
        if task is None:
            return
        idle = [each for each in self.cast.workers if each not in task.votes]
        worker = self.pick(idle if idle and self.chance(0.9) else self.cast.workers)
        digest = self.pick((DIGESTS[0],) * 4 + DIGESTS)
        enclave = self._enclave(task)
        commitments = [(result_hash(each, digest), result_seal(worker.address, each, digest)) for each in task.ids]
        if self.chance(0.03):  # the commitment of somebody else
            other = self.pick(self.cast.workers)
            commitments = [
                (h, result_seal(other.address, t, digest)) for (h, _), t in zip(commitments, task.ids, strict=True)
            ]
        for side, (hashed, seal) in zip(self.twin.sides, commitments, strict=True):
            side.name(hashed, f"hash of {digest} in {task.name}")
            side.name(seal, f"seal of {worker.address} on {digest} in {task.name}")
        signatures = self._signatures(task, worker, enclave, commitments)
        calls = [
            side.hub.functions.contribute(to_bytes(each), to_bytes(hashed), to_bytes(seal), *signed)
            for side, each, (hashed, seal), signed in zip(
                self.twin.sides, task.ids, commitments, signatures, strict=True
            )
        ]
        if self.send("contribute", calls, worker):
            task.votes[worker] = digest

    def fast(self) -> None:
        """Everything in one step."""
        task = self.pick_task(ACTIVE, CONTRIBUTION, lambda each, _: each.deal.trust == 1 and not each.votes)
        if task is None:
            return
        worker, digest = self.pick(self.cast.workers), self.pick((DIGESTS[0],) * 9 + DIGESTS)
        data = DATA if task.deal.callback != "nobody" or self.chance(0.1) else b""
        if self.chance(0.04):
            data = b"other data"
        commitments = [(result_hash(each, digest), result_seal(worker.address, each, digest)) for each in task.ids]
        for side, (hashed, seal) in zip(self.twin.sides, commitments, strict=True):
            side.name(hashed, f"hash of {digest} in {task.name}")
            side.name(seal, f"seal of {worker.address} on {digest} in {task.name}")
        signatures = self._signatures(task, worker, self._enclave(task), commitments)
        self._prepare_receiver(task)
        calls = [
            side.hub.functions.contributeAndFinalize(to_bytes(each), to_bytes(digest), b"done", data, *signed)
            for side, each, signed in zip(self.twin.sides, task.ids, signatures, strict=True)
        ]
        self.send("contributeAndFinalize", calls, worker)
        self._compare_receiver(task)

    def reveal(self) -> None:
        task = self.pick_task(REVEALING, REVEAL)
        if task is None:
            return
        right = [worker for worker, digest in task.votes.items() if digest == DIGESTS[0]]
        worker = self.pick(right if right and self.chance(0.7) else list(task.votes) or self.cast.workers)
        digest = task.votes[worker] if worker in task.votes and self.chance(0.85) else self.pick(DIGESTS)
        self.task_step("reveal", worker, task.ids, to_bytes(digest))

    def finalize(self) -> None:
        task = self.pick_task(REVEALING, good=lambda _, view: int(view[REVEALED], 16) == int(view[WINNERS], 16))
        if task is None:
            return
        results = self.pick([b"", b"done", b"x" * 31, b"x" * 32, b"x" * 150])
        data = DATA if task.deal.callback != "nobody" else self.pick([b"", b"", b"", DATA])
        if self.chance(0.04):
            data = b"other data"
        self._prepare_receiver(task)
        self.task_step("finalize", self._scheduler(task), task.ids, results, data)
        self._compare_receiver(task)

    def reopen(self) -> None:
        task = self.pick_task(REVEALING)
        if task is not None:
            if self.chance(0.5):
                self.twin.wait(601)
            self.task_step("reopen", self._scheduler(task), task.ids)

    def claim(self) -> None:
        task = self.pick_task(self.pick([ACTIVE, REVEALING]))
        if task is None or self.chance(0.5):
            return
        if self.chance(0.5):
            self.twin.wait(3_001)
        if self.chance(0.5):
            self.task_step("claim", self.pick(self.cast.workers), task.ids)
            return
        several = [task, *self.tasks[-2:]] if self.chance(0.3) else [task]
        calls = [
            side.hub.functions.claimArray([to_bytes(each.ids[i]) for each in several])
            for i, side in enumerate(self.twin.sides)
        ]
        self.send("claimArray", calls, self.cast.admin)

    def claim_unstarted(self) -> None:
        if not self.deals:
            return
        deal = self.pick(self.deals[-3:])
        fresh = self._unstarted(deal)
        indexes = fresh if fresh and self.chance(0.8) else list(range(deal.first, deal.first + deal.volume))
        if self.chance(0.5):
            self.twin.wait(3_001)
        tasks = [self.task_of(deal, index) for index in indexes]
        if self._array_step("initializeAndClaimArray", deal, indexes):
            self.tasks += tasks

    def wait(self) -> None:
        self.twin.wait(self.pick([1, 60, 300, 300, 599, 601, 1_200, 2_100] * 2 + [12_001]))

    # who signs, and who is called back

    def _scheduler(self, task: Task) -> Party:
        return task.deal.scheduler if self.chance(0.95) else self.cast.requester

    def _enclave(self, task: Task) -> Party | None:
        wanted = task.deal.needs_enclave if self.chance(0.95) else not task.deal.needs_enclave
        return self.pick(self.cast.workers) if wanted else None

    def _signatures(
        self, task: Task, worker: Party, enclave: Party | None, commitments: list[Pair]
    ) -> list[tuple[str, bytes, bytes]]:
        """Enclave, its signature and the authorization, on each side."""
        address = enclave.address if enclave else ZERO_ADDRESS
        signer = self.broker if enclave and self.broker else task.deal.scheduler
        if self.chance(0.04):
            signer = self.pick([self.cast.requester, *self.cast.schedulers])
        authorizations = list(
            self._personal(signer, [authorization_hash(worker.address, t, address) for t in task.ids])
        )
        if self.chance(0.03):
            state = self.random.getstate()
            for i in range(2):
                self.random.setstate(state)
                authorizations[i] = self.badly(authorizations[i])
        of_enclave = (b"", b"")
        if enclave:
            author = enclave if self.chance(0.95) else self.cast.requester
            of_enclave = self._personal(author, [to_hex(keccak(to_bytes(h), to_bytes(s))) for h, s in commitments])
        return [(address, of_enclave[i], authorizations[i]) for i in range(2)]

    def _personal(self, signer: Party, digests: list[str]) -> tuple[bytes, bytes]:
        return signer.sign((personal(digests[0]), personal(digests[1])))

    def _prepare_receiver(self, task: Task) -> None:
        """Tell the contracts that are called back how to behave."""
        if task.deal.callback != "receiver":
            return
        mode = self.pick([KEEP, KEEP, REVERT, BURN_GAS, REENTER, REENTER, REENTER, LONG_ANSWER])
        name, arguments = self.pick(self._tricks(task))
        self.twin.prepare(
            [
                receiver.functions.set(
                    mode, side.hub.address, to_bytes(side.hub.functions[name](*each)._encode_transaction_data())
                )
                for receiver, side, each in zip(self.cast.receivers, self.twin.sides, arguments, strict=True)
            ]
        )

    def _tricks(self, task: Task) -> list[tuple[str, list[tuple[Any, ...]]]]:
        """Calls that a receiver may try in the midst of a finalization: method, arguments on each side."""
        own, last = ([to_bytes(each) for each in ids] for ids in (task.ids, self.tasks[-1].ids))
        friend = self.cast.requester.address
        return [
            ("finalize", [(each, b"", DATA) for each in own]),
            ("claim", [(each,) for each in own]),
            ("claim", [(each,) for each in last]),
            ("reopen", [(each,) for each in own]),
            ("transfer", [(friend, RLC // 7)] * 2),
            ("withdrawTo", [(RLC // 7, friend)] * 2),
            ("approve", [(friend, 5)] * 2),
        ]

    def _compare_receiver(self, task: Task) -> None:
        if task.deal.callback != "receiver":
            return
        received, reentered = (
            self.twin.web3.keccak(text=each)[:4].hex() for each in ("received(bytes32)", "reentered()")
        )
        self.twin.same(
            [
                Query("received", [f"0x{received}{word(each)}" for each in task.ids], self.cast.receiver),
                Query("reentered", [f"0x{reentered}"] * 2, self.cast.receiver),
            ]
        )
