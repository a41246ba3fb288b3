"""Counts the words of a text: a dapp to start from.

A worker calls it with the requester's arguments and these variables:

    IEXEC_IN, IEXEC_OUT         folders: inputs (read only) and outputs
    IEXEC_DATASET_FILENAME      the task's dataset in IEXEC_IN, if it has one
    IEXEC_INPUT_FILES_NUMBER,   how many files the requester gave by URL,
    IEXEC_INPUT_FILE_NAME_1..   and their names in IEXEC_IN
    IEXEC_TASK_ID, IEXEC_BOT_TASK_INDEX, IEXEC_BOT_SIZE   this task, and which of how many of its bag it is
    IEXEC_CHECKPOINT            a folder that outlives this run, where the worker offers one

Every worker must write the same bytes: no time, no random numbers, no floating point whose last digits differ between
processors, nothing in the order of a set or of a folder. Exit codes: 0 done, 2 input or arguments cannot be used.
"""

import argparse
import os
import sys

import checkpoint
import words


def main(arguments, environment):
    """Run the task; returns the exit code."""
    for name in sorted(environment):
        if name.startswith("IEXEC_"):
            print(f"{name}={environment[name]}")  # in the log of the worker
    wanted = parse(arguments)
    try:
        paths = inputs(environment)
        kept = checkpoint.Checkpoint(environment.get("IEXEC_CHECKPOINT"), paths)
        found = words.count(paths, kept)
    except (OSError, UnicodeDecodeError) as error:
        print(f"error: the input cannot be read: {error}", file=sys.stderr)
        return 2
    words.write(environment.get("IEXEC_OUT", "/iexec_out"), found, wanted.top)
    kept.remove()
    return 0


def parse(arguments):
    """The requester's arguments; wrong ones end the program with code 2 and a line on stderr."""
    parser = argparse.ArgumentParser(prog="program", description="Counts the words of a text.")
    parser.add_argument("--top", type=int, default=10, help="how many of the most frequent words are listed")
    wanted = parser.parse_args(arguments)
    if not 1 <= wanted.top <= 1000:
        parser.error("--top is 1 to 1000")
    return wanted


def inputs(environment):
    """The paths of the dataset and of all input files; FileNotFoundError where there is none."""
    folder = environment.get("IEXEC_IN", "/iexec_in")
    names = [environment[name] for name in ("IEXEC_DATASET_FILENAME",) if environment.get(name)]
    for number in range(1, int(environment.get("IEXEC_INPUT_FILES_NUMBER", "0")) + 1):
        names.append(environment[f"IEXEC_INPUT_FILE_NAME_{number}"])
    if not names:
        raise FileNotFoundError("neither a dataset nor an input file was given")
    return [os.path.join(folder, name) for name in names]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
