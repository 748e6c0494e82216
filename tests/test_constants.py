"""Offline constants of proofs: kept when done, believed only if they are what they should be, resumed, shared."""

import importlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import assay
from assay import Box, cli, prepare
from assay.solvers import files
from assay.solvers.problem import Attempt, Problem
from assay.verify.proofs.constants import Stage, gather
from assay.verify.proofs.prover import proof_of
from assay.verify.proofs.radius import RadiusProof

MADE: list[str] = []  # names of stages, as they are made
STOP: list[str] = []  # stages at which somebody presses Ctrl-C


class ToyProof(RadiusProof):
    """|u - v| = |p_0 - v| / a: the constant 1/a is what takes long, its square comes only when asked for."""

    assumptions = ("a toy",)

    def offline(self):
        yield Stage("inverse", 2.0, self._inverse, lambda known, made: "" if made["b"] @ [2.0] == 1 else "b is no 1/a")
        yield Stage("square", 1.0, lambda known: self._made("square", c=known["b"] ** 2), on_first_use=False)

    def _inverse(self, known):
        return self._made("inverse", b=np.array([0.5]))

    def _made(self, name, **arrays):
        if name in STOP:
            raise KeyboardInterrupt
        MADE.append(name)
        return arrays

    def radius_row(self, p, v):
        return jnp.abs(p[0] - 2 * v[0]) * self.constants["b"][0]

    def reach(self):
        return f"p from 1 to 2, with {len(self.constants)} constants"

    def correct_row(self, p, v, effort):
        return v

    def norm_row(self, p, v):
        return jnp.abs(v[0]), jnp.zeros(())


class NewerProof(ToyProof):
    version = 2


@dataclass(frozen=True, eq=False)
class Toy(Problem):
    """2 u = p; a setting that changes nothing but the hash."""

    proof = ToyProof
    setting: float = 1.0
    shape = (1, 1, 1)
    inputs = Box(("p",), np.ones(1), 2 * np.ones(1))
    coordinates = np.zeros((1, 1))
    norm_name = "absolute value"

    def solve_jax(self, p, tolerance=None):
        return Attempt(p / 2, jnp.zeros(()), jnp.asarray(1), jnp.asarray(0))

    def norm(self, p, u):
        return jnp.abs(jnp.asarray(u)[0])


class NewerToy(Toy):
    proof = NewerProof


PROBLEM = Toy  # for `assay prepare tests/...:PROBLEM`


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache folder of the test's own, and nothing made yet."""
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    monkeypatch.delenv("ASSAY_NO_CACHE", raising=False)
    MADE.clear()
    STOP.clear()
    return tmp_path / "assay" / "constants"


def kept(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.npz"))


def again(**settings):
    """What another process would find: nothing is in memory."""
    return prepare(Toy(**settings))


def test_stages_are_made_once_kept_under_the_problems_hash_and_read(cache):
    first = prepare(Toy())
    assert {name: how for name, (how, _) in first.stages.items()} == {"inverse": "made", "square": "made"}
    place = proof_of(Toy()).problem_hash()[:32]
    assert kept(cache) == [f"{place}/ToyProof-inverse.npz", f"{place}/ToyProof-square.npz"]
    assert first.folder == str(cache / place) and not first.notes
    second = again()
    assert {name: how for name, (how, _) in second.stages.items()} == {"inverse": "kept", "square": "kept"}
    assert second.arrays["b"] == [0.5] and second.arrays["c"] == [0.25] and MADE == ["inverse", "square"]


def test_another_setting_or_version_has_its_own(cache):
    prepare(Toy())
    assert not again(setting=2.0).notes and MADE == ["inverse", "square"] * 2
    prepare(NewerToy())
    assert MADE == ["inverse", "square"] * 3 and len(kept(cache)) == 6


def test_certify_makes_what_it_needs_and_prepare_the_rest(cache):
    problem = Toy()
    bounds = assay.certify(problem, np.array([[0.5]]), [[1.5]])
    assert bounds.upper[0] == pytest.approx(0.25, abs=1e-12) and MADE == ["inverse"] and len(kept(cache)) == 1
    assert "c" not in proof_of(problem).constants
    prepare(problem)
    assert proof_of(problem).constants["c"] == 0.25 and MADE == ["inverse", "square"]
    assert proof_of(problem)._bounds == {}  # what was compiled held the constants of before


def test_a_guard_makes_what_it_needs(cache):
    guarded = assay.guard(Toy(), lambda P: np.asarray(P) / 2)
    assert MADE == ["inverse"] and list(guarded([[1.0]]).route) == ["accepted"]


def test_what_was_interrupted_goes_on(cache):
    STOP.append("square")
    with pytest.raises(KeyboardInterrupt):
        prepare(Toy())
    assert len(kept(cache)) == 1 and not list(cache.rglob("*.partial"))
    STOP.clear()
    assert {name: how for name, (how, _) in again().stages.items()} == {"inverse": "kept", "square": "made"}
    assert MADE == ["inverse", "square"]


def altered(path, change):
    arrays = files.read_arrays(path)
    change(arrays)
    files.replace(path, lambda stream: np.savez(stream, **arrays))


def about(arrays, **new):
    text = {**json.loads(arrays["about"].tobytes()), **new}
    arrays["about"] = np.frombuffer(json.dumps(text).encode(), dtype=np.uint8)


def forged(arrays):
    """Another number under a checksum that is right."""
    from assay.verify.proofs.constants import _checksum

    arrays["array b"] = np.array([0.25])
    text = json.loads(arrays["about"].tobytes())
    text.pop("checksum")
    about(arrays, checksum=_checksum(text, {"b": arrays["array b"]}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: a.update({"array b": np.array([0.25])}), "its checksum is that of other numbers"),
        (lambda a: a.update({"array b": a["array b"].reshape(1, 1)}), "its checksum is that of other numbers"),
        (lambda a: a.update({"array b": np.array([np.nan])}), "its checksum is that of other numbers"),
        (lambda a: about(a, problem="f" * 64), 'problem is "ffff'),
        (lambda a: about(a, version=0), "version is 0 there and 1 here"),
        (lambda a: about(a, source="old"), 'source is "old" there'),
        (lambda a: about(a, theorem="other.Proof"), 'theorem is "other.Proof" there'),
        (lambda a: a.pop("about"), "it is damaged, or another kind of file"),
        (forged, "b is no 1/a"),
    ],
)
def test_files_that_are_not_what_they_should_be_are_made_anew_and_that_is_said(cache, change, said):
    prepare(Toy())
    path = next(cache.rglob("*-inverse.npz"))
    altered(path, change)
    found = again()
    assert found.arrays["b"] == 0.5 and found.stages["inverse"][0] == "made"
    assert len(found.notes) == 1 and said in found.notes[0] and "computed anew" in found.notes[0]
    assert not again().notes


def test_what_is_only_prepared_is_left_out_and_that_is_said(cache):
    prepare(Toy())
    altered(next(cache.rglob("*-square.npz")), lambda a: about(a, source="old"))
    found = proof_of(Toy()).prepare()
    assert found.stages["square"][0] == "left" and "c" not in found.arrays
    assert len(found.notes) == 1 and "(square) are left out until assay.prepare" in found.notes[0]
    assert 'source is "old" there' in found.notes[0]


def test_files_of_before_a_module_beside_the_makers_was_changed_are_made_anew(tmp_path, monkeypatch):
    package = tmp_path / "toy_theorem"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "maker.py").write_text("import numpy as np\n\n\ndef make(known):\n    return {'b': np.ones(1)}\n")
    (package / "verifier.py").write_text("MARGIN = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    make = importlib.import_module("toy_theorem.maker").make
    keep = tmp_path / "kept"
    keep.mkdir(mode=0o700)

    def gathered():
        return gather([Stage("one", 1.0, make)], {"problem": "f" * 64, "theorem": "Toy"}, keep)

    assert [gathered().stages["one"][0] for _ in range(2)] == ["made", "kept"]
    (package / "verifier.py").write_text("MARGIN = 2\n")
    found = gathered()
    assert found.stages["one"][0] == "made" and "source is" in found.notes[0]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY" + bytes(80), None])
def test_files_of_another_kind_are_made_anew(cache, content, tmp_path):
    prepare(Toy())
    path = next(cache.rglob("*-inverse.npz"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-40] if content is None else content)
    found = again()
    assert found.arrays["b"] == 0.5 and "it is damaged, or another kind of file" in found.notes[0]


def test_a_link_is_not_followed(cache, tmp_path):
    prepare(Toy())
    path = next(cache.rglob("*-inverse.npz"))
    path.rename(tmp_path / "elsewhere.npz")
    path.symlink_to(tmp_path / "elsewhere.npz")
    found = again()
    assert found.arrays["b"] == 0.5 and "is not kept" not in found.notes[0] and "cannot be read" in found.notes[0]
    assert any("are not kept" in note for note in found.notes)


def test_a_given_folder_is_used_and_must_be_ones_own(tmp_path):
    mine = tmp_path / "mine"
    assert prepare(Toy(), mine).folder.startswith(str(mine)) and len(kept(mine)) == 2
    assert {how for how, _ in prepare(Toy(), folder=mine).stages.values()} == {"kept"}
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    if hasattr(os, "getuid"):
        with pytest.raises(ValueError, match="can be written by others: chmod go-w it"):
            prepare(Toy(), tmp_path / "open")


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="modes are those of POSIX systems")
def test_a_cache_that_is_open_to_others_is_not_used_and_that_is_said(cache):
    prepare(Toy())
    cache.chmod(0o777)
    found = again()
    assert {how for how, _ in found.stages.values()} == {"made"} and found.folder is None
    assert len(found.notes) == 1 and "are not kept" in found.notes[0] and "chmod 700 it" in found.notes[0]


def test_whoever_wants_no_files_has_none(cache, monkeypatch):
    monkeypatch.setenv("ASSAY_NO_CACHE", "1")
    assert prepare(Toy()).folder is None and not cache.exists()


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ({"b": np.array([np.inf])}, "b holds NaN or infinity"),
        ({"b": np.array(["word"])}, "b is no array of numbers"),
        ({"b": np.array([0.25])}, "b is no 1/a"),
    ],
)
def test_constants_that_could_not_be_verified_are_refused_where_they_are_made(cache, monkeypatch, made, why):
    monkeypatch.setattr(ToyProof, "_inverse", lambda self, known: made)
    with pytest.raises(ValueError, match=f"'inverse' that were computed cannot be used: {why}"):
        prepare(Toy())
    assert not kept(cache)


def test_progress_counts_the_seconds_of_stages():
    told = []
    prepare(Toy(), progress=lambda *what: told.append(what))
    assert told == [("inverse", 0, 3), ("square", 2, 3), ("ready", 3, 3)]


def test_what_is_kept_or_left_out_is_no_work_to_wait_for(cache):
    told = []
    proof_of(Toy()).prepare(progress=lambda *what: told.append(what))  # as a verb: without the square
    assert told == [("inverse", 0, 2), ("square", 2, 2), ("ready", 2, 2)]
    told.clear()
    prepare(Toy(), progress=lambda *what: told.append(what))
    assert told == [("inverse", 0, 1), ("square", 0, 1), ("ready", 1, 1)]


def test_another_process_waits_and_reads(cache):
    """Two at once: each stage is made by one of them alone."""
    code = "import tests_constants as t; from assay import prepare; d = prepare(t.Slow()); print(*t.MADE)"
    slow = (
        "import time\nfrom dataclasses import dataclass\nfrom test_constants import *\nimport test_constants\n"
        "class SlowProof(ToyProof):\n    def _inverse(self, known):\n        time.sleep(2)\n"
        "        return super()._inverse(known)\n"
        "@dataclass(frozen=True, eq=False)\nclass Slow(Toy):\n    proof = SlowProof\n"
    )
    (cache.parent.parent / "tests_constants.py").write_text(slow)
    path = os.pathsep.join([str(cache.parent.parent), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path}
    both = [
        subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    said = [(p.communicate(timeout=120), p.returncode) for p in both]
    assert [code for _, code in said] == [0, 0], said
    assert sorted(word for (out, _), _ in said for word in out.decode().split()) == ["inverse", "square"]


def test_the_command_prepares_and_says_where(cache, capsys):
    word = f"{__name__}:PROBLEM"
    assert cli.run(["prepare", "bratu", "--set", "cells=8", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["stages"] == [] and json.loads(out)["reach"] == "" and "preparing" not in err
    assert cli.run(["prepare", "wave"]) == 3
    assert "no proved bound is known for wave" in capsys.readouterr().out
    sys.modules.setdefault(__name__, sys.modules[ToyProof.__module__])
    assert cli.run(["prepare", word, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["reach"] == "p from 1 to 2, with 2 constants"
    assert [stage["how"] for stage in found["stages"]] == ["made", "made"] and found["folder"].startswith(str(cache))
    assert cli.run(["prepare", word]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "can be proved: p from 1 to 2, with 2 constants"
    assert prepare(Toy()).reach == "p from 1 to 2, with 2 constants"
