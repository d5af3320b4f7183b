"""The page around it all: one HTML file that needs nothing else, light or dark as the reader's system is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

STYLE = """
:root { color-scheme: light dark; --ink: #3d4451; --faint: #9aa3af; --page: #ffffff; --card: #f6f7f9; --edge: #e2e5ea;
  --strong: #14171c; --warn: #b3400e; --mark: #d6336c; }
@media (prefers-color-scheme: dark) { :root { --ink: #c3c9d3; --faint: #6f7885; --page: #14161a; --card: #1c1f25;
  --edge: #2d323b; --strong: #f2f4f7; --warn: #ffa36b; --mark: #ff7ab0; } }
body { margin: 0 auto; max-width: 1240px; padding: 24px; background: var(--page); color: var(--ink);
  font: 14px/1.5 system-ui, sans-serif; }
h1, h2, b { color: var(--strong); } h1 { font-size: 22px; margin: 0 0 4px; } h2 { font-size: 16px; margin: 28px 0 8px; }
h3 { font-size: 13px; margin: 14px 0 4px; color: var(--strong); }
svg { max-width: 100%; height: auto; } svg * { stroke-linejoin: round; }
.cards + .scroll, .scroll + .scroll { margin-top: 14px; }
.cards { display: flex; flex-wrap: wrap; gap: 10px; } .scroll { overflow-x: auto; }
.cards figure, .row figure, .map { background: var(--card); border: 1px solid var(--edge); border-radius: 6px; }
figure { margin: 0; padding: 6px; } figcaption { font-size: 12px; overflow-wrap: anywhere; }
.map { width: 420px; } .side { display: flex; flex-wrap: wrap; gap: 16px; align-items: flex-start; }
.side > div { flex: 1 1 300px; } .map circle { opacity: .85; }
.row { display: flex; gap: 8px; margin-bottom: 8px; overflow-x: auto; }
.row figure { flex: 1 1 0; min-width: 120px; text-align: center; }
.row .query { border-color: var(--strong); border-width: 2px; } .row .other { border-color: var(--mark); }
.key { white-space: nowrap; margin-right: 8px; }
.key i { display: inline-block; width: 6px; height: 6px; border: 2px solid; border-radius: 5px; margin-right: 3px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } td, th { padding: 2px 12px 2px 0; text-align: left;
  border-bottom: 1px solid var(--edge); } th { color: var(--strong); } .facts td:first-child { color: var(--faint); }
.warn { color: var(--warn); font-weight: 600; } pre { background: var(--card); padding: 10px; overflow-x: auto;
  border: 1px solid var(--edge); border-radius: 6px; font-size: 12px; } .note { color: var(--faint); }
"""


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it, as HTML."""

    title: str
    body: str


def page(title: str, about: str, sections: Sequence[Section]) -> str:
    """The whole file."""
    parts = "".join(f"<section><h2>{escape(one.title)}</h2>{one.body}</section>" for one in sections if one.body)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1><div>{escape(about)}</div>{parts}</body></html>\n"
    )


def cards(charts: Sequence[tuple[str, str]]) -> str:
    """Charts side by side, each with its name."""
    if not charts:
        return ""
    figures = "".join(f"<figure><figcaption>{escape(name)}</figcaption>{svg}</figure>" for name, svg in charts)
    return f'<div class="cards">{figures}</div>'


def facts(pairs: Mapping[str, str]) -> str:
    """Names and values, a line each."""
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in pairs.items() if value)
    return f'<table class="facts">{rows}</table>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], best: str | None = None) -> str:
    """Rows below a head. A cell that ends in the mark `best` stands in bold, without it."""

    def cell(text: str) -> str:
        marked = best is not None and text.endswith(best)
        inside = escape(text.strip().removesuffix(best or "").strip())
        return f"<td><b>{inside}</b></td>" if marked else f"<td>{inside}</td>"

    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(map(cell, row)) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{top}</tr>{body}</table></div>'


def paragraph(text: str, kind: str = "") -> str:
    """A line of text."""
    return f'<p class="{kind}">{escape(text)}</p>' if text else ""
