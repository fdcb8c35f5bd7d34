"""Run benchmarks and collect their sections: `python tests/benchmarks/run.py [--write FILE] [--large] [names…]`.

Each `bench_<name>.py` beside this file has `run()`, which gives a `Section` or several. The page keeps what is not measured
anew. Exit status 1 when a bar is missed or a benchmark could not run.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import page  # noqa: E402  # beside this file
import quiet  # noqa: E402  # beside this file
from section import Section  # noqa: E402  # beside this file


def main() -> int:
    """Run what is named, or all."""
    known = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    parser = argparse.ArgumentParser(description="Measure, side by side, and write Markdown.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(known)}; all when none is given")
    parser.add_argument("--write", type=Path, help="put the sections into this page too; others on it stay")
    parser.add_argument("--large", action="store_true", help="with what needs 15 GB of free disk; also BIAOJIE_BENCH_LARGE=1")
    options = parser.parse_args()
    unknown = set(options.names) - set(known)
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    # Programs under test refuse settings they do not know, so this one does not go down to them under its own name.
    if os.environ.pop("BIAOJIE_BENCH_LARGE", "") == "1" or options.large:
        os.environ["BENCH_LARGE"] = "1"
    good = True
    for name in options.names or known:
        before = quiet.spin()
        try:
            given = importlib.import_module(f"bench_{name}").run()
        except SystemExit as reason:
            print(f"{name} could not run: {reason}", flush=True)
            good = False
            continue
        measured = f"Measured {page.stamp()}, {quiet.verdict(before, quiet.spin())}"
        sections: list[Section] = [given] if isinstance(given, Section) else list(given)
        blocks = {(name, section.title): page.block(name, section.markdown(), measured) for section in sections}
        print("\n".join(blocks.values()), flush=True)
        if options.write:
            # After each, so that what is measured stays when a later one fails.
            options.write.write_text(page.merged(page.read(options.write), blocks, known), encoding="utf-8")
        good = good and all(met for section in sections for *_, met in section.bars)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
