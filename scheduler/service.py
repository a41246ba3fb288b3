"""One scheduler process: what it needs is checked, then its threads and its HTTP server run until SIGTERM."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from pathlib import Path
from typing import IO

import uvicorn
import uvloop

from chain import deployment as deployments
from chain import wallet as wallets
from chain.client import Chain
from chain.fees import FeePolicy
from poco.errors import BadInputError
from poco.wire import PROTOCOL, PoolConfig
from scheduler import api, funds, lock, operators, sharing, store
from scheduler.api_fleet import FleetServices
from scheduler.api_market import MarketServices
from scheduler.api_page import PageServices
from scheduler.api_results import ResultServices
from scheduler.broker import Broker
from scheduler.clock import Clock
from scheduler.config import Config
from scheduler.config import load as load_config
from scheduler.engine import Engine
from scheduler.enrolments import Enrolments
from scheduler.fleet_commands import Signer
from scheduler.follower import Follower
from scheduler.gateway import Gateway
from scheduler.inputs import Inputs
from scheduler.lease import Lease, RowLease, SoleLease
from scheduler.ledgers import Ledgers
from scheduler.load import Load, open_files
from scheduler.log import log
from scheduler.logs import TaskLogs
from scheduler.metrics import Metrics
from scheduler.orderbook import OrderBook
from scheduler.outbox import Outbox
from scheduler.presence import Roll
from scheduler.replica import Duties, Replica
from scheduler.requesters import Requesters
from scheduler.retention import Retention
from scheduler.sessions import Sessions
from scheduler.settings import Settings
from scheduler.signals import Signals
from scheduler.sms import Secrets
from scheduler.standing import Standing
from scheduler.steady import SteadyClock
from scheduler.store import Store
from scheduler.uploads import Uploads
from scheduler.views import Views
from scheduler.watcher import Watcher

#: Between two threads that both compute.
SWITCH_SECONDS = 0.001
#: Objects, collections of the young and of the middle-aged, after which garbage is collected (700, 10, 10 by default).
COLLECT_AFTER = (20_000, 20, 50)


class Scheduler:
    """Everything of one pool.

    Raises (when made):
        BadInputError: wrong chain, wrong owner, unreadable keystore, no gas, or another process on the same data.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        deployment = deployments.load(config.deployment)
        wallet = wallets.load(config.keystore, wallets.read_password(config.password_file))
        self.chain = Chain(config.rpc_urls, deployment, config.chain, log)
        self.chain.check()
        owner = self.chain.workerpool(config.workerpool).owner
        if owner != wallet.address:
            raise BadInputError(
                f"workerpool {config.workerpool} belongs to {owner}, the keystore holds {wallet.address}",
                hint="use the keystore of the pool's owner, or the pool of this wallet",
                code="WRONG_OWNER",
            )
        funds.check_gas(self.chain, wallet.address)
        self._held: IO[str] = lock.acquire(config.data_dir)
        self.store = Store(config.database)
        me = sharing.own_name()
        if self.store.shared is not None:
            pool_name = f"{deployment.chain_id} {deployment.hub} {config.workerpool}"
            sharing.require_same(self.store, pool_name, config.files)
        roll = Roll(config.unknown_after, config.lost_after)
        self.time = SteadyClock(self.chain.settings.block_age(deployment.chain_id))
        self.chain.stale(self.time(), self.time.saw)
        self.engine = Engine(
            self.store,
            roll,
            funds.Funds(self.chain, config.workerpool),
            wallet,
            owners=config.owners,
            clock=self.time,
            seal=Signer(wallet, deployment.chain_id, config.workerpool).signed,
        )
        with self.store.read() as db:
            roll.load(db, self.engine.now())
            self.engine.bell.load(store.waiting_workers(db))
        self.replica = Replica(self.engine, self.chain, self._lease(me), self._appoint, config.lease_seconds)
        self.signals: Signals | None = None
        if self.store.shared is not None:
            self.signals = Signals(self.store.shared, me, self.engine.heard, self.engine.leasing.doubt)
            self.engine.elsewhere = self.signals.tell
        self.clock = Clock(self.engine, lambda: self.replica.leading, lambda: self.replica.ready)
        book = OrderBook(self.store, self.chain)
        self.follower = Follower(self.store, self.chain, config.chain_poll_seconds)
        self.standing = Standing(
            self.engine,
            book,
            config.workerpool,
            templates=lambda: self.services.settings.config.orders,
            leading=lambda: self.replica.leading is not None,
        )
        gateway = Gateway(self.store, deployment.chain_id, config.workerpool)
        views = Views(self.engine, self.chain, self.replica, book, self.standing)
        load = Load(open_files(config.max_open_polls))
        pool = PoolConfig(
            protocol=PROTOCOL,
            chain_id=deployment.chain_id,
            hub=deployment.hub,
            workerpool=config.workerpool,
            scheduler=wallet.address,
            poll_seconds=config.poll_seconds,
            max_result_bytes=config.max_result_bytes,
        )
        self.broker = (
            Broker(config.broker, self.engine, deployment.chain_id, config.workerpool) if config.broker else None
        )
        self.operators = operators.sessions(
            self.store, deployment.chain_id, config.workerpool, config.operators, wallet.address
        )
        settings, ledgers = Settings(config, pool), Ledgers(config.files / "ledgers")
        self.services = api.Services(
            settings=settings,
            load=load,
            engine=self.engine,
            replica=self.replica,
            sessions=Sessions(self.store, deployment.chain_id, config.workerpool, config.allowed_workers),
            results=self._results(config, views, gateway),
            views=views,
            metrics=Metrics(self.engine, self.replica, views, load),
            market=self._market(config, book, wallet, gateway),
            ledgers=ledgers,
            fleet=FleetServices(self.engine, self.operators, self.broker),
            enrolments=Enrolments(
                config.files / "enrolments",
                deployment.chain_id,
                config.workerpool,
                lambda who: who in (settings.config.operators or [wallet.address]),
            ),
            page=PageServices(self.engine, self.replica, views, ledgers, self.operators, settings),
        )
        self.app = api.build(self.services)

    def _market(self, config: Config, book: OrderBook, wallet: wallets.Wallet, gateway: Gateway) -> MarketServices:
        chain_id = self.chain.deployment.chain_id
        return MarketServices(
            engine=self.engine,
            book=book,
            gateway=gateway,
            secrets=Secrets(self.store, self.chain, wallet),
            chain_id=chain_id,
            workerpool=config.workerpool,
            public_url=config.public_url or "",
        )

    def _lease(self, me: str) -> Lease:
        return SoleLease() if self.store.shared is None else RowLease(self.store, me, self.config.lease_seconds)

    def _appoint(self, engine: Engine) -> Duties:
        """What the leader runs."""
        # as it is in force now: it may have been read again
        config = self.services.settings.config
        return Duties(
            engine,
            Watcher(engine, self.chain, config.workerpool, config.chain_poll_seconds, self.time.saw),
            Outbox(engine, self.chain, engine.wallet, FeePolicy.of(config.fees)),
            self.broker.bridge() if self.broker is not None else None,
        )

    def _results(self, config: Config, views: Views, gateway: Gateway) -> ResultServices:
        uploads = Uploads(self.engine, self.replica, config.files / "results", config.max_result_bytes)
        inputs = Inputs(self.chain, config.files / "inputs", config.max_result_bytes, config.retention)
        logs = TaskLogs(config.files / "logs")
        return ResultServices(
            engine=self.engine,
            uploads=uploads,
            inputs=inputs,
            gateway=gateway,
            logs=logs,
            requesters=Requesters(self.store, self.chain, config.workerpool),
            views=views,
            retention=Retention(self.engine, uploads, logs, config.retention, inputs),
        )

    def reload(self, path: Path) -> None:
        """Take over from the configuration what may change while the process runs; a wrong file changes nothing."""
        try:
            changed, restart = self.services.settings.take(load_config(path))
        except BadInputError as error:
            log("config_refused", level="error", error=error.message, hint=error.hint)
            return
        config = self.services.settings.config
        self.engine.roll.unknown_after, self.engine.roll.lost_after = config.unknown_after, config.lost_after
        if self.replica.watcher is not None:
            self.replica.watcher.pause = config.chain_poll_seconds
        self.services.results.uploads.max_bytes = config.max_result_bytes
        self.services.results.retention.keep = self.services.results.inputs.keep = config.retention
        self.services.load.max_polls = open_files(config.max_open_polls)
        if "allowed_workers" in changed:
            self.services.sessions.allow(config.allowed_workers)
        if "operators" in changed:
            self.operators.allow(config.operators or [self.engine.wallet.address])
        level = "warning" if restart else "info"
        log("config_reloaded", level=level, changed=changed, needs_restart=restart)

    def start(self) -> None:
        """Start the threads (not the HTTP server)."""
        self.replica.start()
        if self.signals is not None:
            self.signals.start()
        for thread in (self.clock, self.follower, self.standing, self.services.results.retention):
            thread.start()

    def stop(self) -> None:
        """Stop the threads and let go of the data."""
        for thread in (self.services.results.retention, self.standing, self.follower, self.clock, self.replica):
            thread.stop()
        if self.signals is not None:
            self.signals.stop()
        self.store.close()
        self._held.close()


def run(path: Path) -> None:
    """Run what the configuration at `path` says until SIGTERM or SIGINT; SIGHUP reads it again.

    Raises:
        BadInputError: as `Scheduler`, or the port is taken.
    """
    config = load_config(path)
    listener = _listen(config.host, config.port)
    try:
        scheduler = Scheduler(config)
    except BaseException:
        listener.close()
        raise
    # a thread that computes keeps the one that answers waiting for so long at each of its turns (5 ms by default)
    sys.setswitchinterval(SWITCH_SECONDS)
    scheduler.start()
    # a full collection stops all threads, with thousands of workers for most of a second: not to look again at what
    # stays for ever, and rarely at what lives long
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    log("started", workerpool=config.workerpool, hub=scheduler.services.pool.hub, host=config.host, port=config.port)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(scheduler, listener, path))
    finally:
        scheduler.stop()
        log("stopped")


async def _serve(scheduler: Scheduler, listener: socket.socket, path: Path) -> None:
    tls = scheduler.config.tls
    settings = uvicorn.Config(
        scheduler.app,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
        ssl_certfile=str(tls.certificate) if tls else None,
        ssl_keyfile=str(tls.key) if tls else None,
    )
    server = uvicorn.Server(settings)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.should_exit = True
        scheduler.app.state.polls.stopping.set()
        scheduler.engine.bell.wake_all()

    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, lambda: loop.run_in_executor(None, scheduler.reload, path))
    await serving


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends small answers at once (TCP_NODELAY) only where the protocol is named: else each waits 40 ms
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise BadInputError(
            f"cannot listen on {host}:{port}: {error.strerror}",
            hint="stop what listens there (an earlier scheduler?), or set another port",
            code="PORT_TAKEN",
        ) from None
    return listener
