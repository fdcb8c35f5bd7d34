"""The house keeps its own rules: documents and code say the same, and nothing names what it must not."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(path for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")) if "node_modules" not in path.parts)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
CODE_BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_in_documents_lead_somewhere(document: Path) -> None:
    links = [
        link
        for link in LINK.findall(document.read_text(encoding="utf-8"))
        if "://" not in link and not link.startswith("mailto:")
    ]

    assert [link for link in links if not (document.parent / link).exists()] == []


def test_both_readmes_give_the_same_commands() -> None:
    def commands(name: str) -> list[str]:
        text = (ROOT / name).read_text(encoding="utf-8")
        return [line.split("#")[0].strip() for block in CODE_BLOCK.findall(text) for line in block.splitlines()]

    assert commands("README.md") == commands("README.zh-CN.md")


def test_commands_in_the_readme_exist() -> None:
    from typer.main import get_command

    from biaojie.cli import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    named = {
        line.split()[1] for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("biaojie ")
    }

    assert named <= known


def test_makefile_has_the_promised_targets() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    for target in ["up", "test", "test-long", "test-no-web", "check", "lint", "bench", "generate"]:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_requirements_have_hashes_and_no_addresses() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text(encoding="utf-8")
        pins = re.findall(r"^[A-Za-z0-9].*==.*$", text, re.MULTILINE)

        assert pins, path
        assert "://" not in text, path
        assert len(pins) <= text.count("--hash=sha256:"), path


def test_no_module_has_outgrown_its_room() -> None:
    longest = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "src").rglob("*.py")}

    assert {path.relative_to(ROOT).as_posix(): lines for path, lines in longest.items() if lines > 600} == {}


def test_every_ignored_check_says_why() -> None:
    silent = []
    for path in tracked():
        if path.suffix != ".py" or "tests" in path.parts:
            continue  # tests are not type-checked; ruff's own rule finds a needless noqa there
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            found = re.search(r"#\s*(noqa|type: ignore)(:\s*[A-Z0-9, ]+|\[[a-z-, ]+\])?(.*)$", line)
            if found and "re.search" not in line and len(found.group(3).strip(" #-")) < 5:
                silent.append(f"{path.relative_to(ROOT)}:{number}")

    assert silent == []


def test_packages_import_nothing_in_their_init() -> None:
    busy = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "src").rglob("__init__.py")
        if re.search(r"^(from|import) (?!__future__)", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]

    assert busy == []


def test_every_package_has_a_map() -> None:
    for path in (ROOT / "src" / "biaojie").rglob("__init__.py"):
        if "migrations" not in path.parts:
            assert path.read_text(encoding="utf-8").startswith('"""'), path
