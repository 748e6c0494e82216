"""A report as one HTML page that needs nothing else: no script, no font or picture from elsewhere; prints on A4."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape
from string import Template
from typing import Any

from .content import LEVELS, RECORDED, Fact, Picture, Section, Table, said

MANY = 8  # columns, beyond which a table is printed smaller

STYLE = """
:root { --line: #d4d4d4; --dim: #595959; }
body { font: 15px/1.5 system-ui, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; color: #1a1a1a; background: white;
  max-width: 62rem; margin: 2rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; padding-top: .6rem;
  border-top: 2px solid #1a1a1a; } h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
p, li { margin: .3rem 0; } .dim { color: var(--dim); } ul { padding-left: 1.2rem; }
table { border-collapse: collapse; margin: .4rem 0 1rem; font-size: .86rem; max-width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .25rem .7rem .25rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: break-word; } th { font-weight: 600; } th .level { display: block; }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap; overflow-wrap: normal; }
table.facts { width: 100%; table-layout: fixed; }
table.facts td { overflow-wrap: anywhere; } table.facts td:nth-child(1) { width: 34%; color: var(--dim); }
table.facts td:nth-child(3) { width: 7rem; }
.wide { overflow-x: auto; }
.level { font-size: .85em; font-weight: 600; white-space: nowrap; }
.proved { color: #00543d; } .statistical { color: #0b4f8a; } .observed { color: #8a4b00; }
.undecided { color: #a3123a; }
.recorded { color: #767676; font-weight: 400; }
.missing { border-left: 4px solid #a3123a; padding: .3rem .8rem; background: #f8f2f4; }
code { font: .85em ui-monospace, Menlo, Consolas, monospace; background: #f3f3f3; padding: .1em .3em;
  overflow-wrap: anywhere; }
figure { margin: .8rem 0 1.2rem; break-inside: avoid; }
figure img { max-width: 100%; height: auto; }
figcaption { font-size: .86rem; color: var(--dim); }
@page { size: A4; margin: 16mm; }
@media print { body { font-size: 10pt; margin: 0; max-width: none; padding: 0; } nav { display: none; }
  h2, h3 { break-after: avoid; } tr { break-inside: avoid; } .wide { overflow: visible; }
  table { font-size: 8pt; } td, th { padding-right: .45rem; }
  table.many { font-size: 6.5pt; } }
"""

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>$title</title>
<style>$style</style>
</head>
<body>
<h1>$title</h1>
<p class="dim">$lead</p>
<ul>$summaries</ul>
<h3>What the words beside numbers mean</h3>
<table>$levels</table>
<nav><h3>Contents</h3><ul>$contents</ul></nav>
$sections
</body>
</html>
""")


def page(title: str, lead: str, sections: list[Section]) -> str:
    """The whole page."""
    summaries = "".join(f"<li><b>{text(s.title)}</b>: {text(s.summary)}</li>" for s in sections if s.summary)
    missing = [s for s in sections if s.missing]
    if missing:
        summaries += f"<li><b>Not here</b>: {text(', '.join(s.title for s in missing))}</li>"
    return PAGE.substitute(
        title=text(title),
        lead=text(lead),
        style=STYLE,
        summaries=summaries,
        levels="".join(f"<tr><td>{_level(name)}</td><td>{text(means)}</td></tr>" for name, means in LEVELS.items()),
        contents="".join(f'<li><a href="#{s.key}">{text(s.title)}</a></li>' for s in sections),
        sections="\n".join(_section(s) for s in sections),
    )


def text(words: Any) -> str:
    """Text of anybody's, of which no browser obeys anything, and nothing is invisible."""
    shown = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in str(words))
    return escape(shown, quote=True)


def _section(section: Section) -> str:
    parts = [f'<section id="{section.key}"><h2>{text(section.title)}</h2>']
    if section.missing:
        how = f": <code>{text(section.command)}</code>" if section.command else ""
        parts.append(f'<p class="missing">{text(section.missing)}{how}</p>')
    if section.facts:
        parts.append(f'<table class="facts">{"".join(map(_fact, section.facts))}</table>')
    parts += [_picture(picture) for picture in section.pictures]
    parts += [_table(table) for table in section.tables]
    parts.append(_list("Assumptions", section.assumptions))
    parts.append(_list("Remarks", section.notes))
    return "\n".join([*(part for part in parts if part), "</section>"])


def _fact(fact: Fact) -> str:
    shown = said(fact.value, fact.rounding) if fact.value is not None else ""
    why = f'<span class="dim"> ({text(fact.why)})</span>' if fact.why and shown else text(fact.why)
    level = _level(fact.evidence) if fact.evidence != RECORDED or _is_number(fact.value) else ""
    return f"<tr><td>{text(fact.name)}</td><td>{text(shown)}{why}</td><td>{level}</td></tr>"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _table(table: Table) -> str:
    heads = ""
    for k, column in enumerate(table.columns):
        claims = column.evidence != RECORDED or any(_is_number(row[k]) for row in table.rows)
        heads += f"<th>{text(column.name)}{_level(column.evidence) if column.evidence and claims else ''}</th>"
    rows = ""
    for row in table.rows:
        cells = zip(row, table.columns, strict=True)
        rows += f"<tr>{''.join(_cell(value, column.rounding) for value, column in cells)}</tr>\n"
    more = f'<p class="dim">{text(table.more)}</p>' if table.more else ""
    many = ' class="many"' if len(table.columns) > MANY else ""
    return (
        f'<h3>{text(table.caption)}</h3><div class="wide"><table{many}><thead><tr>{heads}</tr></thead>\n'
        f"<tbody>{rows}</tbody></table></div>{more}"
    )


def _cell(value: Any, rounding: str) -> str:
    kind = ' class="number"' if _is_number(value) else ""
    return f"<td{kind}>{text(said(value, rounding))}</td>"


def _level(name: str) -> str:
    return f'<span class="level {text(name)}">{text(name)}</span>'


def _list(title: str, lines: Iterable[str]) -> str:
    items = "".join(f"<li>{text(line)}</li>" for line in lines)
    return f"<h3>{text(title)}</h3><ul>{items}</ul>" if items else ""


def _picture(picture: Picture) -> str:
    data = base64.b64encode(picture.svg).decode()
    return (
        f'<figure><img alt="{text(picture.caption)}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{text(picture.caption)}</figcaption></figure>"
    )
