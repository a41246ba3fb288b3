"""Weather station: raw samples in; quality flags, aggregates, a forecast and plots out.

Reads /iexec_in/$IEXEC_DATASET_FILENAME or /iexec_in/$IEXEC_INPUT_FILE_NAME_1; writes summary.json, minutes.csv,
hours.csv, days.csv, flags.csv, forecast.csv, report.svg and computed.json to /iexec_out. Exit codes: 0 done, 2 the
input or the arguments cannot be used.
"""

import os
import sys

import analysis
import records
import settings


def main(arguments, environment):
    """Run the task; returns the exit code."""
    folder = environment.get("IEXEC_IN", "/iexec_in")
    out = environment.get("IEXEC_OUT", "/iexec_out")
    name = environment.get("IEXEC_DATASET_FILENAME") or environment.get("IEXEC_INPUT_FILE_NAME_1")
    if not name:
        return _refuse("no input: neither a dataset nor an input file was given")
    try:
        analysis.run(os.path.join(folder, name), settings.parse(arguments), out)
    except (settings.SettingsError, records.RecordsError) as error:
        return _refuse(str(error))
    except MemoryError:
        return _refuse("not enough memory; give a shorter period")
    except OSError as error:
        return _refuse(f"the result cannot be written: {error.strerror}")
    return 0


def _refuse(message):
    print(f"error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
