"""The page's style sheet: light, readable, one column on a phone."""

CSS = """
:root { --ink: #1c2330; --soft: #5a6475; --line: #dfe3ea; --back: #f7f8fa; --card: #fff; --mark: #2456c8; --warn: #a83c00; }
* { box-sizing: border-box; }
html { color-scheme: light; scroll-behavior: smooth; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body { margin: 0; color: var(--ink); background: var(--back); font: 16px/1.55 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
.skip { position: absolute; left: -999px; }
.skip:focus { left: 1rem; top: 1rem; background: var(--card); padding: .5rem 1rem; z-index: 2; }
header, main, footer { max-width: 72rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.5rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.35rem; margin: 3rem 0 .5rem; padding-top: .5rem; }
h3 { font-size: 1.05rem; margin: 2rem 0 .25rem; }
p { margin: .25rem 0 1rem; max-width: 46rem; }
.soft, figcaption small { color: var(--soft); }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; list-style: none; padding: 0; margin: 1rem 0 0; }
a { color: var(--mark); }
:focus-visible { outline: 3px solid var(--mark); outline-offset: 2px; border-radius: 2px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .75rem; padding: 0; margin: 1.5rem 0;
  list-style: none; }
.tiles li { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .8rem 1rem; }
.tiles b { display: block; font-size: 1.5rem; line-height: 1.2; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 28rem), 1fr)); gap: 1rem; }
.pair { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .8rem; display: grid;
  grid-template-columns: 1fr 1fr; gap: .8rem; margin: 0; }
.pair h4 { grid-column: 1 / -1; margin: 0; font-size: .95rem; overflow-wrap: anywhere; }
figure { margin: 0; min-width: 0; }
figcaption { font-size: .82rem; line-height: 1.35; margin-bottom: .3rem; overflow-wrap: anywhere; }
figcaption small { display: block; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
video { width: 100%; image-rendering: pixelated; aspect-ratio: 1; background: #000; border-radius: .35rem; display: block; }
img.mel { width: 100%; height: 4.5rem; object-fit: fill; border-radius: .35rem; margin-top: .4rem; display: block; }
img.sheet { width: 100%; height: auto; border-radius: .35rem; margin-top: 1rem; display: block; }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: .6rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
caption { text-align: left; padding: .7rem 1rem 0; font-weight: 600; }
caption span { font-weight: 400; color: var(--soft); }
th, td { text-align: left; padding: .5rem 1rem; border-top: 1px solid var(--line); vertical-align: top; }
thead th { border-top: 0; font-size: .8rem; color: var(--soft); font-weight: 600; }
tbody th { font-weight: 500; overflow-wrap: anywhere; min-width: 9rem; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td small, th small { color: var(--soft); display: block; white-space: normal; }
td.number small { min-width: 8rem; }
td:nth-child(4) { min-width: 17rem; }
td:nth-child(5) { min-width: 13rem; }
.tables { display: grid; gap: 1.25rem; }
.side { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 1.25rem; align-items: start; }
.curves { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 13rem), 1fr)); gap: .75rem; margin: .75rem 0 1.5rem; }
.curve { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .6rem .7rem; }
.curve figcaption { display: flex; justify-content: space-between; gap: .5rem; }
.curve b { white-space: nowrap; }
.curve svg { width: 100%; height: auto; display: block; }
.curve polyline { fill: none; stroke: var(--mark); stroke-width: 1.6; stroke-linejoin: round; }
.curve circle { fill: var(--mark); }
.likenesses { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: .75rem; margin: .75rem 0 1rem; }
.curve path { fill: none; stroke-width: 1.2; stroke-opacity: .55; }
.curve .held-out { stroke: var(--soft); }
.curve .samples { stroke: var(--mark); }
.curve .limit { stroke: var(--warn); stroke-opacity: 1; stroke-dasharray: 4 3; }
.flag { background: #fff0e6; color: var(--warn); border-radius: .3rem; padding: 0 .35rem; font-size: .8rem; font-weight: 600;
  white-space: nowrap; }
.axis { display: flex; justify-content: space-between; font-size: .72rem; color: var(--soft); margin: .2rem 0 0; }
details { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .5rem 1rem; margin: .5rem 0; }
summary { cursor: pointer; font-weight: 500; }
pre { overflow-x: auto; font-size: .82rem; line-height: 1.4; }
/* Two players side by side on a phone are narrower than the menu that the browser opens in them. */
@media (max-width: 34rem) { .pair { grid-template-columns: 1fr; } th, td { padding: .5rem .6rem; } }
footer { padding: 3rem 1.25rem; color: var(--soft); font-size: .9rem; }
"""
