"""Operators of the pool: wallets that may command its workers. Their sessions are a kind of their own."""

from __future__ import annotations

from poco.wire import operator_login_typed_data
from scheduler import tables as t
from scheduler.sessions import Kind, Sessions
from scheduler.store import Store

OPERATORS = Kind(
    table=t.operator_sessions,
    typed_data=operator_login_typed_data,
    what="operators",
    cure="ask the pool's owner to add it to operators in scheduler.yaml",
)


def sessions(database: Store, chain_id: int, workerpool: str, operators: list[str], owner: str) -> Sessions:
    """Who is logged in as an operator: one of `operators`, or the pool's owner where none is named."""
    return Sessions(database, chain_id, workerpool, operators or [owner], OPERATORS)
