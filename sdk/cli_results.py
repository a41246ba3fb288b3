"""What `pew run` and `pew task` share: a task watched to its end, and its result as text and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from poco.errors import PewError
from sdk.progress import Progress

if TYPE_CHECKING:
    from chain.model import Task
    from sdk.client import Client
    from sdk.results import Result
    from sdk.watch import Ending


class ErrorResultError(PewError):
    """The workers agreed that the task cannot be run."""


def watch_task(
    client: Client, task_id: str, deal_id: str | None, progress: Progress, timeout: float | None = None
) -> Task:
    from sdk.watch import Watcher, locate, watch

    found, block = locate(client.chain, task_id, deal_id)
    watcher = Watcher(client.chain, found, task_id, block, client.optional_service)
    with progress.waiting(f"task {task_id[:10]}.."):
        ending, end = watch(watcher, lambda news: progress.tell(news, {}), timeout=timeout)
    require_completed(ending, end)
    return end


def require_completed(ending: Ending, end: Task) -> None:
    from sdk.watch import Ending

    if ending is Ending.FAILED:
        raise PewError(
            f"task {end.id} failed: it was claimed after its deadline", hint="the money is back; run it again"
        )
    if ending is Ending.TIMED_OUT:
        raise PewError(
            f"task {end.id} was not finished by its final deadline",
            hint=f"take the money back: pew task claim {end.id}",
            code="TIMED_OUT",
        )


def require_real(outcomes: list[Result]) -> None:
    """Exit 1 with words for an error result."""
    from sdk.explain import explain

    causes = dict.fromkeys(outcome.error for outcome in outcomes if outcome.error is not None)
    if causes:
        said = [explain(cause) for cause in causes]
        raise ErrorResultError(
            "; ".join(f"{what} ({cause.value})" for cause, (what, _) in zip(causes, said, strict=True)),
            hint="; ".join(way for _, way in said),
            code="ERROR_RESULT",
        )


def result_json(outcome: Result) -> dict[str, Any]:
    return {
        "task": outcome.task_id,
        "digest": outcome.digest,
        "cid": outcome.cid,
        "zip": str(outcome.zip_path),
        "folder": str(outcome.folder) if outcome.folder else None,
        "files": list(outcome.files),
        "error": outcome.error.value if outcome.error else None,
    }


def result_lines(outcome: Result) -> list[str]:
    lines = [f"result in {outcome.folder or outcome.zip_path}, verified: digest {outcome.digest}"]
    return [*lines, *(f"  {name}" for name in outcome.files)]
