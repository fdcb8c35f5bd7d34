"""What a benchmark gives: a titled table with remarks, ready for Markdown; and how outside programs are built and run."""

from __future__ import annotations

import platform
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One benchmark's result; `bars` are (what, measured, wanted, met)."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    remarks: Sequence[str] = ()
    bars: Sequence[tuple[str, float, str, bool]] = ()

    def markdown(self) -> str:
        """The section as Markdown."""
        lines = [f"## {self.title}", "", _line(self.header), _line("---" for _ in self.header), *map(_line, self.rows)]
        if self.bars:
            lines += [
                "",
                *(f"- {'met' if met else '**missed**'}: {what} = {value:.2f} (bar {bar})" for what, value, bar, met in self.bars),
            ]
        if self.remarks:
            lines += ["", *(f"- {remark}" for remark in self.remarks)]
        return "\n".join(lines) + "\n"


def compiled(name: str, folder: Path) -> Path:
    """A C program of this folder, built with gcc."""
    target = folder / name
    subprocess.run(["gcc", "-O2", "-o", str(target), str(HERE / f"{name}.c")], check=True)
    return target


def can_compile() -> bool:
    """Is there a gcc? Only the comparison needs one; installing does not."""
    return shutil.which("gcc") is not None


def pinned(core: int, command: Iterable[str]) -> list[str]:
    """A command tied to one core, where `taskset` is there and there is more than one core."""
    return ["taskset", "-c", str(core), *command] if shutil.which("taskset") else list(command)


def median(values: Iterable[float]) -> float:
    """Median, 0 for nothing."""
    found = list(values)
    return statistics.median(found) if found else 0.0


def machine() -> str:
    """One line about where this ran."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return f"{model}, Linux {platform.release()}, Python {platform.python_version()}"


def work_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder that disappears with the benchmark."""
    return tempfile.TemporaryDirectory(prefix="biaojie-bench-")


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
