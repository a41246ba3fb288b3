"""Progress that outlives a power cut: a file in the folder that IEXEC_CHECKPOINT names, where the worker offers one."""

import json
import os


class Checkpoint:
    """The progress of one task.

    A worker that runs on the sun may be cut off at any moment. It then runs the program again, with the same inputs and
    arguments and what was left in the folder. Without a folder nothing is kept and the work starts anew: the result
    must be the same.
    """

    def __init__(self, folder, inputs):
        self._path = os.path.join(folder, "progress.json") if folder else None
        self._of = [[os.path.basename(path), os.path.getsize(path)] for path in inputs]

    def load(self):
        """What was saved last for these inputs, or None."""
        if self._path is None:
            return None
        try:
            with open(self._path, encoding="utf-8") as file:
                content = json.load(file)
            return content["state"] if content["of"] == self._of else None
        except (OSError, ValueError, KeyError, TypeError):
            return None  # nothing yet, or not from us: start anew

    def save(self, state):
        """Keep a state (anything JSON can hold), so that a cut leaves the old one or the new one, never half of it."""
        if self._path is None:
            return
        part = self._path + ".part"
        with open(part, "w", encoding="utf-8") as file:
            json.dump({"of": self._of, "state": state}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, self._path)

    def remove(self):
        """Forget it: the work is done."""
        if self._path is not None and os.path.exists(self._path):
            os.remove(self._path)
