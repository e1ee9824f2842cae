"""The looks of the page: one column on a phone, light and dark as the reader has it, and plain on paper."""

#: Colours of the lines, for a light and for a dark page.
_LIGHT = ("#1769aa", "#c8374d", "#257a4b", "#7a4bb5", "#b06400", "#0b7f82", "#a8397f", "#5c6168")
_DARK = ("#6db5f0", "#ff8a98", "#6fce97", "#c0a0f0", "#f0b25a", "#5fd0d2", "#f08fcb", "#b4bac2")
#: Lines are told apart on paper too, and by those who do not see the colours.
_DASHES = ("none", "7 3", "2 3", "9 3 2 3", "12 4", "4 2", "1 4", "14 3 2 3 2 3")


def _lines(colours: tuple[str, ...], indent: str) -> str:
    return "\n".join(f"{indent}.c{number} {{ --line: {colour}; }}" for number, colour in enumerate(colours))


_DASHED = "\n".join(f".line.c{number} {{ stroke-dasharray: {dash}; }}" for number, dash in enumerate(_DASHES))

STYLE = f"""
:root {{
  color-scheme: light dark;
  --page: #fbfbfa; --card: #ffffff; --ink: #1b1d21; --soft: #5d636b; --rule: #dcdfe3; --shade: #f1f3f5;
  --mark: #fff3d6;
}}
{_lines(_LIGHT, "")}
@media (prefers-color-scheme: dark) {{
  :root {{
    --page: #14161a; --card: #1b1e24; --ink: #e8eaed; --soft: #a3abb5; --rule: #343a43; --shade: #23272f;
    --mark: #4a3b16;
  }}
{_lines(_DARK, "  ")}
}}
* {{ box-sizing: border-box; }}
html {{ -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }}
body {{
  margin: 0 auto; padding: 1.5rem clamp(.9rem, 3vw, 2.5rem) 3rem; max-width: 78rem;
  background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
}}
h1 {{ font-size: clamp(1.5rem, 5vw, 2.1rem); line-height: 1.2; margin: .2rem 0 .3rem; overflow-wrap: anywhere; }}
h2 {{ font-size: 1.3rem; margin: 2.4rem 0 .5rem; padding-top: .6rem; border-top: 1px solid var(--rule); }}
h3 {{ font-size: 1rem; margin: 1.4rem 0 .4rem; overflow-wrap: anywhere; }}
p {{ margin: .3rem 0 .7rem; max-width: 48rem; }}
a {{ color: inherit; text-underline-offset: .2em; }}
.soft, .note, figcaption .about {{ color: var(--soft); font-size: .875rem; }}
nav ul, ul.legend {{
  list-style: none; margin: .6rem 0; padding: 0; display: flex; flex-wrap: wrap; gap: .35rem 1.1rem;
}}
nav a {{ display: inline-block; padding: .3rem 0; }}
.config td, .config th:first-child {{
  font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .85em;
}}
figure {{ margin: 0; }}
.scroll {{ overflow-x: auto; border: 1px solid var(--rule); border-radius: .5rem; background: var(--card); }}
table {{ border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .45rem .7rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--rule); }}
tr:last-child > * {{ border-bottom: 0; }}
thead th {{ background: var(--shade); font-weight: 600; overflow-wrap: anywhere; min-width: 8.5rem; }}
thead th:first-child {{ min-width: 0; }}
tbody th {{
  font-weight: 400; color: var(--soft); position: sticky; left: 0; background: var(--card);
  min-width: 7.5rem; max-width: 15rem; overflow-wrap: anywhere;
}}
.config td {{ overflow-wrap: anywhere; min-width: 8rem; }}
.config tbody th {{ min-width: 9rem; }}
td {{ overflow-wrap: anywhere; min-width: 7rem; }}
td.differs {{ background: var(--mark); }}
td .spread {{ color: var(--soft); white-space: nowrap; }}
.bar {{ height: .3rem; border-radius: .15rem; background: var(--line); margin-top: .3rem; min-width: 1px; }}
.charts {{ display: grid; gap: 1.2rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); }}
.chart {{ background: var(--card); border: 1px solid var(--rule); border-radius: .5rem; padding: .7rem .7rem .3rem; }}
.chart figcaption {{ font-weight: 600; font-size: .95rem; overflow-wrap: anywhere; }}
.chart figcaption .note {{ font-weight: 400; }}
.chart > svg {{ width: 100%; height: auto; display: block; }}
.legend li {{
  display: flex; flex-wrap: wrap; align-items: center; gap: 0 .4rem; font-size: .875rem; overflow-wrap: anywhere;
}}
.swatch {{ width: 24px; height: 10px; flex: none; }}
.grid {{ stroke: var(--rule); stroke-width: 1; }}
.axis {{ stroke: var(--soft); stroke-width: 1; }}
.tick {{ fill: var(--soft); font-size: 11px; }}
.line {{ fill: none; stroke: var(--line); stroke-width: 2; stroke-linejoin: round; }}
.line.faint {{ opacity: .3; stroke-width: 1; }}
.band {{ fill: var(--line); opacity: .18; }}
.dot {{ fill: var(--line); }}
{_DASHED}
.line.faint {{ stroke-dasharray: none; }}
.strip {{ display: grid; grid-auto-flow: column; grid-auto-columns: minmax(7.5rem, 13rem); gap: .7rem; overflow-x: auto;
  padding-bottom: .4rem; }}
.strip figcaption {{ font-size: .85rem; line-height: 1.35; margin-top: .25rem; overflow-wrap: anywhere; }}
.strip img {{ width: 100%; height: auto; display: block; border-radius: .3rem; border: 1px solid var(--rule); }}
img.pixels {{ image-rendering: pixelated; }}
.missing {{
  padding: .8rem; border: 1px dashed var(--soft); border-radius: .3rem; font-size: .85rem; overflow-wrap: anywhere;
}}
details {{ margin: .8rem 0; }}
summary {{ cursor: pointer; padding: .3rem 0; }}
footer {{ margin-top: 3rem; border-top: 1px solid var(--rule); padding-top: .6rem; }}
@media (max-width: 40rem) {{
  table {{ font-size: .875rem; }}
  th, td {{ padding: .4rem .55rem; }}
  tbody th {{ min-width: 8.5rem; max-width: 8.5rem; }}
  .config table, .config tbody, .config tr, .config td, .config tbody th {{ display: block; }}
  .config thead {{ display: none; }}
  .config tbody th {{ position: static; max-width: none; border: 0; padding-bottom: 0; }}
  .config td {{ border: 0; padding: .1rem .55rem; }}
  .config td::before {{ content: attr(data-of); color: var(--soft); display: block; font-size: .8rem;
    font-family: system-ui, sans-serif; }}
  .config tr {{ border-bottom: 1px solid var(--rule); padding-bottom: .4rem; }}
  .config td.differs {{ margin: .1rem 0; }}
}}
@media print {{
  :root {{
    color-scheme: light;
    --page: #fff; --card: #fff; --ink: #000; --soft: #444; --rule: #bbb; --shade: #f2f2f2; --mark: #fff3d6;
  }}
{_lines(_LIGHT, "  ")}
  @page {{ margin: 14mm 12mm; }}
  body {{
    max-width: none; padding: 0; font-size: 10.5pt; print-color-adjust: exact; -webkit-print-color-adjust: exact;
  }}
  nav, details:not([open]) {{ display: none; }}
  h2, h3 {{ break-after: avoid; }}
  figure, tr, .strip {{ break-inside: avoid; }}
  .scroll, .strip {{ overflow: visible; }}
  table {{ font-size: 8.5pt; }}
  th, td {{ padding: .25rem .4rem; }}
  thead th {{ min-width: 0; }}
  tbody th {{ position: static; }}
  td, tbody th {{ min-width: 0; }}
  .config td, .config tbody th {{ min-width: 0; }}
  .strip {{ grid-auto-flow: row; grid-template-columns: repeat(auto-fill, minmax(28mm, 1fr)); }}
  .charts {{ grid-template-columns: repeat(2, 1fr); }}
}}
"""
