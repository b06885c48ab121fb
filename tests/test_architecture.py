"""Rules about the tree itself: who may import whom, how big a file may be, what the README promises."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
SOURCES = sorted(p for top in ("shared", "replications", "tests") for p in (REPO / top).rglob("*.py"))
PAPERS = sorted(p.name for p in (REPO / "replications").iterdir() if (p / "__init__.py").exists())
FILES = {"README.md", "pyproject.toml", "Makefile", "requirements.lock"}
TOP_LEVEL = FILES | {"replications", "shared", "results", "tests"}
HARD_CAP = 400


def name(path: Path) -> str:
    return path.relative_to(REPO).as_posix()


def imports(path: Path, *, lazy: bool = True) -> set[str]:
    """Dotted names that a file imports; without ``lazy`` only those at module level, type checking blocks aside."""
    found: set[str] = set()

    def visit(nodes: list[ast.stmt]) -> None:
        for node in nodes:
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
            elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
                continue
            elif lazy or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                visit([child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)])

    visit(ast.parse(path.read_text(encoding="utf-8")).body)
    return found


def inside(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def offenders(paths: list[Path], *packages: str, lazy: bool = True) -> list[str]:
    return [
        f"{name(p)}: {m}"
        for p in paths
        for m in sorted(imports(p, lazy=lazy))
        if any(inside(m, package) for package in packages)
    ]


def under(*folders: str) -> list[Path]:
    return [p for p in SOURCES if any(name(p).startswith(f"{folder}/") for folder in folders)]


def test_the_checker_sees_lazy_and_relative_spellings(tmp_path):
    file = tmp_path / "x.py"
    file.write_text("import a.b\nfrom c import d\ndef f():\n    if 1:\n        from e import g\n")
    assert imports(file) == {"a.b", "c", "c.d", "e", "e.g"}
    assert imports(file, lazy=False) == {"a.b", "c", "c.d"}


def test_shared_never_imports_a_replication():
    assert offenders(under("shared"), "replications") == []


@pytest.mark.parametrize("paper", PAPERS)
def test_a_replication_never_imports_another(paper):
    others = [f"replications.{other}" for other in PAPERS if other != paper]
    assert offenders(under(f"replications/{paper}"), *others) == []


def test_statistics_and_report_never_import_torch():
    assert offenders(under("shared/stats", "shared/report"), "torch", "torchvision", "pytorch_lightning") == []


def test_lightning_has_one_name():
    assert offenders(SOURCES, "lightning") == []


def test_declarations_of_papers_need_no_torch():
    loaded = python("import replications, sys; print('torch' in sys.modules, 'pandas' in sys.modules)")
    assert loaded.split() == ["False", "False"]


def test_verdicts_and_report_run_without_torch():
    used = (
        "shared.stats.verdict, shared.report.build, shared.report.blocks, shared.runs.table, replications.goyal.figures"
    )
    loaded = python(f"import {used}, sys; print('torch' in sys.modules)")
    assert loaded.strip() == "False"


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["list"]], ids=" ".join)
def test_the_command_line_answers_without_torch(words):
    code = (
        "import sys, runpy\n"
        f"sys.argv = ['replications', *{words!r}]\n"
        "try:\n    runpy.run_module('replications', run_name='__main__')\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'torch', 'pandas', 'matplotlib', 'wandb', 'scipy'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy))\n"
    )
    assert python(code).splitlines()[-1] == "heavy: []"


def python(code: str) -> str:
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPO, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_file_is_longer_than_the_cap():
    long = {name(p): n for p in SOURCES if (n := len(p.read_text(encoding="utf-8").splitlines())) > HARD_CAP}
    assert long == {}


def test_the_top_level_holds_what_it_may_hold():
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        capture_output=True, text=True, cwd=REPO, check=False,
    )  # fmt: skip
    if tracked.returncode:
        pytest.skip("not a git checkout")
    top = {line.partition("/")[0] for line in tracked.stdout.splitlines()}
    assert {t for t in top if not t.startswith(".")} <= TOP_LEVEL


def test_every_make_command_of_readme_and_cards_exists():
    targets = make_targets()
    for page in [REPO / "README.md", *(REPO / "replications").glob("*/README.md")]:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"(?:^ *|[`;&] ?)make ([a-z][a-z-]*)", text, re.MULTILINE):  # prose may "make" too
            pattern = re.sub(r"^(replicate|smoke)-(?!<)\w+$", r"\1-%", target)
            assert target in targets or pattern in targets, f"{name(page)}: make {target}"


def test_every_module_command_of_readme_and_cards_exists():
    code = "import sys, runpy; sys.argv = ['x', '--help']; runpy.run_module('replications', run_name='__main__')"
    known = set(re.findall(r"^  (\w+) ", python(code), re.MULTILINE))
    for page in [REPO / "README.md", *(REPO / "replications").glob("*/README.md")]:
        for command in re.findall(r"python -m replications ([a-z]\w*)", page.read_text(encoding="utf-8")):
            assert command in known, f"{name(page)}: {command}"


def test_make_help_names_every_target():
    shown = subprocess.run(["make", "help"], capture_output=True, text=True, cwd=REPO, check=True).stdout
    for target in make_targets() - {"help"}:
        assert re.search(rf"^  {re.escape(target.replace('%', '<paper>'))} ", shown, re.MULTILINE), target


@pytest.mark.parametrize(
    "words",
    [
        *("data", "status", "report", "bench", "check", "smoke", "smoke-goyal", "replicate", "replicate-goyal"),
        "replicate-goyal PRESET=paper PROFILE=slurm SEEDS=2 JOBS=3 SET=lr=1 ENGINE=--verbose ARGS=--no-report",
    ],
)
def test_make_calls_commands_and_options_that_exist(words):
    import typer

    from replications import PAPERS
    from shared.cli import make_app
    from shared.workflow.suite import Suite

    shown = subprocess.run(["make", "-n", *words.split()], capture_output=True, text=True, cwd=REPO, check=True).stdout
    commands = typer.main.get_command(make_app(Suite(PAPERS))).commands
    called = re.findall(r"-m replications ([^|;\n]+)", shown)
    assert called
    for line in called:
        name_, *arguments = shlex.split(line)
        commands[name_].make_context(name_, arguments)  # raises for an option that is not there


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z%-]*):", (REPO / "Makefile").read_text(), re.MULTILINE))


def test_dependencies_say_why_and_stay_bounded():
    text = (REPO / "pyproject.toml").read_text()
    block = text[text.index("dependencies = [") :].split("\n]", 1)[0]
    for line in block.splitlines()[1:]:
        if line.strip().startswith('"'):
            assert re.search(r"[<=]", line), line
            assert "#" in line, line
    assert "Private :: Do Not Upload" in text
    banned = re.search(r'"pytorch-lightning(.*?)"', text)[1]
    assert banned == ">=2.6.6,<2.7"  # 2.6.2 and 2.6.3 were compromised


def test_the_lock_is_hashed_and_names_no_place():
    text = (REPO / "requirements.lock").read_text()
    entries = re.findall(r"^([\w.-]+)==", text, re.MULTILINE)
    blocks = re.split(r"\n(?=\S)", text)
    assert all("--hash=sha256:" in b for b in blocks if re.match(r"[\w.-]+==", b))
    assert not re.search(r"https?://|--index|--find-links|file:", text)
    assert not [e for e in entries if e in ("torch", "torchvision", "triton") or e.startswith("nvidia-")]
    wanted = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.match(r"[\w.-]+", w)[0].lower() for w in wanted} - {"torch", "torchvision"}
    assert names <= set(entries)
