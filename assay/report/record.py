"""What the numbers stand on: software, hashes, files, and what lies in the folder without belonging to it."""

from __future__ import annotations

from ..results import MODEL, file_hash
from .content import Column, Section
from .sources import Sources, plain_files


def environment_section(sources: Sources) -> Section:
    facts, section = sources.run.facts, Section("environment", "Environment")
    section.fact("command", facts.get("command"))
    for key in ("started", "finished"):
        section.fact(key, facts.get(key))
    for name, version in facts["versions"].items():
        section.fact(f"version of {name}", str(version))
    for name in sorted(name for name in sources.used if name.endswith(".json") and "/" not in name):
        found = sources.json(name) or {}
        theirs = found.get("of", {}).get("versions") if isinstance(found.get("of"), dict) else None
        if isinstance(theirs, dict):
            changed = {k: v for k, v in theirs.items() if facts["versions"].get(k) != v}
            section.notes += [f"{name} was computed with {k} {v}" for k, v in sorted(changed.items())]
    return section


def hashes_section(sources: Sources) -> Section:
    section = Section("hashes", "Hashes")
    section.fact("problem (fingerprint)", sources.about.get("fingerprint"))
    section.fact(f"surrogate (SHA-256 of {MODEL})", sources.model or None)
    section.fact("solutions learnt from", sources.results.get("snapshots_hash"))
    section.fact("solutions tested with", sources.results.get("test_hash"))
    rows = [[path.name, path.stat().st_size, file_hash(path)] for path in plain_files(sources.run.path)]
    section.table("Files", [Column("file"), Column("bytes"), Column("SHA-256")], rows)
    return section


def strange_section(sources: Sources) -> Section | None:
    """Files that are named and not used."""
    if not sources.strange:
        return None
    section = Section("foreign", "In the folder, and not used")
    rows = [[name, why] for name, why in sorted(sources.strange.items())]
    section.table("Foreign or damaged files", [Column("file"), Column("why")], rows)
    section.summary = f"{len(rows)} files of the folder are foreign or damaged and are not shown"
    return section
