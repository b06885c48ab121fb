"""report.md → HTML and PDF: pandoc with our templates, Typst with its bundled fonts. No network, no clock."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from pathlib import Path

import pypandoc
import typst

from shared.report.claims import OUTCOMES
from shared.report.grid import BREAK
from shared.report.interactive import SCRIPT
from shared.report.links import linked

TEMPLATES = Path(__file__).parent / "templates"
_READ = "markdown-smart-subscript-superscript-citations-yaml_metadata_block-raw_html-raw_tex"
# Below this width every pipe table counts as long, so that its rule sets the column widths.
_COLUMNS = "--columns=10"
_MARK = "\ue000"
"""Carries the line breaks of table cells through pandoc, which reads no HTML here."""


def _source(markdown: str) -> str:
    return linked(markdown).replace(BREAK, _MARK)


def to_typst(markdown: str, title: str) -> str:
    """The whole Typst document."""
    arguments = ["--standalone", "--wrap=none", _COLUMNS, f"--template={TEMPLATES / 'report.typ'}",
                 f"--variable=title:{title}"]  # fmt: skip
    text = pypandoc.convert_text(_source(markdown), "typst", format=_READ, extra_args=arguments)
    return text.replace(_MARK, "#linebreak();")


def to_pdf(markdown: str, folder: Path, title: str) -> Path:
    """``folder/report.pdf``; images are looked up in ``folder``. The same markdown gives the same bytes."""
    source = folder / "report.typ"
    source.write_text(to_typst(markdown, title), encoding="utf-8")
    try:
        pdf = typst.compile(source, root=folder, ignore_system_fonts=True, format="pdf", timestamp=0)
    finally:
        source.unlink()
    path = folder / "report.pdf"
    path.write_bytes(pdf)
    return path


def to_html(markdown: str, folder: Path, title: str, scales: str, interactive: Mapping[str, tuple[str, str]]) -> Path:
    """``folder/report.html``. ``interactive`` is {figure name: (plotly JSON, footer)}; the SVG is the fallback."""
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    arguments = ["--standalone", "--wrap=none", "--mathml", "--toc", "--toc-depth=3", _COLUMNS,
                 f"--template={TEMPLATES / 'report.html'}", f"--variable=title:{title}",
                 f"--variable=scales:{scales}", f"--variable=script:{SCRIPT}",
                 "--variable=style:@@style@@", "--metadata=pagetitle:" + title]  # fmt: skip
    page = pypandoc.convert_text(_source(markdown), "html5", format=_READ, extra_args=arguments)
    page = page.replace("@@style@@", style).replace(_MARK, "<br>")
    page = page.replace("<table", '<div class="scroll"><table').replace("</table>", "</table></div>")
    for name in OUTCOMES:
        page = page.replace(f"<code>{name}</code>", f'<code class="outcome {name}">{name}</code>')

    def live(match: re.Match[str]) -> str:
        found = interactive.get(match[2])
        if found is None:
            return match[0]
        data = f'<script type="application/json">{found[0]}</script>'
        note = f'<p class="footer">{html.escape(found[1])}</p>'
        return f'<div class="interactive" id="{match[2]}">{data}</div>{match[1]}{note}'

    page = re.sub(r'(<img\s+src="figures/([\w.-]+)\.svg"[^>]*>)', live, page)
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path
