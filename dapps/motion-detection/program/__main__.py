"""Motion detection: footage of a fixed camera in, events with tracks and pictures out.

Reads /iexec_in/$IEXEC_DATASET_FILENAME or /iexec_in/$IEXEC_INPUT_FILE_NAME_1; writes events.json, event-NNN.jpg and
computed.json to /iexec_out. Exit codes: 0 done, 2 the input or the arguments cannot be used.
"""

import os
import sys

import analysis
import footage
import settings


def main(arguments, environment):
    """Run the task; returns the exit code."""
    folder = environment.get("IEXEC_IN", "/iexec_in")
    out = environment.get("IEXEC_OUT", "/iexec_out")
    name = environment.get("IEXEC_DATASET_FILENAME") or environment.get("IEXEC_INPUT_FILE_NAME_1")
    if not name:
        return _refuse("no input: neither a dataset nor an input file was given")
    try:
        wanted = settings.parse(arguments)
        clip = footage.open_footage(os.path.join(folder, name))
        analysis.run(clip, wanted, out)
    except (settings.SettingsError, footage.FootageError) as error:
        return _refuse(str(error))
    except MemoryError as error:
        return _refuse(f"not enough memory: {error}")
    except OSError as error:
        return _refuse(f"the result cannot be written: {error.strerror}")
    return 0


def _refuse(message):
    print(f"error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
