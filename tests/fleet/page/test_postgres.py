"""The pages over PostgreSQL: the same as over SQLite."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from ops.postgres import Postgres
from scheduler import postgres as databases
from tests.integration.conftest import postgres  # noqa: F401  (fixture)
from tests.integration.scheduler_pool import until
from tests.unit.fleet.page_pool import PagePool, lively, wallet_of


@pytest.fixture
def pools(tmp_path: Path, postgres: Postgres) -> tuple[PagePool, PagePool]:  # noqa: F811
    """The same pool twice."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    shared = lively(tmp_path / "one", where=databases.parse(postgres.create("pages")))
    alone = lively(tmp_path / "other")
    shared.now = alone.now
    return shared, alone


def test_every_page_says_the_same(pools: tuple[PagePool, PagePool]) -> None:
    deal = f"/page/deals/0x{3:064x}"
    paths = ["/page/?sort=earned&down=1", f"/page/workers/{wallet_of(1)}", "/page/deals", "/page/deals?page=2", deal]
    paths += [f"{deal}?status=COMPLETED", f"{deal}?from=20&page=1", "/page/operator"]
    told: Callable[[str], str] = lambda text: re.sub(r"<time[^>]*>[^<]*</time>", "", text)  # noqa: E731
    with TestClient(pools[0].app) as shared, TestClient(pools[1].app) as alone:
        for client in (shared, alone):
            until(lambda client=client: "counting" not in client.get("/page/").text)
        task = re.findall(r"/page/tasks/0x[0-9a-f]{64}", shared.get(deal).text)[0]
        for path in (*paths, task):
            answers = [client.get(path) for client in (shared, alone)]
            assert [answer.status_code for answer in answers] == [200, 200], path
            assert told(answers[0].text) == told(answers[1].text), path
    pools[0].database.close()
