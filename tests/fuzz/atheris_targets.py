"""Coverage-guided fuzzing of one decoder, as a process of its own.

    python atheris_targets.py NAME CPU_SECONDS FOLDER

FOLDER/corpus holds what was found to reach new code (started from the decoder's seeds), FOLDER/found what failed. Ends with
status 0 and one JSON line after CPU_SECONDS; any exception but the decoder's declared errors, an input of more than 5
seconds or more than 1 GiB of memory ends it with another status.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import warnings
from pathlib import Path

import atheris

INPUT_TIMEOUT_S = 5
MEMORY_MIB = 1024
LOOK_EVERY = 64
ROOMS = ("fuzz", "handle", "net", "conformance")


def main() -> None:
    name, budget_s, folder = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3])
    warnings.simplefilter("ignore")  # old algorithms are part of the protocol
    for room in ROOMS:
        sys.path.append(str(Path(__file__).parent.parent / room))
    with atheris.instrument_imports(include=["biaojie", "http_message_signatures", "http_sf"]):
        from decoders import DECODERS
    decoder = DECODERS[name]
    corpus, found = folder / "corpus", folder / "found"
    for place in (corpus, found):
        place.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(decoder.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed[: decoder.longest])
        decoder.run(seed)  # a seed that fails says so before anything else, with its traceback
    deadline_s = time.process_time() + budget_s
    count = 0

    def one_input(data: bytes) -> None:
        nonlocal count
        count += 1
        decoder.run(data)
        if not count % LOOK_EVERY and time.process_time() > deadline_s:
            report(name, count, budget_s, corpus)

    options = [
        sys.argv[0],
        str(corpus),
        f"-max_len={decoder.longest}",
        f"-timeout={INPUT_TIMEOUT_S}",
        f"-rss_limit_mb={MEMORY_MIB}",
        f"-artifact_prefix={found}{os.sep}",
        "-seed=20261122",
        "-verbosity=0",
        "-print_final_stats=0",
    ]
    if decoder.words:
        words = folder / "words.dict"
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in decoder.words), encoding="ascii")
        options.append(f"-dict={words}")
    atheris.Setup(options, one_input)
    atheris.Fuzz()


def report(name: str, count: int, budget_s: float, corpus: Path) -> None:
    """Say what was done and end: libFuzzer itself only ends by the wall's clock."""
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    line = {"decoder": name, "inputs": count, "cpu_s": budget_s, "corpus": len(list(corpus.iterdir())), "peak_mib": peak_mib}
    print(json.dumps(line), flush=True)
    os._exit(0)


def _escaped(word: str) -> str:
    return "".join(f"\\x{octet:02X}" for octet in word.encode())


if __name__ == "__main__":
    main()
