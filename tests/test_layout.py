"""The layout of the code: where it is imported from, who imports whom, how long a file may be."""

import ast
import graphlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import assay

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("solvers", "surrogates", "verify", "benchmarks")
MAY_IMPORT = {  # besides itself; "assay" stands for the modules of assay/ that are in no room
    "solvers": set(),
    "surrogates": {"solvers"},
    "verify": {"solvers"},
    "benchmarks": {*ROOMS, "assay"},
}
SOLVERS_MAY_IMPORT = {  # the folders of solvers besides themselves; "" is the files beside the folders
    "": {"linear_algebra", "meshes", "relations", "shown"},
    "meshes": set(),
    "shown": set(),
    "relations": {""},
    "linear_algebra": {""},
    "discretisations": {"", "linear_algebra"},
    "classes": {
        "",
        "linear_algebra",
        "discretisations",
        "relations",
    },  # the last two for diffusion.py: a class of Q1 elements
    "processes": {""},
    "problems": {"", "linear_algebra", "discretisations", "classes", "meshes", "processes", "relations"},
    "external": {"", "problems"},
    "snapshots": {"", "processes", "shown"},
    "datasets": {"", "problems", "snapshots", "meshes", "relations"},
}
LONGEST = 450
MOST_FILES = 20  # in a folder: beyond, the ideas in it cannot be seen any more
MACHINE_PATH = re.compile(r"(?<![\w.}])/(?:home|root|work|tmp|mnt|data|Users)/\w")


def python(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False)


def sources(*folders: str) -> list[Path]:
    """Every Python file below these folders of the root, not through links."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imported(source: str, module: str, is_package: bool) -> set[str]:
    """Absolute names of what a module imports; `from a import b` counts as a.b."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, node.module] if node.module else base
            found |= {".".join([*base, alias.name]) for alias in node.names}
    return found


def imported_rooms(names: set[str]) -> set[str]:
    """The rooms these names lie in ("assay": in the package but in no room). A bare room is a third party's module."""
    inside = [name.split(".") for name in names if name.split(".")[0] == "assay"]
    return {parts[1] if len(parts) > 1 and parts[1] in ROOMS else "assay" for parts in inside}


def module_name(path: Path) -> str:
    inside = path.relative_to(ROOT).with_suffix("").parts
    parts = inside if inside[0] == "assay" else ("assay", *inside)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize(
    ("source", "rooms"),
    [
        ("import numpy, solvers", set()),
        ("from .box import Box", {"verify"}),
        ("from ..solvers.box import Box", {"solvers"}),
        ("from .. import surrogates", {"surrogates"}),
        ("from .. import cli", {"assay"}),
        ("def late():\n    import assay.benchmarks.tables.table", {"benchmarks"}),
        ("from assay import solvers, __version__", {"solvers", "assay"}),
    ],
)
def test_the_import_reader_resolves_names(source, rooms):
    assert imported_rooms(imported(source, "assay.verify.guard", is_package=False)) == rooms


def test_the_import_reader_knows_packages():
    assert imported("from .x import y", "assay.verify.enclose", is_package=True) == {"assay.verify.enclose.x.y"}
    assert imported("from ..x import y", "assay.verify.enclose", is_package=True) == {"assay.verify.x.y"}


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_what_they_may(room):
    wrong = {}
    for path in sources(room):
        names = imported(path.read_text(encoding="utf-8"), module_name(path), path.name == "__init__.py")
        if extra := imported_rooms(names) - MAY_IMPORT[room] - {room}:
            wrong[path.relative_to(ROOT).as_posix()] = extra
    assert not wrong


def test_no_modules_import_each_other_in_a_circle():
    files = {module_name(path): path for path in sources("assay", *ROOMS)}
    graph = {}
    for module, path in files.items():
        names = imported(path.read_text(encoding="utf-8"), module, path.name == "__init__.py")
        graph[module] = {name if name in files else name.rpartition(".")[0] for name in names} & set(files) - {module}
    graphlib.TopologicalSorter(graph).prepare()  # a CycleError names the circle


def folder_of(module: str) -> str:
    """The folder of solvers that a module of it lies in; "" for a module beside the folders."""
    first = module.split(".")[2]
    return first if first in SOLVERS_MAY_IMPORT else ""


@pytest.mark.parametrize("folder", SOLVERS_MAY_IMPORT)
def test_folders_of_solvers_import_only_what_lies_below_them(folder):
    wrong = {}
    for path in (ROOT / "solvers" / folder).glob("**/*.py" if folder else "[!_]*.py"):
        names = imported(path.read_text(encoding="utf-8"), module_name(path), path.name == "__init__.py")
        inside = {folder_of(name) for name in names if name.startswith("assay.solvers.")}
        if extra := inside - SOLVERS_MAY_IMPORT[folder] - {folder}:
            wrong[path.name] = extra
    assert not wrong
    assert not folder or (ROOT / "solvers" / folder).is_dir()


def test_no_folder_has_too_many_files():
    folders = {path.parent for path in sources("assay", *ROOMS)}
    counts = {str(folder.relative_to(ROOT)): len(list(folder.glob("[!_]*.py"))) for folder in folders}
    assert {folder: count for folder, count in counts.items() if count > MOST_FILES} == {}


def test_files_that_docstrings_name_exist():
    """By the end of their path; mine.py is a user's own, which experiments write."""
    there = {path.relative_to(ROOT).as_posix() for path in sources("assay", *ROOMS, "tests")}
    there |= {"/".join(name.split("/")[i:]) for name in there for i in range(1, name.count("/") + 1)} | {"mine.py"}
    missing = []
    for path in sources("assay", *ROOMS):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                named = re.findall(r"[\w/]+\.py\b", ast.get_docstring(node) or "")
                missing += [(path.name, name) for name in named if name not in there]
    assert missing == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_not_importable_under_its_bare_name(room):
    result = python(f"import {room}", cwd=ROOT)
    assert result.returncode == 1
    assert f"from assay.{room} import ..." in result.stderr


@pytest.mark.parametrize("room", ROOMS)
def test_links_are_relative(room):
    link = ROOT / "assay" / room
    if not link.is_symlink():
        pytest.skip("a checkout without symbolic links")
    assert link.readlink() == Path("..") / room


@pytest.mark.parametrize("first", ["assay", "jax"])
def test_importing_assay_turns_64_bit_on(first):
    code = f"import {first}, assay, jax.numpy as jnp; print(jnp.zeros(1).dtype)"
    assert python(code, cwd=ROOT).stdout.strip() == "float64"


@pytest.mark.parametrize("before", [None, "0"])
def test_programs_that_are_started_find_their_own_environment(before, monkeypatch):
    monkeypatch.delenv("JAX_ENABLE_X64", raising=False)
    if before is not None:
        monkeypatch.setenv("JAX_ENABLE_X64", before)
    code = "import os, assay; assay.solve; import jax.numpy as j; print(j.ones(1).dtype, os.getenv('JAX_ENABLE_X64'))"
    assert python(code, cwd=ROOT).stdout.strip() == f"float64 {before}"


def test_what_is_not_asked_for_is_not_imported():
    """Neither by ``import assay`` nor by the command line's help."""
    code = "import sys, assay.cli; code = assay.cli.run(['--help']); print(code, {'jax', 'scipy'} & {*sys.modules})"
    assert python(code, cwd=ROOT).stdout.strip().endswith("\n0 set()")


def test_public_names_are_there_and_are_all_that_is_named():
    for package in (assay, assay.solvers, assay.surrogates):
        stub = ast.parse(Path(package.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
        named = {alias.name for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
        (listed,) = [node.value for node in stub.body if isinstance(node, ast.Assign)]
        assert {"__version__", *ROOMS, *named} == {"__version__", *ROOMS, *ast.literal_eval(listed)}
        for name in named:
            assert getattr(package, name) is not None


def test_a_checkout_without_links_imports(tmp_path):
    for folder in ("assay", *ROOMS):
        (tmp_path / folder).mkdir()
        shutil.copy(ROOT / folder / "__init__.py", tmp_path / folder)
    shutil.copy(ROOT / "assay" / "starting.py", tmp_path / "assay")
    for room in ROOMS:
        (tmp_path / room / "__init__.py").write_text("here = __name__\n")
        (tmp_path / "assay" / room).write_text(f"../{room}")  # what git without symbolic links leaves behind
    code = "import assay, sys; from assay.verify import here; print(here)"
    cut = (ROOT / "assay" / "__init__.py").read_text(encoding="utf-8").split("# The public names")[0]
    (tmp_path / "assay" / "__init__.py").write_text(cut)
    result = python(code, cwd=tmp_path)
    assert result.stdout.strip() == "assay.verify", result.stderr


def test_no_file_is_too_long():
    lines = {path: path.read_text(encoding="utf-8").count("\n") for path in sources("assay", *ROOMS, "tests")}
    assert {str(path.relative_to(ROOT)): n for path, n in lines.items() if n > LONGEST} == {}


def test_no_file_names_a_path_of_one_machine():
    others = [ROOT / name for name in ("Makefile", "pyproject.toml", "constraints.txt", ".ci/run")]
    files = [*sources("assay", *ROOMS, "tests"), *others]
    assert [
        str(path.relative_to(ROOT)) for path in files if MACHINE_PATH.search(path.read_text(encoding="utf-8"))
    ] == []


def test_what_make_test_leaves_out_exists():
    """A line of thorough.txt that fits no test would leave out nothing, silently."""
    for line in (ROOT / "tests" / "thorough.txt").read_text("utf-8").splitlines():
        file, _, name = line.partition("::")
        code = (ROOT / "tests" / file).read_text("utf-8")
        if name.partition("[")[0] != name:
            name = name.partition("[")[0] + "("
        assert re.search(rf"^def {re.escape(name)}", code, re.MULTILINE), line
