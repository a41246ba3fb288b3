"""Makes the folder that `ops/compose.yaml` takes what is yours from: `python -m ops.pool_home FOLDER ...` (PEW_HOME).

Passwords that are not given are made here, and the broker's certificate, signed by itself: put another in its place
where workers shall trust an authority. A folder that is there already is left as it is.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import secrets
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from ops.console import CommandError, SetupError, guarded, run, say

#: As the scheduler's container sees them.
_INSIDE = {
    "deployment": "/etc/pew/deployment.json",
    "keystore": "/run/secrets/owner.json",
    "password_file": "/run/secrets/owner.password",
    "data_dir": "/var/lib/pew/own",
    "shared_dir": "/var/lib/pew/shared",
    "database_url": "postgresql://pew@database/pew",
    "database_password_file": "/run/secrets/database.password",
    "host": "0.0.0.0",  # noqa: S104  (in its container)
    "port": 8400,
}
_BROKER = {
    "host": "broker",
    "port": 8883,
    "ca_file": "/etc/pew/broker.pem",
    "users_file": "/var/lib/pew/broker/passwords",
}
_YEARS = 10


def make(
    folder: Path,
    *,
    deployment: Path,
    keystore: Path,
    password_file: Path,
    workerpool: str,
    rpc_urls: Sequence[str],
    host: str,
    port: int = 8400,
    mqtt_port: int = 8883,
) -> None:
    """Write the folder.

    Args:
        folder: is not there yet.
        deployment: where the contracts are; keystore, password_file: of the pool's owner.
        host: the name or address under which workers reach this machine.
        port: of the balancer, there; `mqtt_port`: of the broker.

    Raises:
        SetupError: the folder is there, or a file cannot be read.
    """
    if folder.exists():
        raise SetupError(f"{folder} is there already", "name another folder, or change the files in it by hand")
    try:
        given = {"owner.json": keystore.read_text(), "owner.password": password_file.read_text()}
        contracts = json.loads(deployment.read_text())
    except (OSError, ValueError) as error:
        raise SetupError(f"it cannot be read: {error}", "see --deployment, --keystore and --password-file") from None
    given |= {"database.password": secrets.token_urlsafe(24), "grafana.password": secrets.token_urlsafe(16)}
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    # nobody but its owner enters it; what lies in it is read by the containers' users
    for part in (draft, draft / "secrets", draft / "broker"):
        part.mkdir(mode=0o700, parents=True)
    settings = {
        "rpc_urls": list(rpc_urls),
        "workerpool": workerpool,
        **_INSIDE,
        "public_url": f"http://{host}:{port}",
        "broker": {**_BROKER, "public_host": host, "public_port": mqtt_port},
    }
    (draft / "scheduler.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    (draft / "deployment.json").write_text(json.dumps(contracts, indent=2) + "\n")
    for name, content in given.items():
        _write(draft / "secrets" / name, content)
    _certificate(draft / "broker", host)
    for path in draft.rglob("*"):
        if path.is_file():
            path.chmod(0o444)
    draft.rename(folder)


def _write(path: Path, content: str) -> None:
    path.touch(0o600)
    path.write_text(content)


def _certificate(folder: Path, host: str) -> None:
    try:
        name = f"IP:{ipaddress.ip_address(host)}"
    except ValueError:
        name = f"DNS:{host}"
    argv: list[str | Path] = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    argv += [
        "-nodes",
        "-days",
        str(_YEARS * 365),
        "-subj",
        "/CN=pew-broker",
        "-addext",
        f"subjectAltName=DNS:broker,{name}",
    ]
    try:
        run([*argv, "-keyout", folder / "server.key", "-out", folder / "server.pem"], timeout=60)
    except CommandError as error:
        raise SetupError(f"no certificate for the broker: {error.message}", "install openssl; see --host") from None


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ops.pool_home", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="to be made: PEW_HOME")
    for name, text in (
        ("deployment", "deployments/<network>.json"),
        ("keystore", "encrypted keystore of the pool's owner"),
        ("password-file", "its password"),
    ):
        parser.add_argument(f"--{name}", type=Path, required=True, help=text)
    parser.add_argument("--workerpool", required=True, help="address of the pool")
    parser.add_argument("--rpc-url", action="append", required=True, help="a node of the chain; may be given again")
    parser.add_argument("--host", required=True, help="name or address under which workers reach this machine")
    parser.add_argument("--port", type=int, default=8400, help="of the pool there (8400)")
    parser.add_argument("--mqtt-port", type=int, default=8883, help="of the broker there (8883)")
    given = parser.parse_args(words)
    make(
        given.folder, deployment=given.deployment, keystore=given.keystore, password_file=given.password_file,
        workerpool=given.workerpool, rpc_urls=given.rpc_url, host=given.host, port=given.port,
        mqtt_port=given.mqtt_port,
    )  # fmt: skip
    say("pool", f"{given.folder} is ready: PEW_HOME={given.folder.resolve()} docker compose -f ops/compose.yaml up -d")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
