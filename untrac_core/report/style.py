"""The look and the manner of a report: its stylesheet and its script, both constant and without any word of a user."""

from __future__ import annotations

CSS = """
:root { color-scheme: light dark; --ground: #ffffff; --ink: #16211f; --quiet: #5d6866; --line: #d3dad8; --soft: #f3f5f4;
  --accent: #0b7261; --mark: rgba(230, 159, 0, .3); }
@media (prefers-color-scheme: dark) { :root { --ground: #111716; --ink: #e4eae8; --quiet: #a3acaa; --line: #36413f;
  --soft: #1b2322; --accent: #5cc3ae; --mark: rgba(230, 159, 0, .35); } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 "Source Sans 3", "Source Sans Pro", "Segoe UI", Helvetica, Arial, sans-serif; }
main, header, footer { max-width: 1180px; margin: 0 auto; padding: 0 24px; }
header { padding-top: 36px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 8px; }
h2 { font-size: 22px; line-height: 1.25; margin: 48px 0 8px; padding-top: 12px; border-top: 1px solid var(--line); }
h3 { font-size: 18px; margin: 32px 0 6px; }
h4 { font-size: 15px; margin: 20px 0 4px; }
p { margin: 6px 0; }
a { color: var(--accent); text-decoration: none; }
a:hover, a:focus-visible { text-decoration: underline; }
.quiet, figcaption, footer { color: var(--quiet); font-size: 13.5px; }
.user { overflow-wrap: anywhere; unicode-bidi: isolate; }
.box { border: 1px solid var(--line); border-radius: 4px; padding: 10px 14px; margin: 12px 0; background: var(--soft); }
.box ul, .box p:last-child { margin-bottom: 0; }
.answer { font-size: 17px; font-weight: 600; overflow-wrap: anywhere; unicode-bidi: isolate; }
ul { padding-left: 20px; margin: 6px 0; }
li { margin: 3px 0; overflow-wrap: anywhere; unicode-bidi: isolate; }
nav ul { columns: 2; list-style: none; padding: 0; }
.pair { display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 8px 32px; align-items: start; }
.pair > * { min-width: 0; }
.pair.even { grid-template-columns: repeat(2, minmax(0, 1fr)); }
.pair h4 { margin-top: 0; }
figure { margin: 10px 0 4px; }
.scroll { overflow-x: auto; }
.drawing { width: 100%; }
.js .drawing { min-height: var(--height, 240px); min-width: var(--least, 0); }
html.js .still, html:not(.js) .drawing, html:not(.js) .take { display: none; }
.take { float: right; display: flex; gap: 6px; margin-left: 12px; }
button { font: inherit; font-size: 12.5px; color: var(--ink); background: transparent; border: 1px solid var(--line);
  border-radius: 4px; padding: 1px 9px; cursor: pointer; }
button:hover, button:focus-visible { border-color: var(--accent); color: var(--accent); }
.dot { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 3px; }
details { clear: both; margin: 6px 0; }
.section { border: 1px solid var(--line); border-radius: 4px; padding: 4px 14px 8px; margin: 14px 0; }
.section h3 { display: inline-block; margin: 4px 0; color: var(--ink); }
summary { cursor: pointer; color: var(--accent); font-size: 13.5px; }
table { border-collapse: collapse; font-size: 13.5px; margin: 8px 0; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 3px 14px 3px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; white-space: nowrap; }
td { overflow-wrap: anywhere; unicode-bidi: isolate; min-width: 7em; }
td.number, th.number { text-align: right; white-space: nowrap; overflow-wrap: normal; min-width: 0; }
td.wide { min-width: 16em; }
td.first { background: var(--mark); }
caption { text-align: left; color: var(--quiet); padding-bottom: 2px; }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: 4px; padding: 10px 12px; overflow-x: auto;
  font: 12.5px/1.45 ui-monospace, "Source Code Pro", Menlo, Consolas, monospace; white-space: pre-wrap;
  overflow-wrap: anywhere; max-height: 420px; }
footer { margin-top: 48px; padding-bottom: 40px; border-top: 1px solid var(--line); padding-top: 12px; }
@media (max-width: 860px) { .pair, .pair.even { grid-template-columns: minmax(0, 1fr); } }
@media (max-width: 640px) { main, header, footer { padding: 0 14px; } header { padding-top: 20px; }
  h1 { font-size: 24px; } h2 { font-size: 20px; } nav ul { columns: 1; } .answer { font-size: 16px; }
  th, td { padding-right: 9px; } th { white-space: normal; } }
@media print { :root { --ground: #fff; --ink: #000; --quiet: #444; --line: #bbb; --soft: #fff; --accent: #000; }
  body { font-size: 11pt; } nav, .take { display: none !important; } h2, h3, h4 { break-after: avoid; }
  figure, tr, .box { break-inside: avoid; } pre { max-height: none; } .scroll { overflow: visible; }
  details::details-content { content-visibility: visible; block-size: auto; } }
"""

SCRIPT = r"""
(function () {
  "use strict";
  var root = document.documentElement, told = JSON.parse(document.getElementById("figures").textContent);
  var dark = matchMedia("(prefers-color-scheme: dark)"), narrow = matchMedia("(max-width: 640px)");
  var TEXTS = ["customdata", "hovertext", "ticktext", "tickvals", "text", "name", "x", "y", "z"];
  var printing = false, waiting = [];
  root.classList.add("js");

  function swapped(value, swap) {  // the same figure in the inks of the dark look; texts are left alone
    if (typeof value === "string") return swap.hasOwnProperty(value) ? swap[value] : value;
    if (Array.isArray(value)) return value.map(function (one) { return swapped(one, swap); });
    if (value === null || typeof value !== "object") return value;
    var made = {};
    Object.keys(value).forEach(function (key) {
      made[key] = TEXTS.indexOf(key) >= 0 && key !== "title" ? value[key] : swapped(value[key], swap);
    });
    return made;
  }

  function cut(label, most) {  // an escaped name, shortened by whole characters; the rank after it stays
    var parts = /^([\s\S]*?)(\s*<b>\d+<\/b>|\s*)$/.exec(label);
    var letters = parts[1].match(/&[a-z0-9#]+;|[\s\S]/gu) || [];
    return (letters.length <= most ? parts[1] : letters.slice(0, most - 1).join("") + "…") + parts[2];
  }

  function slim(figure) {  // for a phone: shorter names, more room for the numbers beside the bars
    var layout = figure.layout, x = layout.xaxis, y = layout.yaxis;
    [x, y].forEach(function (axis) {
      if (axis && axis.ticktext) axis.ticktext = axis.ticktext.map(function (one) {
        return cut(one, one.indexOf("<b>") < 0 ? 19 : 13);
      });
    });
    if (y && y.ticktext && x && x.range) {
      var width = x.range[1] - x.range[0];
      x.range = [x.range[0] - (x.range[0] < 0 ? 0.16 * width : 0), x.range[1] + (x.range[1] > 0 ? 0.16 * width : 0)];
      x.nticks = 5;
    }
    figure.data.forEach(function (trace) {
      if (trace.mode === "markers+text") trace.textfont.size = 10;
      if (trace.colorbar) trace.showscale = false;
    });
    return figure;
  }

  function beside(figure, most) {  // the names at the right of the lines, within so many letters
    var layout = figure.layout, room = 24 + 7 * most;
    if (!layout.annotations || !layout.margin || layout.margin.r <= room) return figure;
    layout.annotations.forEach(function (note) { if (note.xanchor === "left") note.text = cut(note.text, most); });
    layout.margin.r = room;
    return figure;
  }

  function figure(place, plain) {
    var copy = JSON.parse(JSON.stringify(told.figures[+place.dataset.figure]));
    if (plain) { copy.layout.paper_bgcolor = copy.layout.plot_bgcolor = "#ffffff"; return copy; }
    if (dark.matches && !printing) copy = swapped(copy, told.swap);
    if (place.clientWidth < 520) beside(copy, narrow.matches ? 11 : 15);
    return narrow.matches ? slim(copy) : copy;
  }

  function draw(place) {
    var made = figure(place, false);
    Plotly.react(place, made.data, made.layout, {
      responsive: true, displaylogo: false, displayModeBar: false, scrollZoom: false
    });
    place.dataset.drawn = "yes";
  }

  var places = Array.prototype.slice.call(document.querySelectorAll(".drawing"));
  waiting = places.slice();
  function next() {
    var place = waiting.shift();
    if (!place) { root.dataset.drawn = "yes"; return; }
    if (!place.dataset.drawn && place.offsetWidth) draw(place);  // what is folded waits until it is opened
    setTimeout(next, 0);
  }
  document.querySelectorAll("details").forEach(function (one) { one.open = false; });
  next();

  document.addEventListener("toggle", function (event) {
    event.target.querySelectorAll(".drawing").forEach(function (place) {
      if (!place.dataset.drawn && place.offsetWidth) draw(place);
    });
  }, true);

  function again() { places.forEach(function (place) { if (place.dataset.drawn) draw(place); }); }
  dark.addEventListener("change", again);
  narrow.addEventListener("change", again);
  addEventListener("beforeprint", function () {
    printing = true;
    waiting = [];
    document.querySelectorAll("details").forEach(function (one) {
      one.dataset.was = one.open ? "yes" : "";
      one.open = true;
    });
    places.forEach(draw);
  });
  addEventListener("afterprint", function () {
    printing = false;
    document.querySelectorAll("details").forEach(function (one) { one.open = one.dataset.was === "yes"; });
    places.forEach(draw);
  });
  document.addEventListener("click", function (event) {
    var button = event.target.closest ? event.target.closest("button[data-format]") : null;
    if (!button) return;
    var place = document.getElementById(button.dataset.of), made = figure(place, true);
    Plotly.downloadImage({ data: made.data, layout: made.layout }, {
      format: button.dataset.format, filename: place.dataset.name, scale: 2,
      width: Math.max(700, place.clientWidth), height: made.layout.height || place.clientHeight
    });
  });
})();
"""
