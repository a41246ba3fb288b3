"""The work itself: what a dapp of your own puts in place of this file."""

import json
import os
import re

#: Lines between two checkpoints: often enough to lose little, seldom enough to spare the card.
LINES_BETWEEN = 10_000
_WORD = re.compile(r"[^\W\d_]+")


def count(paths, kept):
    """Read texts line by line, from where the last run was cut off; returns lines and how often each word comes."""
    state = kept.load() or {"file": 0, "offset": 0, "lines": 0, "words": {}}
    counts = state["words"]
    while state["file"] < len(paths):
        with open(paths[state["file"]], "rb") as text:
            text.seek(state["offset"])
            for line in text:
                for word in _WORD.findall(line.decode("utf-8").lower()):
                    counts[word] = counts.get(word, 0) + 1
                state["lines"] += 1
                state["offset"] += len(line)
                if state["lines"] % LINES_BETWEEN == 0:
                    kept.save(state)
        state["file"], state["offset"] = state["file"] + 1, 0
    return state["lines"], counts


def write(out, found, top):
    """Write result.json, and computed.json, which says what the workers must agree on."""
    lines, counts = found
    ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))  # ties in one order everywhere
    result = {"lines": lines, "words": sum(counts.values()), "different": len(counts), "top": dict(ranked[:top])}
    with open(os.path.join(out, "result.json"), "w", encoding="utf-8") as file:
        json.dump(result, file, indent=2, ensure_ascii=False)
        file.write("\n")
    with open(os.path.join(out, "computed.json"), "w", encoding="utf-8") as file:
        json.dump({"deterministic-output-path": "/iexec_out/result.json"}, file)
