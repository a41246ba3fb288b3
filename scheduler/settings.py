"""What of `scheduler.yaml` is in force now, and what of a changed file can be without a restart."""

from __future__ import annotations

from poco.wire import PoolConfig
from scheduler.config import Config

#: Everything else needs a restart: it is what the process was built on.
CHANGEABLE = frozenset(
    {
        "poll_seconds",
        "chain_poll_seconds",
        "unknown_after",
        "lost_after",
        "allowed_workers",
        "operators",
        "max_open_polls",
        "retention",
        "orders",
    }
)


class Settings:
    """The configuration, and what workers are told of it.

    Args:
        config: as the process was started.
        pool: `GET /config`.
    """

    def __init__(self, config: Config, pool: PoolConfig) -> None:
        self.config = config
        self.pool = pool
        self.version = pool.version()

    def take(self, new: Config) -> tuple[list[str], list[str]]:
        """Put in force what may change; (settings that did, settings that need a restart)."""
        differ = [name for name in Config.model_fields if getattr(new, name) != getattr(self.config, name)]
        changed = sorted(name for name in differ if name in CHANGEABLE)
        self.config = self.config.model_copy(update={name: getattr(new, name) for name in changed})
        told = {name: getattr(self.config, name) for name in ("poll_seconds", "max_result_bytes")}
        self.pool = self.pool.model_copy(update=told)
        self.version = self.pool.version()
        return changed, sorted(name for name in differ if name not in CHANGEABLE)
