"""What is compiled is kept between processes: what is removed, who decides, and that numbers stay what they are."""

import json
import os
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest

import assay
from assay import cli, compilation_cache
from assay.compilation_cache import Unusable, clear, compiler_and_processor, contents, keep_compiled, switched_off, tidy

ENTRY = zlib.compress(bytes(range(256)) * 400)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder of three entries, the first used last; assay's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    tmp_path.chmod(0o700)
    folder = compilation_cache.place() / "versions"
    folder.mkdir(mode=0o700, parents=True)
    for path in (folder.parent, folder.parent.parent):
        path.chmod(0o700)
    for hours, name in enumerate("abc"):
        path = folder / f"{name}-cache"
        path.write_bytes(ENTRY)
        os.utime(path, (time.time() - 3600 * hours, 1e9))
    return folder.parent


def names(root):
    return sorted(path.name for path in root.rglob("*-cache"))


def test_what_was_not_written_to_its_end_is_removed(root):
    (root / "versions" / "cut-cache").write_bytes(ENTRY[:-7])
    (root / "versions" / "empty-cache").write_bytes(b"")
    (root / "versions" / "garbage-cache").write_bytes(b"\x78" + bytes(300))
    (root / "versions" / "otherwise-compressed-cache").write_bytes(b"\x28\xb5\x2f\xfd")
    tidy(root)
    assert names(root) == ["a-cache", "b-cache", "c-cache", "otherwise-compressed-cache"]


def test_what_was_looked_at_is_not_read_again(root, monkeypatch):
    tidy(root)
    monkeypatch.setattr(compilation_cache, "_whole", lambda path: pytest.fail(f"{path} is old"))
    tidy(root)
    assert len(names(root)) == 3


def test_what_was_not_used_for_the_longest_goes_first(root):
    (root / "looked-through").touch()  # reading an entry would be a use of it
    tidy(root, largest=3 * len(ENTRY))
    assert names(root) == ["a-cache", "b-cache", "c-cache"]
    tidy(root, largest=3 * len(ENTRY) - 1)
    assert names(root) == ["a-cache", "b-cache"]
    tidy(root, largest=len(ENTRY))
    assert names(root) == []


def test_clearing_removes_entries_and_nothing_through_links(root, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "precious-cache").write_text("")
    (root / "link").symlink_to(other)
    (root / "versions" / "link-cache").symlink_to(other / "precious-cache")
    assert contents(root) == (3, 3 * len(ENTRY))
    assert clear(root) == (3, 3 * len(ENTRY))
    assert contents(root) == (0, 0) and (other / "precious-cache").exists()
    assert clear(root / "nowhere") == (0, 0)


def test_the_verb_says_where_and_how_much(root, capsys):
    assert cli.run(["cache", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["folder"] == str(root) and said["entries"] == 3 and said["bytes"] == 3 * len(ENTRY)
    assert said["cleared"] is None and said["largest"] == compilation_cache.LARGEST
    assert cli.run(["cache", "--clear"]) == 0
    assert "removed: 3 compiled programs" in capsys.readouterr().out
    assert contents(root) == (0, 0)


def test_the_verb_does_not_empty_a_folder_that_others_can_write(root, capsys):
    root.chmod(0o777)
    assert cli.run(["cache", "--clear"]) == 2
    assert "chmod 700 it" in capsys.readouterr().err and contents(root)[0] == 3


def test_settings_decide(monkeypatch):
    said = switched_off()  # tests keep what they compile elsewhere
    assert "by its own setting" in said and keep_compiled() is None
    monkeypatch.setenv("ASSAY_NO_CACHE", "1")
    assert switched_off() == "ASSAY_NO_CACHE is set" and keep_compiled() is None


def test_another_processor_or_compiler_is_another_folder(monkeypatch):
    here = compiler_and_processor()
    assert here == compiler_and_processor()
    monkeypatch.setattr(compilation_cache, "_processor", lambda: ["another"])
    there = compiler_and_processor()
    monkeypatch.setattr(compilation_cache.jaxlib, "__version__", "0.0.1")
    assert len({here, there, compiler_and_processor()}) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="as Linux tells it")
def test_an_unknown_processor_keeps_nothing(monkeypatch):
    monkeypatch.setattr(compilation_cache, "_DESCRIBES", set())
    with pytest.raises(Unusable, match="features of this processor cannot be read"):
        compiler_and_processor()


SCRIPT = """
import sys
import jax, numpy as np
from jax.experimental.compilation_cache import compilation_cache

import assay
from assay.compilation_cache import keep_compiled
from assay.solvers.problems.thermal_block import ThermalBlock

hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name.endswith("/cache_hits")))
folder = keep_compiled()
problem = ThermalBlock((2, 1), 4)
P = problem.inputs.from_law(np.random.default_rng(0).random((2, 2)))
U = 1.001 * np.asarray(problem.attempt_batch(P).u)

def bounds():
    jax.clear_caches()
    hits.clear()
    c = assay.certify(ThermalBlock((2, 1), 4), U, P)
    return [x.tobytes().hex() for x in (c.lower, c.upper, c.relative_upper)], sum(hits)

compiled = bounds()
read = bounds()
jax.config.update("jax_enable_compilation_cache", False)
compilation_cache.reset_cache()
alone = bounds()
assert compiled[0] == read[0] == alone[0], "kept programs compute otherwise"
assert read[1] > 0 and alone[1] == 0, (read[1], alone[1])
print(folder)
"""


def test_certificates_are_the_same_to_the_last_bit_with_and_without_it(tmp_path):
    tmp_path.chmod(0o700)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    environment |= {"XDG_CACHE_HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path), "HOME": str(tmp_path)}
    environment["PYTHONPATH"] = str(Path(assay.__file__).parent.parent)
    environment.pop("ASSAY_NO_CACHE", None)
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path)) and not done.stderr
