"""`python -m worker --config F [run|status|doctor|ledger|sensors|export|wallet|enrol|may-update]`."""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from poco.errors import PewError
from worker.config import WorkerConfig, load

_M_ARENA_MAX = -8  # of malloc.h
#: Exit code of may-update.
NOT_NOW = 3


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m worker", description="A worker of a pool, on its own energy.")
    parser.add_argument(
        "command",
        nargs="?",
        choices=("run", "status", "doctor", "ledger", "sensors", "export", "wallet", "enrol", "may-update"),
        default="run",
        help="run (default); status and doctor: how it is; ledger: print the energy ledger; "
        "sensors: print the section `sensors` with every default; "
        "export: write what a sensor has measured into a file; "
        "wallet: make the keystore where there is none, print its address; "
        "enrol: join the pool by the token of a card; "
        "may-update: whether energy and tasks leave room for a new version now (exit code 0, or 3 for later)",
    )
    parser.add_argument("--config", type=Path, help="the worker's YAML file; all commands but sensors need it")
    parser.add_argument("--json", action="store_true", help="doctor: print JSON")
    parser.add_argument(
        "--sensor", choices=("weather", "camera"), default="weather", help="export: which (%(default)s)"
    )
    parser.add_argument("--last", type=int, default=86_400, metavar="S", help="export: seconds back (%(default)s)")
    parser.add_argument("--output", type=Path, help="export: the file to write")
    parser.add_argument("--token-file", type=Path, help="enrol: holds the token; it is removed when it is used up")
    parser.add_argument(
        "--lowest-soc", type=float, default=0.4, metavar="X", help="may-update: charge from 0 to 1 (%(default)s)"
    )
    given = parser.parse_args(argv)
    if given.command == "sensors":
        return sensors()
    if given.config is None or (given.command == "export" and given.output is None):
        parser.error(f"{given.command} needs --config" + (" and --output" if given.command == "export" else ""))
    if given.command == "enrol" and given.token_file is None:
        parser.error("enrol needs --token-file")
    commands: dict[str, Callable[[WorkerConfig], int]] = {
        "run": run,
        "status": status,
        "doctor": lambda config: doctor(config, as_json=given.json),
        "ledger": ledger,
        "export": lambda config: export(config, given.sensor, given.last, given.output),
        "wallet": make_wallet,
        "enrol": lambda config: enrol(config, given.token_file),
        "may-update": lambda config: may_update(config, given.lowest_soc),
    }
    try:
        return commands[given.command](load(given.config))
    except PewError as error:
        _complain(error.message, error.hint)
        return error.exit_code
    except sqlite3.Error as error:
        _complain(f"the journal cannot be used: {error}", "see that data_dir is writable and its disk not full")
        return 1
    except KeyboardInterrupt:
        return 130


def _complain(message: str, hint: str) -> None:
    print(f"error: {message}", file=sys.stderr)  # noqa: T201
    if hint:
        print(f"hint: {hint}", file=sys.stderr)  # noqa: T201


def run(config: WorkerConfig) -> int:
    """The daemon."""
    _import_web3()
    from chain import deployment, wallet
    from chain.client import Chain, ChainUnreachableError
    from poco.hexes import to_hex
    from worker.chain import PoolChain
    from worker.database import exclusive
    from worker.journal import Journal
    from worker.link import Backoff, Link
    from worker.log import Log
    from worker.loop import Loop
    from worker.runner.choose import WEAKER, choose

    _be_small()
    where = deployment.load(config.deployment)
    key = wallet.load(config.keystore, wallet.read_password(config.password_file))
    log = Log(worker=config.name, wallet=key.address)
    with exclusive(config.data_dir):
        journal = Journal(config.data_dir / "journal.db")
        chain = Chain(config.rpc_urls, where, config.chain, log.event)
        pauses = Backoff()
        while True:
            try:
                chain.check()
                genesis = to_hex(chain.ask(lambda: chain.web3.eth.get_block(0))["hash"])
                break
            except ChainUnreachableError as error:
                log.warning("no_chain", why=error.message, hint=error.hint)
                time.sleep(pauses.pause())
        journal.bind(wallet=key.address, hub=where.hub, chain=genesis)
        under_way = bool(journal.load(config.slots).replicates)
        chosen = choose(config, key.address, str(journal.note("runtime") or "") if under_way else "")
        journal.set_note("runtime", chosen.name)
        if chosen.name != "docker":
            log.warning("weaker_isolation", runtime=chosen.name, why=chosen.why, means=WEAKER)
        link = Link(config.scheduler_url, key, where.chain_id, where.hub, config.workerpool, ca_file=config.ca_file)
        hands = PoolChain(config, chain, key, journal)
        loop = Loop(config, journal=journal, chain=hands, link=link, runner=chosen.runner, log=log)
        interrupted = []

        def stop(number: int, _frame: object) -> None:
            if number == signal.SIGINT:
                interrupted.append(number)
            loop.drain()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        log.info("started", platform=config.platform, runtime=chosen.name, slots=config.slots, pool=config.workerpool)
        _settle()
        loop.run()
        journal.close()
    return 130 if interrupted else 0


def _import_web3() -> None:
    """Once aiohttp, which web3 imports and nothing here uses, has no certificates to keep in memory: 2 MB of them."""
    before = os.environ.get("SSL_CERT_FILE")
    os.environ["SSL_CERT_FILE"] = os.devnull
    try:
        import web3  # noqa: F401
    finally:
        del os.environ["SSL_CERT_FILE"]
        if before is not None:
            os.environ["SSL_CERT_FILE"] = before


def _be_small() -> None:
    """One heap for all threads, where the C library is glibc: most of them wait nearly always."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _settle() -> None:
    """Give back what only the start has needed, where the C library can."""
    gc.collect()
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def status(config: WorkerConfig) -> int:
    """What the journal knows, as JSON."""
    from worker.status import read

    print(json.dumps(read(config), indent=2))  # noqa: T201
    return 0


def ledger(config: WorkerConfig) -> int:
    """The energy ledger, as `pew energy` reads it."""
    from chain import deployment
    from poco.energy import head_line
    from worker.anchor import ledger_domain
    from worker.journal import Journal

    journal = Journal(config.data_dir / "journal.db", read_only=True)
    try:
        where = ledger_domain(deployment.load(config.deployment))
        print(head_line(str(journal.note("owner.wallet")), where.chain_id, where.hub))  # noqa: T201
        for line in journal.ledger_lines():
            print(line)  # noqa: T201
    finally:
        journal.close()
    return 0


def doctor(config: WorkerConfig, *, as_json: bool) -> int:
    """Look for what is missing; 0 when nothing is."""
    from worker.doctor import examine

    findings = examine(config)
    if as_json:
        print(json.dumps([finding.as_dict() for finding in findings], indent=2))  # noqa: T201
    else:
        for finding in findings:
            print(finding.line())  # noqa: T201
    return 0 if all(finding.ok for finding in findings) else 1


def sensors() -> int:
    """The section `sensors` of the configuration, with every default and what it is for."""
    from worker.sensors.config import commented

    print(commented(), end="")  # noqa: T201
    return 0


def export(config: WorkerConfig, sensor: str, last: int, output: Path) -> int:
    """What a sensor has measured, as a file; what was written, as JSON."""
    from worker.sensors.export import export as write

    print(json.dumps(write(config, sensor, last, output), indent=2))  # noqa: T201
    return 0


def make_wallet(config: WorkerConfig) -> int:
    """The keystore's address, as JSON; it is made where there is none."""
    from worker.identity import ensure_wallet

    address, made = ensure_wallet(config)
    print(json.dumps({"address": address, "made": made}))  # noqa: T201
    return 0


def enrol(config: WorkerConfig, token_file: Path) -> int:
    """Join by a token; as whom, as JSON."""
    from worker.enrolling import enrol as join

    print(join(config, token_file).model_dump_json())  # noqa: T201
    return 0


def may_update(config: WorkerConfig, lowest_soc: float) -> int:
    """Whether a new version may be installed now, in words; 0 or `NOT_NOW`."""
    from worker.updating import ask

    answer = ask(config, lowest_soc)
    print(f"{'now' if answer.may else 'later'}: {answer.why}")  # noqa: T201
    return 0 if answer.may else NOT_NOW


if __name__ == "__main__":
    sys.exit(main())
