"""The scheduler's tables. Instants are Unix seconds; ids, hashes and addresses are text; amounts are nRLC."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

metadata = MetaData()

#: Numbers that live longer than any row: schema of the chain read so far.
meta = Table("meta", metadata, Column("name", String(40), primary_key=True), Column("value", Text, nullable=False))

tasks = Table(
    "tasks",
    metadata,
    Column("id", String(66), primary_key=True),
    Column("deal_id", String(66), nullable=False, index=True),
    Column("index", BigInteger, nullable=False),
    Column("app", String(42), nullable=False),
    Column("callback", Boolean, nullable=False),
    Column("trust", BigInteger, nullable=False),
    Column("worker_stake", BigInteger, nullable=False),
    Column("run_seconds", BigInteger, nullable=False),
    Column("tag", String(66), nullable=False),
    Column("memory_mb", BigInteger, nullable=False),
    Column("disk_mb", BigInteger, nullable=False),
    Column("cpus", BigInteger, nullable=False),
    Column("contribution_deadline", BigInteger, nullable=False),
    Column("final_deadline", BigInteger, nullable=False),
    Column("status", String(24), nullable=False, index=True),
    Column("reveal_deadline", BigInteger, nullable=False),
    Column("consensus", String(66)),
    Column("digest", String(66)),
    Column("uploader", String(42)),
    Column("upload_since", BigInteger, nullable=False),
    Column("location", Text),
    Column("exhausted", Boolean, nullable=False),
    Column("error", String(40)),
    Column("sent", String(12)),
    Column("tx_failures", Integer, nullable=False),
    Column("retry_at", BigInteger, nullable=False),
    # what the loops look for
    Column("wanted", Boolean, nullable=False),
    Column("due_at", BigInteger),
    Index("tasks_wanted", "wanted", "contribution_deadline"),
    Index("tasks_due", "due_at"),
)

replicates = Table(
    "replicates",
    metadata,
    Column("task_id", String(66), nullable=False),
    Column("worker", String(42), nullable=False, index=True),
    Column("position", Integer, nullable=False),
    Column("status", String(24), nullable=False),
    Column("weight", BigInteger, nullable=False),
    Column("leased_at", BigInteger, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("cause", String(40)),
    Column("result_hash", String(66)),
    Column("rejected", Boolean, nullable=False),
    Column("revealed", Boolean, nullable=False),
    Column("computed", Boolean, nullable=False),
    Column("asked", String(40)),
    Column("uploads", Integer, nullable=False),
    Column("told_reveal", Boolean, nullable=False),
    Column("closed", Boolean, nullable=False),
    PrimaryKeyConstraint("task_id", "worker"),
)

reports = Table(
    "reports",
    metadata,
    Column("task_id", String(66), nullable=False),
    Column("worker", String(42), nullable=False),
    Column("exit_code", Integer),
    Column("reason", Text, nullable=False),
    PrimaryKeyConstraint("task_id", "worker"),
)

history = Table(
    "history",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("task_id", String(66), nullable=False, index=True),
    Column("worker", String(42)),
    Column("status", String(24), nullable=False),
    Column("cause", String(40)),
    Column("at", BigInteger, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("wallet", String(42), primary_key=True),
    Column("name", String(63), nullable=False),
    Column("platforms", JSON, nullable=False),
    Column("cpus", Integer, nullable=False),
    Column("memory_mb", BigInteger, nullable=False),
    Column("disk_mb", BigInteger, nullable=False),
    Column("features", JSON, nullable=False, server_default="[]"),
    Column("operator", String(42)),
    Column("network", String(64)),
    #: latitude and longitude, where its operator lets it say so
    Column("site", JSON(none_as_null=True)),
    Column("faults", Float, nullable=False, server_default="0"),
    Column("faults_at", BigInteger, nullable=False, server_default="0"),
    Column("presence", String(12), nullable=False),
    Column("resume_at", BigInteger),
    Column("free_slots", Integer, nullable=False),
    Column("energy", JSON, nullable=False),
    Column("last_seen", BigInteger, nullable=False),
    Column("next_seq", BigInteger, nullable=False),
    Column("registered", Boolean, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("wallet", String(42), nullable=False, index=True),
    Column("expires", BigInteger, nullable=False, index=True),
)

#: Of those who command the pool's workers: a worker's session is never one of these.
operator_sessions = Table(
    "operator_sessions",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("wallet", String(42), nullable=False, index=True),
    Column("expires", BigInteger, nullable=False, index=True),
)

challenges = Table(
    "challenges",
    metadata,
    Column("nonce", String(66), primary_key=True),
    Column("wallet", String(42), nullable=False, index=True),
    Column("expires", BigInteger, nullable=False, index=True),
)

#: Which scheduler of several leads, until when (by the database's clock, Unix seconds), and how its work stands.
leases = Table(
    "leases",
    metadata,
    Column("name", String(20), primary_key=True),
    Column("holder", String(120), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("state", JSON, nullable=False),
)

notifications = Table(
    "notifications",
    metadata,
    Column("worker", String(42), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("type", String(20), nullable=False),
    Column("task_id", String(66), nullable=False),
    Column("data", JSON, nullable=False),
    PrimaryKeyConstraint("worker", "seq"),
)

#: Of operators to workers; `seq` is that of the notification that carries it, `state` how it ended.
commands = Table(
    "commands",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("worker", String(42), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("kind", String(12), nullable=False),
    Column("arguments", JSON, nullable=False),
    Column("issued_by", String(42), nullable=False),
    Column("issued_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
    Column("state", String(8)),
    Column("answer", Text, nullable=False),
    Column("answered_at", BigInteger),
    Index("commands_by_worker", "worker", "seq", unique=True),
)

#: Quarter hours of workers: `at` is their start on the clock of the worker's power source.
telemetry = Table(
    "telemetry",
    metadata,
    Column("worker", String(42), nullable=False),
    Column("at", BigInteger, nullable=False),
    *(Column(name, Float) for name in ("harvested_wh", "consumed_wh", "soc", "temperature_c")),
    Column("action", String(12), nullable=False),
    Column("reason", Text, nullable=False),
    Column("tasks", Integer, nullable=False),
    Column("received_at", BigInteger, nullable=False, index=True),
    PrimaryKeyConstraint("worker", "at"),
)

events = Table(
    "events",
    metadata,
    Column("chain_id", BigInteger, nullable=False),
    Column("tx_hash", String(66), nullable=False),
    Column("log_index", Integer, nullable=False),
    Column("block", BigInteger, nullable=False, index=True),
    Column("block_hash", String(66), nullable=False),
    Column("name", String(30), nullable=False),
    Column("args", JSON, nullable=False),
    Column("task_id", String(66), index=True),
    PrimaryKeyConstraint("chain_id", "tx_hash", "log_index"),
)

#: Hashes of blocks that were read: where one differs later, the chain took blocks back.
blocks = Table(
    "blocks",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", String(66), nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("task_id", String(66), nullable=False, index=True),
    Column("kind", String(12), nullable=False),
    Column("location", Text),
    Column("status", String(8), nullable=False, index=True),
    Column("not_before", BigInteger, nullable=False),
    #: the step that its transaction was sent for, and which of them was mined
    Column("step", String(80), index=True),
    Column("tx_hash", String(66)),
    #: it shares no transaction: one that it shared was refused
    Column("alone", Boolean, nullable=False, server_default="0"),
    Column("error", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

#: Every transaction that the pool's wallet has signed. Those of one step bear one nonce; `state` is OPEN, MINED,
#: REVERTED or GONE.
transactions = Table(
    "transactions",
    metadata,
    Column("hash", String(66), primary_key=True),
    Column("step", String(80), nullable=False, index=True),
    Column("nonce", BigInteger, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("sent_at", BigInteger, nullable=False),
    Column("state", String(8), nullable=False, index=True),
    Column("block", BigInteger),
    Column("cost_wei", String(78)),
)

orders = Table(
    "orders",
    metadata,
    Column("hash", String(66), primary_key=True),
    Column("kind", String(12), nullable=False),
    Column("resource", String(42), nullable=False),
    Column("signer", String(42), nullable=False),
    Column("price", String(78), nullable=False),
    Column("category", BigInteger),
    Column("remaining", String(78), nullable=False),
    Column("status", String(8), nullable=False, server_default="open"),
    Column("body", JSON, nullable=False),
    Column("published_at", BigInteger, nullable=False),
    Index("orders_listing", "kind", "resource"),
)

#: Deals of the whole hub, as the market shows them.
deals = Table(
    "deals",
    metadata,
    Column("id", String(66), primary_key=True),
    Column("block", BigInteger, nullable=False, index=True),
    *(Column(name, String(42), nullable=False) for name in ("beneficiary", "app", "dataset", "workerpool")),
    Column("requester", String(42), nullable=False, index=True),
    *(Column(f"{kind}order_hash", String(66), nullable=False) for kind in ("app", "dataset", "workerpool", "request")),
    Column("body", JSON, nullable=False),
)

#: Secrets of users: `sealed` is nonce, tag and ciphertext (AES-GCM).
secrets = Table(
    "secrets",
    metadata,
    Column("kind", String(10), nullable=False),
    Column("owner", String(42), nullable=False, index=True),
    Column("name", String(200), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("set_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("kind", "owner", "name"),
)

results = Table(
    "results",
    metadata,
    Column("task_id", String(66), primary_key=True),
    Column("cid", String(80), nullable=False, index=True),
    Column("worker", String(42), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("callback_data", LargeBinary),
    Column("stored_at", BigInteger, nullable=False),
    # the file is gone since then, by the operator's policy
    Column("removed_at", BigInteger),
)

#: Platforms for which an app was found to have no image.
missing_images = Table(
    "missing_images",
    metadata,
    Column("app", String(42), nullable=False),
    Column("platform", String(40), nullable=False),
    Column("learned_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("app", "platform"),
)
