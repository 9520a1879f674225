(function () {
  "use strict";
  var told = JSON.parse(document.getElementById("known").textContent), said = document.getElementById("shown");
  var rows = Array.prototype.slice.call(document.querySelectorAll(".result"));
  var filters = Array.prototype.slice.call(document.querySelectorAll("[data-filter]"));
  document.documentElement.classList.add("js");

  function fits(row) {  // every word that is looked for, and every value that is chosen
    return filters.every(function (one) {
      var name = one.dataset.filter;
      if (name === "words") {
        return one.value.toLowerCase().split(/\s+/).every(function (word) { return row.words.indexOf(word) >= 0; });
      }
      return one.value === "" || row[name].indexOf(told.choices[name][+one.value]) >= 0;
    });
  }

  function show() {
    var left = 0;
    rows.forEach(function (row, place) {
      row.hidden = !fits(told.rows[place]);
      left += row.hidden ? 0 : 1;
    });
    said.textContent = left === rows.length ? left + (left === 1 ? " result" : " results")
      : left + " of " + rows.length + " results";
  }

  filters.forEach(function (one) { one.addEventListener("input", show); });
  show();
  document.documentElement.dataset.drawn = "yes";
})();
