"""Write the ABIs that the Python packages use from the compiled interfaces: `brownie run export_abi`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from brownie import project

FOLDER = Path(__file__).resolve().parent.parent / "poco" / "abi"

INTERFACES = {
    "hub": "IHub",
    "rlc": "IRlc",
    "app_registry": "IAppRegistry",
    "dataset_registry": "IDatasetRegistry",
    "workerpool_registry": "IWorkerpoolRegistry",
    "energy_ledger": "IEnergyLedger",
    "app": "IApp",
    "dataset": "IDataset",
    "workerpool": "IWorkerpool",
}


def parameter(entry: dict[str, Any]) -> dict[str, Any]:
    """A parameter without what only the compiler needs."""
    kept: dict[str, Any] = {"name": entry["name"], "type": entry["type"]}
    if entry.get("indexed"):
        kept["indexed"] = True
    if "components" in entry:
        kept["components"] = [parameter(part) for part in entry["components"]]
    return kept


def compact(entry: dict[str, Any]) -> dict[str, Any]:
    """An ABI entry without what only the compiler needs."""
    kept = {key: entry[key] for key in ("type", "name", "stateMutability", "anonymous") if key in entry}
    for key in ("inputs", "outputs"):
        if key in entry:
            kept[key] = [parameter(part) for part in entry[key]]
    return kept


def exports() -> dict[str, str]:
    """Text of each file by its name: one entry a line, sorted by kind and name."""
    build = project.get_loaded_projects()[0]._build
    files = {}
    for name, interface in INTERFACES.items():
        lines = {json.dumps(compact(entry), separators=(",", ":")) for entry in build.get(interface)["abi"]}
        files[f"{name}.json"] = "[\n" + ",\n".join(sorted(lines)) + "\n]\n"
    return files


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, text in exports().items():
        (FOLDER / name).write_text(text)
        print(f"written: poco/abi/{name}")
