"""Who may do what at the pool's broker: passwords, and the file from which Mosquitto or NATS learns them.

A worker's password is derived from a secret in the database (HMAC-SHA256), so that all schedulers of a pool know it and
none is stored. The broker's file holds them hashed where the broker can do so (Mosquitto).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import signal
from collections.abc import Iterable
from contextlib import suppress

from poco.topics import ROOT, WRITTEN, Leaf, topic, user_of
from scheduler import store
from scheduler.config import BrokerConfig
from scheduler.store import Store

#: The scheduler's own user: reads what all workers write, and writes their commands.
SCHEDULER = "scheduler"
_ROUNDS = 101


class BrokerUsers:
    """Passwords of one pool.

    Args:
        database: keeps the secret that they are derived from.
    """

    def __init__(self, database: Store, workerpool: str) -> None:
        self._pool = workerpool
        with database.write() as db:
            self._secret = bytes.fromhex(store.claim_meta(db, "broker_secret", secrets.token_hex(32)))

    def password(self, user: str) -> str:
        """Of a worker (`poco.topics.user_of`), or of `SCHEDULER`."""
        return base64.urlsafe_b64encode(self._derived("password", user)).decode().rstrip("=")

    def _derived(self, what: str, user: str) -> bytes:
        return hmac.digest(self._secret, f"{what} {self._pool} {user}".encode(), hashlib.sha256)

    def mosquitto(self, wallets: Iterable[str]) -> str:
        """A password file; topics are in the fixed file of patterns, `ops/mosquitto/pool.acl`."""
        return "".join(f"{user}:{self._hashed(user)}\n" for user in (SCHEDULER, *map(user_of, wallets)))

    def _hashed(self, user: str) -> str:
        """As mosquitto_passwd writes it: PBKDF2 with SHA-512; with a derived salt a file stays as it is."""
        salt = self._derived("salt", user)[:12]
        key = hashlib.pbkdf2_hmac("sha512", self.password(user).encode(), salt, _ROUNDS)
        return f"$7${_ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}"

    def nats(self, wallets: Iterable[str]) -> str:
        """An `authorization` block with users and permissions; NATS needs the passwords as they are, or bcrypt."""
        everything = f"{ROOT}/{self._pool.lower()}/>"
        users = [_nats_user(SCHEDULER, self.password(SCHEDULER), [everything], [everything])]
        for wallet in wallets:
            writes = [topic(self._pool, wallet, leaf) for leaf in WRITTEN]
            reads = [topic(self._pool, wallet, Leaf.COMMAND)]
            users.append(_nats_user(user_of(wallet), self.password(user_of(wallet)), writes, reads))
        return "authorization {\n  users: [\n" + "".join(users) + "  ]\n}\n"

    def write(self, config: BrokerConfig, wallets: Iterable[str]) -> bool:
        """Bring the broker's file up to date, and have the broker read it; whether it had to be."""
        if config.users_file is None:
            return False
        text = self.nats(sorted(wallets)) if config.users_format == "nats" else self.mosquitto(sorted(wallets))
        with suppress(OSError):
            if config.users_file.read_text() == text:
                return False
        config.users_file.parent.mkdir(parents=True, exist_ok=True)
        new = config.users_file.with_name(config.users_file.name + ".new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(config.users_file)
        if config.pid_file is not None:
            # connections that NATS 2.9 reloads under lose their subscriptions: its service manager starts it anew
            number = signal.SIGTERM if config.users_format == "nats" else signal.SIGHUP
            with suppress(OSError, ValueError):  # not running: it reads the file when it starts
                os.kill(int(config.pid_file.read_text()), number)
        return True


def _nats_user(name: str, password: str, writes: list[str], reads: list[str]) -> str:
    """Subscriptions of QoS 1 are delivered on subjects of the server's own, which a user has to be let read too."""

    def subjects(topics: list[str]) -> str:
        return json.dumps([each.replace("/", ".") for each in topics])

    allowed = subjects([*reads, "$MQTT/sub/>"])
    return (
        f"    {{ user: {json.dumps(name)}, password: {json.dumps(password)},\n"
        f"      permissions: {{ publish: {subjects(writes)}, subscribe: {allowed} }} }}\n"
    )
