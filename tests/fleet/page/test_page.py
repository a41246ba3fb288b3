"""The pages as people meet them: seen, heard, walked through by keyboard, alive, and obeyed by the workers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from ops.browser import Browser, Tab, axe_source
from ops.console import ROOT
from ops.stack import Stack
from tests.fleet.page.world import World
from tests.integration.scheduler_pool import until

SHOTS = ROOT / "build" / "page"


@pytest.fixture
def tabs(browser: Browser, pool: World) -> Iterator[Any]:
    """Opens pages; at the end nothing may have gone wrong in any of them."""
    opened: list[Tab] = []

    def visit(path: str = "/", width: int = 1280, *, dark: bool = False) -> Tab:
        opened.append(pool.visit(browser, path, width, dark=dark))
        return opened[-1]

    yield visit
    troubles = [trouble for tab in opened for trouble in tab.troubles]
    for tab in opened:
        assert tab.evaluate("window.hacked") is None
        tab.close()
    assert troubles == []


def paths(pool: World) -> dict[str, str]:
    deal = requests.get(f"{pool.scheduler.url}/tasks/{pool.voted}", timeout=10).json()["chainDealId"]
    return {
        "fleet": "/",
        "worker": f"/workers/{pool.wallet_of('oslo')}",
        "daemon": f"/workers/{pool.wallet_of('roof-1')}",
        "deals": "/deals",
        "deal": f"/deals/{deal}",
        "task": f"/tasks/{pool.voted}",
        "operator": "/operator",
        "missing": "/nothing",
    }


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("dark", [False, True])
def test_every_page_is_accessible_and_fits(pool: World, browser: Browser, width: int, dark: bool) -> None:
    axe, found = axe_source(), {}
    tab = browser.tab()
    tab.look(width, dark=dark)
    for name, path in paths(pool).items():
        tab.go(pool.url + path)
        tab.screenshot(SHOTS / f"{name}-{width}{'-dark' if dark else ''}.png")
        wide = int(tab.evaluate("document.documentElement.scrollWidth"))
        found[name] = [*tab.faults(axe), *([f"{wide} px wide"] if wide > width else [])]
        found[name] += [each for each in tab.troubles if "404" not in each]
        tab.troubles.clear()
    tab.close()
    assert {name: said for name, said in found.items() if said} == {}


def test_the_fleet_shows_the_states_that_were_reached(pool: World, tabs: Any) -> None:
    tab = tabs()
    text = tab.text("#workers")
    for name, words in (("oslo", "waiting"), ("berlin", "not taking work"), ("lyon", "asleep"), ("porto", "draining"),
                        ("lost", "lost"), ("roof-1", "")):  # fmt: skip
        row = tab.evaluate(
            "[...document.querySelectorAll('#workers tbody tr')]"
            f".find((r) => r.innerText.includes('{name}'))?.innerText"
        )
        assert row and words in row, (name, text)
    assert "91 %" in text and "14.2" in text
    assert tab.evaluate("document.querySelectorAll('svg.map circle').length") >= 5
    # the daemon was paid for the one task, the two that agreed for the other
    assert tab.evaluate("[...document.querySelectorAll('#workers data')].filter((d) => d.value > 0).length") >= 3


def test_a_task_shows_who_agreed_and_the_real_transactions(pool: World, tabs: Any) -> None:
    tab = tabs(f"/tasks/{pool.voted}")
    said = tab.text("#consensus")
    assert "more than 66.7 %" in said and "agreed" in said and "oslo" in said and "berlin" in said
    shares = tab.evaluate("[...document.querySelectorAll('.share .fill')].map((r) => +r.getAttribute('width') / 400)")
    assert len(shares) == 1 and shares[0] > 2 / 3
    hashes = tab.evaluate("[...document.querySelectorAll('#chain tbody code')].map((c) => c.title)")
    assert len(set(hashes)) >= 5
    for tx_hash in hashes:
        assert pool.net.chain.web3.eth.get_transaction_receipt(tx_hash)["status"] == 1
    alone = tabs(f"/tasks/{pool.alone}").text("#replicates")
    assert "roof-1" in alone and "completed" in alone


def test_a_day_is_drawn_and_told_in_a_table_too(pool: World, tabs: Any) -> None:
    tab = tabs(paths(pool)["worker"])
    assert tab.evaluate("document.querySelectorAll('.plot .sun, .plot .charge').length") >= 2
    assert tab.evaluate("document.querySelector('.plot desc').textContent").endswith("UTC.")
    assert tab.evaluate("document.querySelectorAll('#day details tbody tr').length") == 96
    assert re.search(r"battery at \d+%, below 50%", tab.text("#day table"))
    evil = tabs(f"/workers/{pool.wallet_of('berlin')}")
    assert "<script>" in evil.text("#day table")  # as words
    daemon = tabs(paths(pool)["daemon"])
    daemon.until("document.querySelectorAll('#day .plot').length", 60)


def test_an_energy_ledger_is_audited(pool: World, tabs: Any) -> None:
    honest, forged = (tabs(f"/workers/{pool.wallet_of(name)}") for name in ("oslo", "berlin"))
    honest.until("/Nothing found/.test(document.getElementById('ledger').innerText)", 60)
    forged.until("/The audit found/.test(document.getElementById('ledger').innerText)", 60)
    assert "signature" in forged.text("#ledger")


def test_the_page_follows_without_being_loaded_again(pool: World, tabs: Any) -> None:
    tab = tabs("/?sort=name")
    tab.evaluate("window.same = 1; document.querySelector('#workers a[href*=workers]').focus();"
                 "window.had = document.activeElement.getAttribute('href')")  # fmt: skip
    pool.members["berlin"].say("ASLEEP", resume_at=2_000_000_000, energy={"soc": 0.07})
    tab.until("[...document.querySelectorAll('#workers tr')].some((r) => /berlin/.test(r.innerText) && "
              "/asleep/.test(r.innerText) && /7 %/.test(r.innerText))", 30)  # fmt: skip
    assert tab.evaluate("window.same") == 1
    assert tab.evaluate("document.activeElement.getAttribute('href') === window.had")
    assert "asleep" in tab.evaluate("document.getElementById('announce').textContent")
    tab.click("#live")
    assert tab.evaluate("document.getElementById('live').getAttribute('aria-pressed')") == "false"
    pool.members["berlin"].say("BUSY", energy={"soc": 0.63, "harvest_w": 8.7})
    until(lambda: pool.presence("berlin") == "BUSY")
    assert tab.evaluate("new Promise((d) => setTimeout(() => d(/7 %/.test(document.body.innerText)), 6000))")
    tab.click("#live")
    tab.until("/63 %/.test(document.body.innerText)", 20)


def test_everything_is_reached_by_keyboard_and_can_be_seen(pool: World, tabs: Any) -> None:
    tab = tabs()
    seen = []
    for _ in range(40):
        tab.press("Tab")
        seen.append(
            tab.evaluate(
                "(() => { const e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect();"
                "return [e.tagName, e.getAttribute('href') ?? e.id, s.outlineStyle !== 'none' || e.matches('.skip'),"
                "r.width > 0 && r.right > 0]; })()"
            )
        )
        if seen[-1][1] == f"/page/workers/{pool.wallet_of('lyon')}":
            break
    assert seen[0][1] == "#main"
    assert [each for each in seen if not (each[2] and each[3])] == []
    assert {"/page/deals", "/page/operator", "find"} <= {each[1] for each in seen}
    tab.press("Enter")
    tab.until("document.querySelector('h1')?.textContent === 'lyon'")
    tab.press("Tab")
    tab.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "main"


def test_a_screen_reader_finds_its_way(pool: World, tabs: Any) -> None:
    tab = tabs()
    nodes = tab.call("Accessibility.getFullAXTree")["nodes"]
    heard = {(n["role"]["value"], n.get("name", {}).get("value", "")) for n in nodes if not n["ignored"]}
    roles = {role for role, _ in heard}
    assert {"banner", "navigation", "main", "contentinfo", "search", "table", "columnheader", "rowheader"} <= roles
    assert ("image", "Where the workers stand") in heard or ("img", "Where the workers stand") in heard
    assert not any("◐" in name or "☾" in name for role, name in heard if role in ("cell", "gridcell", "rowheader"))
    status = [n for n in nodes if n["role"]["value"] == "status"]
    assert status


def test_times_can_be_local(pool: World, browser: Browser) -> None:
    tab = browser.tab()
    tab.look(1280)
    tab.call("Emulation.setTimezoneOverride", timezoneId="Pacific/Auckland")
    tab.go(pool.url + paths(pool)["task"])
    first = "document.querySelector('#timeline time')"
    utc, instant = tab.evaluate(f"[{first}.textContent, {first}.dateTime]")
    assert utc == instant.replace("T", " ").rstrip("Z")
    tab.click("#zone")
    local = tab.evaluate(f"{first}.textContent")
    assert local != utc and tab.evaluate(f"{first}.title").startswith(utc)
    tab.click("#zone")
    assert tab.evaluate(f"{first}.textContent") == utc
    tab.close()


# --- operators


PROVIDER = """
window.ethereum = { request: async ({ method, params }) => {
  const said = await window.wallet({ method, params });
  if (said.error) { const e = new Error(said.error); e.code = 4001; throw e; }
  return said.result;
} };
"""


def wallet_in(tab: Tab, pool: World, *, refuses: bool = False) -> None:
    """Put a wallet into the browser (EIP-1193) that signs with the pool owner's key."""

    def asked(question: dict[str, Any]) -> dict[str, Any]:
        if question["method"] == "eth_requestAccounts":
            return {"result": [pool.owner.address.lower()]}
        assert question["method"] == "eth_signTypedData_v4"
        if refuses:
            return {"error": "no"}
        return {"result": pool.owner.sign_typed(json.loads(question["params"][1]))}

    tab.offer("wallet", asked)
    tab.before_pages(PROVIDER)


@pytest.fixture
def operator(pool: World, browser: Browser) -> Iterator[Tab]:
    """A tab that has logged in with a wallet in the browser, and out at the end."""
    tab = browser.tab()
    tab.look(1280)
    wallet_in(tab, pool)
    tab.go(f"{pool.url}/operator")
    tab.until("!document.getElementById('sign').disabled")
    tab.click("#sign")
    tab.until("/Logged in as/.test(document.body.innerText)")
    assert pool.owner.address in tab.text("main")
    yield tab
    tab.go(f"{pool.url}/operator")
    tab.click("main form button")
    tab.until("/logs in with a wallet/.test(document.body.innerText)")
    tab.close()


def test_a_wallet_that_refuses_logs_nobody_in(pool: World, browser: Browser) -> None:
    tab = browser.tab()
    wallet_in(tab, pool, refuses=True)
    tab.go(f"{pool.url}/operator")
    tab.click("#sign")
    tab.until("/has refused/.test(document.getElementById('login-says').textContent)")
    assert tab.call("Network.getCookies", urls=[pool.url])["cookies"] == []
    tab.close()


def test_an_operator_s_command_reaches_the_worker(pool: World, operator: Tab) -> None:
    (cookie,) = operator.call("Network.getCookies", urls=[pool.url])["cookies"]
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("pew_operator", True, "Strict")
    assert operator.evaluate("document.cookie") == ""
    page = pool.url + paths(pool)["daemon"]
    for kind, presence in (("DRAIN", "DRAINING"), ("RESUME", "WAITING")):
        operator.go(page)
        operator.evaluate(f"document.querySelector('#commands select[name=kind]').value = '{kind}'")
        operator.click("#commands form button")
        operator.until(f"location.hash === '#commands' && /{kind.lower()}/.test(document.body.innerText)")
        until(lambda wanted=presence: pool.presence("roof-1") == wanted, 60)
        operator.until(
            "[...document.querySelectorAll('#commands-list tbody tr')][0].innerText.toLowerCase().includes('done')", 60
        )
    operator.screenshot(SHOTS / "commands.png")
    assert operator.faults(axe_source()) == []


def test_many_are_commanded_at_once_and_a_sleeper_s_command_waits(pool: World, operator: Tab) -> None:
    operator.go(f"{pool.url}/?sort=name")
    for name in ("lyon", "roof-1"):
        operator.click(f"input[value='{pool.wallet_of(name)}']")
    # what is marked stays marked while the page follows the pool
    operator.evaluate("new Promise((d) => setTimeout(d, 6000))")
    assert operator.evaluate("document.querySelectorAll('#workers input:checked').length") == 2
    operator.evaluate("document.querySelector('select[name=kind]').value = 'WAKE_AT';"
                      "document.querySelector('input[name=at]').value = '2031-05-01T05:30'")  # fmt: skip
    operator.click("fieldset.act button")
    operator.until("location.pathname === '/page/operator'")
    text = operator.text("#commands")
    assert text.count("wake at 2031-05-01 05:30") == 2 and "lyon" in text and "roof-1" in text


def test_forms_of_other_sites_and_sessions_do_nothing(pool: World, operator: Tab) -> None:
    (cookie,) = operator.call("Network.getCookies", urls=[pool.url])["cookies"]
    session = {"pew_operator": cookie["value"]}
    form = {"kind": "DRAIN", "worker": pool.wallet_of("roof-1")}
    where = f"{pool.url}/command"
    operator.go(pool.url + "/")
    token = operator.evaluate("document.querySelector('input[name=form_token]').value")
    assert requests.post(where, data=form, cookies=session, timeout=10).status_code == 403
    assert requests.post(where, data={**form, "form_token": "0" * 40}, cookies=session, timeout=10).status_code == 403
    other = {"Sec-Fetch-Site": "cross-site"}
    right = {**form, "form_token": token}
    assert requests.post(where, data=right, cookies=session, headers=other, timeout=10).status_code == 403
    assert requests.post(where, data=right, timeout=10).status_code == 401
    assert pool.presence("roof-1") == "WAITING"


def test_a_link_logs_in_without_a_wallet_or_a_script_and_once(pool: World, browser: Browser) -> None:
    address = pool.owner.address[2:].lower()
    keystore = next(path for path in pool.net.folder.glob("pool*.json") if address in path.read_text().lower())
    done = subprocess.run(
        [Path(sys.executable).parent / "pew", "--scheduler", pool.scheduler.url, "--wallet", str(keystore),
         "--password-file", str(keystore.with_suffix(".password")), "--json", "fleet", "login"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    link = json.loads(done.stdout)["link"]
    tab = browser.tab()
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    for _ in range(2):  # looking uses nothing up
        tab.go(link)
    tab.click("main form button")
    tab.until("/Logged in as/.test(document.body.innerText)")
    tab.go(f"{pool.url}/workers/{pool.wallet_of('roof-1')}")
    tab.evaluate("document.querySelector('#commands select[name=kind]').value = 'DIAGNOSE'")
    tab.click("#commands form button")
    tab.until("/diagnose/.test(document.body.innerText)")
    tab.go(f"{pool.url}/operator")
    tab.click("main form button")
    tab.until("/logs in with a wallet/.test(document.body.innerText)")
    tab.go(link)
    tab.click("main form button")
    tab.until("/used up/.test(document.body.innerText)")
    assert tab.call("Network.getCookies", urls=[pool.url])["cookies"] == []
    tab.close()


def test_readers_do_not_get_in_the_way_of_workers(pool: World) -> None:
    """Two hundred questions at once: pages come or are refused in words, and a worker's poll is answered meanwhile."""
    from concurrent.futures import ThreadPoolExecutor

    def read(number: int) -> int:
        return requests.get(f"{pool.url}/?q={number}", timeout=60).status_code

    member = pool.members["oslo"]
    with ThreadPoolExecutor(60) as readers, member.quiet():
        asked = [readers.submit(read, number) for number in range(200)]
        member.poll(presence="WAITING", slots=0)
        assert sum(1 for each in asked if each.done()) < 200, "the poll waited for the readers"
        answers = [each.result() for each in asked]
    assert set(answers) <= {200, 503} and answers.count(200) >= 40


def test_a_chain_that_is_away_is_said(pool: World, tabs: Any, stack: Stack) -> None:
    anvil = stack.processes["page-anvil"]
    tab = tabs()
    assert "cannot be read" not in tab.text("#trouble")
    os.kill(anvil.pid, signal.SIGSTOP)
    try:
        tab.until("/The chain cannot be read/.test(document.getElementById('trouble').innerText)", 90)
        assert "as of block" in tab.text("#trouble") and "oslo" in tab.text("#workers")
    finally:
        os.kill(anvil.pid, signal.SIGCONT)
    tab.until("!/cannot be read/.test(document.getElementById('trouble').innerText)", 90)
