"""The pages over a store with data: what they show, what they cost, what they never let through."""

from __future__ import annotations

import html.parser
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event as sql_event
from starlette.testclient import TestClient

from poco.energy import entry_line, head_line, profile_line
from poco.ids import task_id
from poco.states import Presence
from poco.wire import LedgerDay, operator_login_typed_data
from scheduler import fleet_commands
from scheduler import model as m
from scheduler.page import fleet, worldmap
from scheduler.page.audit import examine
from scheduler.page.day import Day, Slot
from scheduler.page.earnings import Earnings
from scheduler.page.formats import battery, rlc, when
from scheduler.page.plot import draw
from scheduler.page.render import POLICY
from scripts.energy_life import live
from tests.unit.fleet.page_pool import DAY_S, POOL, RLC, PagePool, wallet_of
from worker.energy import EnergyConfig

EVIL = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'{{7*7}}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> PagePool:
    """Three workers that vote, one asleep, one lost; a deal of 120 tasks; a day of telemetry."""
    pool = PagePool(tmp_path_factory.mktemp("pages"))
    for n in range(3):
        pool.worker(n, presence=Presence.WORKING, soc=0.8, harvest_w=10.0, decision=EVIL, site=(50.0 + n, 8.0))
    pool.worker(3, "sleeper", Presence.ASLEEP, resume_at=pool.now + 3600, soc=0.1)
    pool.worker(4, "gone", silent=5000)
    terms = pool.deal(1, 120, params=EVIL, trust=2)
    pool.vote(terms.task(0).id, [wallet_of(0), wallet_of(1)], [wallet_of(2)])
    pool.vote(terms.task(1).id, [wallet_of(0), wallet_of(1)], [], paid=False)
    pool.happen(terms.task(2).id, m.Initialized(), m.Leased(wallet_of(2), 2))
    pool.sunny(wallet_of(0), pool.now // DAY_S, reason=EVIL)
    return pool


@pytest.fixture
def reader(made: PagePool) -> Iterator[TestClient]:
    with TestClient(made.app, base_url="https://pool.example", follow_redirects=False) as client:
        yield client


def visible(text: str) -> str:
    """What a reader sees, in one line."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", text))


TASK = task_id(f"0x{1:064x}", 0)
ALL = ["/page/", f"/page/workers/{wallet_of(0)}", f"/page/workers/{wallet_of(4)}", "/page/deals",
       f"/page/deals/0x{1:064x}", f"/page/tasks/{TASK}", f"/page/tasks/{task_id(f'0x{1:064x}', 2)}",
       "/page/operator"]  # fmt: skip


class Balance(html.parser.HTMLParser):
    """Elements that are not closed in their order, scripts that are not files, and attributes that run or paint."""

    VOID = frozenset({"meta", "link", "input", "img", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        self.wrong += [f"{tag} {name}" for name in said if name.startswith("on") or name == "style"]
        if "id" in said:
            self.ids.append(str(said["id"]))
        if tag == "script" and not str(said.get("src", "")).startswith("/page/static/"):
            self.wrong.append("script")
        if tag == "style" or str(said.get("href", "")).startswith("javascript:"):
            self.wrong.append(tag)
        if tag == "th" and "scope" not in said:
            self.wrong.append("th without scope")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}>")


@pytest.mark.parametrize("path", ALL)
def test_every_page_is_well_formed_and_lets_nothing_hostile_through(reader: TestClient, path: str) -> None:
    answer = reader.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY and "default-src 'none'" in POLICY
    found = Balance()
    found.feed(answer.text)
    assert (found.wrong, found.open) == ([], [])
    assert len(found.ids) == len(set(found.ids))
    assert "<script>alert" not in answer.text and "<img src=x" not in answer.text and "49" not in EVIL


def test_hostile_words_are_shown_as_words(reader: TestClient) -> None:
    worker = reader.get(f"/page/workers/{wallet_of(0)}").text
    assert worker.count("&lt;script&gt;alert(1)") >= 3  # the gate's words now, in the plot, in the table
    assert "&lt;script&gt;alert(1)" in reader.get(f"/page/deals/0x{1:064x}").text
    sought = reader.get("/page/", params={"q": EVIL})
    assert "&lt;script&gt;" in sought.text and "<script>alert" not in sought.text
    missing = reader.get("/page/workers/<script>alert(1)</script>")
    assert missing.status_code in (400, 404) and "<script>alert" not in missing.text


def test_the_fleet_says_how_it_is(reader: TestClient) -> None:
    text = visible(reader.get("/page/").text)
    assert "5 workers: 3 working, 1 asleep, 1 lost" in text
    assert "30.0 W" in text and "sleeper" in text and "412 RLC" in text
    assert "3 of 5 workers say where they stand" in text


def test_what_the_workers_earned_is_what_the_contracts_pay(made: PagePool) -> None:
    """2 RLC and the loser's stake of 0.6, less 5 %, between two."""
    earnings = Earnings(made.database)
    earnings.look()
    each = (2 * RLC + 6 * RLC // 10) * 95 // 100 // 2
    assert earnings.sums() == {wallet_of(0): each, wallet_of(1): each}


def test_earnings_are_kept_up_and_follow_a_chain_that_takes_back(tmp_path: Path) -> None:
    pool = PagePool(tmp_path)
    first, second = (pool.deal(n, 2, trust=1) for n in (1, 2))
    earnings = Earnings(pool.database, patience=0)
    pool.vote(first.task(0).id, [wallet_of(0)], [])
    earnings.look()
    one = dict(earnings.sums() or {})
    pool.vote(second.task(0).id, [wallet_of(0)], [])
    earnings.look()
    assert one[wallet_of(0)] > 0 and earnings._sums == {wallet_of(0): 2 * one[wallet_of(0)]}
    pool.happen(first.task(0).id, m.RolledBack())
    earnings.look()
    assert earnings._sums == one


def test_a_task_shows_its_vote_its_timeline_and_its_transactions(reader: TestClient) -> None:
    text = visible(reader.get(f"/page/tasks/{TASK}").text)
    assert "more than 50.0 % of the total weight, which is 7" in text
    assert "✓ agreed" in text and "weight 4, 57.1 %" in text and "○ not agreed" in text
    assert "TaskContribute" in text and "TaskFinalize" in text and "task ✓completed" in text
    assert "1.235 RLC" in text
    waiting = visible(reader.get(f"/page/tasks/{task_id(f'0x{1:064x}', 2)}").text)
    assert "Nobody has contributed yet. With a trust of 2" in waiting


def test_a_deal_is_leafed_through_and_sought_in(reader: TestClient) -> None:
    deal = f"/page/deals/0x{1:064x}"
    pages = [reader.get(deal, params={"page": n}).text for n in (1, 2, 3)]
    rows = [re.findall(r'href="/page/tasks/(0x[0-9a-f]+)"', page) for page in pages]
    assert [len(each) for each in rows] == [50, 50, 20] and len({*rows[0], *rows[1], *rows[2]}) == 120
    assert reader.get(deal, params={"page": "999999999"}).text == pages[2]
    done = reader.get(deal, params={"status": "COMPLETED"}).text
    assert re.findall(r'href="/page/tasks/(0x[0-9a-f]+)"', done) == [TASK]
    late = reader.get(deal, params={"from": "110"}).text
    assert len(re.findall(r'href="/page/tasks/', late)) == 10
    assert "1 of 120 tasks completed" in visible(pages[0])


def test_a_search_leads_to_the_thing(reader: TestClient) -> None:
    def leads(words: str) -> tuple[int, str]:
        answer = reader.get("/page/search", params={"q": words})
        return answer.status_code, answer.headers.get("location", "")

    assert leads(TASK) == (303, f"/page/tasks/{TASK}")
    assert leads(f"0x{1:064x}") == (303, f"/page/deals/0x{1:064x}")
    assert leads(wallet_of(3).lower()) == (303, f"/page/workers/{wallet_of(3)}")
    assert leads("sleep er") == (303, "/page/?q=sleep+er")
    assert leads("0x" + "f" * 64)[0] == 404
    assert leads("https://evil.example/\r\nx: y")[1].startswith("/page/?q=https")


@pytest.mark.parametrize("path", ["/page/nothing", "/page/tasks/0x12", f"/page/tasks/0x{9:064x}", "/page/workers/x",
                                  f"/page/deals/0x{9:064x}", "/page/static/../fleet.py",
                                  f"/page/workers/{wallet_of(0)}?day=yesterday"])  # fmt: skip
def test_what_is_not_there_is_said_on_a_page(reader: TestClient, path: str) -> None:
    answer = reader.get(path)
    assert answer.status_code in (400, 404)
    assert answer.headers["content-type"].startswith("text/html") and "<h1>" in answer.text


def test_who_has_the_page_already_is_told_so(reader: TestClient) -> None:
    first = reader.get("/page/deals")
    again = reader.get("/page/deals", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert "max-age" not in first.headers["cache-control"]


def test_a_page_asks_the_store_as_often_for_many_as_for_few(made: PagePool, tmp_path: Path) -> None:
    def questions(pool: PagePool) -> int:
        asked: list[str] = []
        found = fleet.everybody(pool.roll, pool.now, {})
        with pool.database.read() as db:
            sql_event.listen(db, "before_cursor_execute", lambda *args: asked.append(args[2]))
            fleet.listing(db, found, fleet.Question())
        return len(asked)

    many = PagePool(tmp_path)
    for n in range(12):
        many.worker(n)
    assert questions(many) == questions(made) == 2


def test_an_empty_pool_and_a_chain_that_is_away_have_words_of_their_own(tmp_path: Path) -> None:
    pool = PagePool(tmp_path)
    pool.replica.trouble, pool.money = "no node answers <b>", {"trouble": "x"}
    with TestClient(pool.app) as reader:
        text = reader.get("/page/").text
        assert "No worker has joined yet" in text and POOL in text
        assert "The chain cannot be read." in text and "no node answers &lt;b&gt;" in text
        assert "not known" in visible(text)
        assert "No deal yet" in reader.get("/page/deals").text


# --- what a page is made of


def rows(count: int, **more: Any) -> list[fleet.Row]:
    return [
        fleet.Row(fleet.Seen(f"0x{n:040x}", name=f"w{n}", site=(n % 90, n % 180), **more), Presence.WAITING, n)
        for n in range(count)
    ]


def test_a_thousand_workers_are_sorted_cut_and_drawn_with_a_bounded_number_of_dots() -> None:
    found = fleet.chosen(rows(1000), fleet.Question(sort="earned", down=True))
    assert [row.earned for row in found[:2]] == [999, 998]
    assert len(worldmap.dots(rows(1000))) <= worldmap.MOST
    assert sum(len(dot.names) for dot in worldmap.dots(rows(1000))) == 1000
    assert worldmap.draw([], "") is None


def test_the_unknown_comes_last_either_way() -> None:
    known, unknown = rows(1, energy={"soc": 0.5})[0], rows(2)[1]
    for down in (True, False):
        assert fleet.chosen([unknown, known], fleet.Question(sort="battery", down=down)) == [known, unknown]


def test_amounts_instants_and_charges() -> None:
    assert str(rlc(1_500_000_001)) == '<data value="1500000001" title="1,500,000,001 nRLC">1.5 RLC</data>'
    assert "&lt;0.0001 RLC" in rlc(1) and ">0 RLC" in rlc(0) and "not known" in rlc(None)
    assert '<time datetime="2026-06-21T14:13:20Z"' in when(1_782_051_200) and "not known" in when(0)
    assert 'width="41.0"' in battery(7.0) and "not known" in battery(None)


def test_a_gap_in_a_day_stays_a_gap() -> None:
    """What is unknown is neither zero nor what was before it."""
    slots = [Slot(n * 900, 1.0, 0.5, 0.5) if n not in range(40, 50) else Slot(n * 900) for n in range(96)]
    day = Day(0, tuple(slots))
    picture = draw(day, "a <day>")
    assert picture.count('class="sun"') == 2 and picture.count('class="charge"') == 2 and "a &lt;day&gt;" in picture
    assert day.total("harvested") == 86 and day.charge == (0.5, 0.5)


def test_a_published_ledger_is_audited_and_drawn(made: PagePool) -> None:
    ledger = live(EnergyConfig(start="2001-06-21T00:00"), 0.6, made.owner, step=900, contract="0x" + "44" * 20)
    day = min(ledger.days())
    lines = [head_line(ledger.worker, ledger.chain_id, ledger.contract), *map(profile_line, ledger.profiles.values())]
    lines += [entry_line(entry) for entry in ledger.entries if entry.record.day == day]
    made.ledgers.take(ledger.worker, day, LedgerDay(lines=lines))
    folder = made.ledgers.folder_of(ledger.worker)
    honest = examine(folder)
    assert (honest["findings"], honest["records"], honest["simulated"]) == (0, len(lines) - 2, True)
    path = folder / f"{day:06d}.jsonl"
    path.write_text(path.read_text().replace(f",{ledger.entries[40].record.harvested},", ",1,", 1))
    assert examine(folder)["findings"] > 0 and examine(folder)["worst"]


# --- operators


def signed(made: PagePool, reader: TestClient) -> dict[str, Any]:
    """A login that waits to be sent."""
    wallet = made.owner.address
    asked = reader.post("/operators/challenge", json={"wallet": wallet}).json()
    typed = operator_login_typed_data(1337, POOL, wallet, asked["nonce"], asked["expires"])
    return {"wallet": wallet, **asked, "signature": made.owner.sign_typed(typed)}


def form_token(text: str) -> str:
    found = re.search(r'name="form_token" value="([0-9a-f]{40})"', text)
    assert found, "no form"
    return found[1]


def test_an_operator_logs_in_commands_and_logs_out(made: PagePool, reader: TestClient) -> None:
    assert "form_token" not in reader.get("/page/").text
    given = signed(made, reader)
    link = reader.get("/page/operator/link", params=given)
    assert link.status_code == 200 and made.owner.address in link.text and "set-cookie" not in link.headers
    answer = reader.post("/page/operator/login", data=given)
    assert (answer.status_code, answer.headers["location"]) == (303, "/page/operator")
    cookie = answer.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "secure", "samesite=strict", "path=/page"))
    assert reader.post("/page/operator/login", data=given).status_code == 401, "it is good once"
    worker = wallet_of(3)
    form = {"form_token": form_token(reader.get("/page/").text), "worker": worker, "kind": "PAUSE", "hours": "2.5"}
    assert "pause until" not in visible(reader.get(f"/page/workers/{worker}").text)
    sent = reader.post("/page/command", data=form)
    assert sent.headers["location"] == f"/page/workers/{worker}#commands"
    for more in ({"kind": "DRAIN"}, {"kind": "WAKE_AT", "at": "2031-05-01T05:30"}, {"kind": "DIAGNOSE"}):
        assert reader.post("/page/command", data={**form, **more, "worker": wallet_of(2)}).status_code == 303
    page = visible(reader.get(f"/page/workers/{worker}").text)
    assert "pause until" in page and "queued" in page
    listed = visible(reader.get("/page/operator").text)
    assert all(words in listed for words in ("drain", "wake at 2031-05-01 05:30", "diagnose", "pause until", "roof-02"))
    with made.database.read() as db:
        (row,) = fleet_commands.listed(db, worker, now=made.now)
    assert (row.kind, row.arguments, row.by) == ("PAUSE", {"until": made.now + 9000}, made.owner.address)
    for wrong in ({"kind": "PAUSE", "hours": "x"}, {"kind": "WAKE_AT", "at": ""}, {"kind": "CONFIGURE"}, {"kind": "?"},
                  {"worker": ""}, {"worker": "x"}, {"worker": wallet_of(77)}):  # fmt: skip
        assert reader.post("/page/command", data={**form, **wrong}).status_code == 400, wrong
    out = reader.post("/page/operator/logout", data={"form_token": form["form_token"]})
    assert out.status_code == 303
    assert reader.post("/page/command", data=form).status_code == 401


def test_nobody_else_can_send_an_operator_s_form(made: PagePool, reader: TestClient) -> None:
    reader.post("/page/operator/login", data=signed(made, reader))
    right = {"form_token": form_token(reader.get("/page/operator").text), "worker": wallet_of(3), "kind": "DRAIN"}
    assert reader.post("/page/command", data={**right, "form_token": "0" * 40}).status_code == 403
    assert reader.post("/page/command", data={k: v for k, v in right.items() if k != "form_token"}).status_code == 403
    assert reader.post("/page/command", data=right, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert reader.post("/page/command", json=right).status_code == 400
    assert reader.get("/page/command", params=right).status_code == 405
    # what an operator sees is not kept for those who are none
    assert "form_token" in reader.get("/page/").text
    reader.cookies.clear()
    assert "form_token" not in reader.get("/page/").text
    stranger = {**signed(made, reader), "signature": "0x" + "11" * 65}
    assert reader.post("/page/operator/login", data=stranger).status_code in (400, 401)
    evil = reader.get("/page/operator/link", params={"wallet": EVIL, "nonce": EVIL, "expires": "1", "signature": EVIL})
    assert evil.status_code == 401 and "<script>alert" not in evil.text
