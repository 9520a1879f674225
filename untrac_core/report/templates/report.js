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
