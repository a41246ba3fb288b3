"""A database from before leases of nonces: what was on its way goes on as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eth_account import Account
from sqlalchemy import create_engine, select, text

from scheduler import schema, sending, store
from scheduler import tables as t
from scheduler.store import Store

OWNER = Account.create()
COMMON: dict[str, Any] = {"to": "0x" + "11" * 20, "gas": 21_000, "value": 0, "data": "0x01", "chainId": 1337}


def signed(nonce: int, **fees: int) -> tuple[str, bytes]:
    made = OWNER.sign_transaction({**COMMON, "nonce": nonce, **fees})
    return "0x" + bytes(made.hash).hex(), bytes(made.raw_transaction)


def test_what_was_signed_before_leases_becomes_one(tmp_path: Path) -> None:
    path = tmp_path / "scheduler.db"
    legacy, typed = signed(7, gasPrice=10**9), signed(128, maxFeePerGas=10**9, maxPriorityFeePerGas=1)
    kept = signed(0, gasPrice=10**9)
    rows: list[tuple[str, str, tuple[str, bytes] | tuple[None, None]]] = [
        ("finalize", "SENT", legacy),
        ("claim", "SENT", typed),
        ("initialize", "QUEUED", kept),
        ("initialize", "QUEUED", (None, None)),
        ("reopen", "DONE", signed(3, gasPrice=10**9)),
        ("claim", "FAILED", signed(4, gasPrice=10**9)),
    ]
    old = create_engine(f"sqlite:///{path}")
    insert = text(
        "INSERT INTO outbox (task_id, kind, status, not_before, tx_hash, raw, created_at, updated_at) "
        "VALUES (:task, :kind, :status, 5, :hash, :raw, 5, 6)"
    )
    with old.begin() as db:
        schema.upgrade(db, "0005")
        for number, (kind, status, (tx_hash, raw)) in enumerate(rows):
            db.execute(insert, {"task": f"0x{number}", "kind": kind, "status": status, "hash": tx_hash, "raw": raw})
    old.dispose()
    database = Store(path)
    leases = {lease.step: lease for lease in sending.StoreBook(lambda: database).open()}
    assert {step: lease.nonce for step, lease in leases.items()} == {"finalize-1": 7, "claim-2": 128, "initialize-3": 0}
    for step, (tx_hash, raw) in (("finalize-1", legacy), ("claim-2", typed), ("initialize-3", kept)):
        (attempt,) = leases[step].attempts
        assert (attempt.tx_hash, attempt.raw, attempt.at) == (tx_hash, raw, 6)
    o = t.outbox.c
    with database.read() as db:
        now = [(r.status, r.step, r.alone) for r in db.execute(select(o.status, o.step, o.alone).order_by(o.id))]
        assert sending.orphans(db) == []
    assert now == [
        (store.SENT, "finalize-1", False),
        (store.SENT, "claim-2", False),
        (store.SENT, "initialize-3", False),
        (store.QUEUED, None, False),
        (store.DONE, None, False),
        (store.FAILED, None, False),
    ]
    database.close()
