"""`pew dapp new`: a dapp that runs, to be changed step by step."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from poco.errors import BadInputError
from sdk.builder.description import Name

TEMPLATE = "template"


def copy(root: Path, name: str) -> Path:
    """Copy `dapps/template` to `dapps/<name>`, with its name in `dapp.yaml`, `Dockerfile` and `README.md`.

    Raises:
        BadInputError: the name cannot be one, is taken, or there is no template.
    """
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        raise BadInputError(f"'{name[:60]}' cannot be a dapp's name", hint="a-z, 0-9 and single dashes") from error
    source, folder = root / "dapps" / TEMPLATE, root / "dapps" / name
    if not (source / "dapp.yaml").is_file():
        raise BadInputError(f"There is no {source}", hint="name the folder of the project: --root FOLDER")
    if folder.exists():
        raise BadInputError(f"{folder} is there already", hint="take another name, or remove it")
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".*"))
    for file in ("dapp.yaml", "Dockerfile", "README.md"):
        path = folder / file
        path.write_text(re.sub(rf"\b{TEMPLATE}\b", name, path.read_text()))
    return folder
