"""What Ansible is told of each device: the inventory of a push, and the files that devices read by themselves."""

from __future__ import annotations

import json
from typing import Any

from chain import deployment
from poco.errors import BadInputError
from sdk.fleet.inventory import Fleet, worker_settings
from sdk.fleet.release import ANSIBLE_LOCK, LOCK, SENSORS_LOCK, Release, venv_name
from sdk.fleet.signing import allowed_signers
from sdk.fleet.state import State


def of_device(fleet: Fleet, state: State, release: Release, name: str) -> dict[str, Any]:
    """Variables of the roles for one device; nothing in them is secret."""
    host, device = fleet.hosts[name], state.kept.devices.get(name)
    settings = worker_settings(fleet, name)
    # what speaks to meters, cameras and brokers has packages of its own
    more = host.power is not None or not settings.keys().isdisjoint({"sensors", "messaging"})
    locks = [LOCK, SENSORS_LOCK] if more else [LOCK]
    found: dict[str, Any] = {
        "pew_name": name,
        "pew_config": settings,
        "pew_runtime": host.runtime,
        "pew_additions": [
            *(["bubblewrap"] if host.runtime == "bubblewrap" else []),
            *(["hardware"] if host.power is not None else []),
        ],
        "pew_release": release.digest,
        "pew_archive_sha1": release.sha1,
        "pew_venv": venv_name(release, locks),
        "pew_locks": locks,
        "pew_seconds": fleet.upgrade.seconds,
        "pew_deployment": _deployment(fleet),
    }
    if fleet.ca_file is not None:
        found["pew_ca"] = _text(fleet, "ca_file")
    if device is not None and device.declaration is not None:
        settings["operator_file"] = "/etc/pew/operator.json"
        found["pew_declaration"] = device.declaration.model_dump()
    if fleet.pull is not None:
        found["pew_pull"] = {"url": fleet.pull.url, "at": fleet.pull.at, "lowest_soc": fleet.pull.lowest_soc}
        found["pew_ansible"] = venv_name(release, [ANSIBLE_LOCK])
        found["pew_signers"] = allowed_signers(state)
    return found


def inventory(fleet: Fleet, state: State, release: Release, names: list[str]) -> dict[str, Any]:
    """Ansible's inventory of those devices, for a push over ssh."""
    hosts: dict[str, Any] = {}
    for name in names:
        host = fleet.hosts[name]
        hosts[name] = {
            **of_device(fleet, state, release, name),
            "ansible_host": host.address,
            "ansible_port": host.port,
            "ansible_user": host.user,
            "ansible_become": host.user != "root",
            "ansible_ssh_common_args": " ".join(ssh_options(state)),
            "pew_archive": str(release.path),
        }
        if host.key is not None:
            hosts[name]["ansible_ssh_private_key_file"] = str(fleet.path(host.key))
        if fleet.vault is not None:
            hosts[name]["pew_secrets"] = (
                "{{ pew_vault.all | default({}) | combine((pew_vault.hosts | default({})).get(pew_name, {}), "
                "recursive=True) }}"
            )
    return {"workers": {"hosts": hosts}}


def ssh_options(state: State) -> list[str]:
    """Never ask; remember a device's key the first time, and refuse another one later."""
    options = ("BatchMode=yes", "ConnectTimeout=10", "StrictHostKeyChecking=accept-new")
    known = f"UserKnownHostsFile={state.folder / 'known_hosts'}"
    return [word for option in (*options, known) for word in ("-o", option)]


def _deployment(fleet: Fleet) -> dict[str, Any]:
    path = fleet.path(fleet.deployment)
    deployment.load(path)
    return dict(json.loads(path.read_text()))


def _text(fleet: Fleet, field: str) -> str:
    path = fleet.path(getattr(fleet, field))
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        raise BadInputError(f"{field}: {path} cannot be read", hint="check the path in the fleet's file") from None
