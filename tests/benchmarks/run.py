"""Run benchmarks and collect their sections: `python tests/benchmarks/run.py [--write FILE] [names…]`.

Each `bench_<name>.py` beside this file has `run() -> Section`. Exit status 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


def main() -> int:
    """Run what is named, or all."""
    known = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    parser = argparse.ArgumentParser(description="Measure, side by side, and write Markdown.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(known)}; all when none is given")
    parser.add_argument("--write", type=Path, help="write the collected sections to this file too")
    options = parser.parse_args()
    unknown = set(options.names) - set(known)
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    sections = []
    for name in options.names or known:
        section = importlib.import_module(f"bench_{name}").run()
        print(section.markdown(), flush=True)
        sections.append(section)
    if options.write:
        text = "# Benchmarks\n\nWritten by `make bench`; ratios are measured side by side in one run.\n\n"
        options.write.write_text(text + "\n".join(section.markdown() for section in sections), encoding="utf-8")
    return 0 if all(met for section in sections for *_, met in section.bars) else 1


if __name__ == "__main__":
    sys.exit(main())
