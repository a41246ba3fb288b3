"""One user's way through the commands of iExec's own client: what he has, and what he knows by now."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from scripts.localstack import LocalStack
from tests.interop.official import OfficialClient, Outcome

RLC = 10**9
Step = Callable[["Journey"], Outcome]


class StepError(AssertionError):
    """A command ended well and said something wrong."""


class Journey:
    """One user's way through the client's commands.

    Args:
        local: the network: chain, contracts, scheduler with workers.
        client: the command line in a folder of its own; `wallets/me.json` and `wallets/other.json` are funded.
        image: multiaddr and checksum of an app's image in the local registry.
        pool: whose scheduler answers.
        name: of what is registered; each user's own.
    """

    #: an input file, and the same as a dataset's multiaddr and checksum
    input_url: str
    data: dict[str, str]
    #: hash of the pool's order in the book
    offer: str
    #: makes a deal that nobody works for and that can be claimed; with True its task is initialized
    abandoned: Callable[[bool], str]

    def __init__(
        self, local: LocalStack, client: OfficialClient, image: tuple[str, str], pool: str, name: str = "template"
    ) -> None:
        self.local, self.client, self.image, self.pool, self.name = local, client, image, pool, name
        self.me = local.wallets["me"].address
        self.known: dict[str, str] = {}

    def run(self, *words: str, wallet: str | None = "me", seconds: float = 240, preload: str | None = None) -> Outcome:
        return self.client.run(*words, wallet=wallet, seconds=seconds, preload=preload)

    def need(self, *words: str, **more: Any) -> Outcome:
        """Run a command that other things of the step need; StepError where it fails."""
        outcome = self.run(*words, **more)
        expect(outcome.ok, f"iexec {' '.join(words)}: {outcome.error}")
        return outcome

    def configure(self, **sections: Any) -> None:
        """Change sections of the folder's iexec.json, as a user does with an editor."""
        path = self.client.folder / "iexec.json"
        content = json.loads(path.read_text())
        for name, values in sections.items():
            content[name] = {**content.get(name, {}), **values}
        path.write_text(json.dumps(content, indent=2))


def expect(right: object, said: str) -> None:
    if not right:
        raise StepError(said)


def same(left: object, right: object) -> bool:
    return str(left).lower() == str(right).lower()
