// Long tables sort by a click on a column's head; printing opens what is folded.
"use strict";

const LONG = 20; // rows

/** The number in a cell, its first one; else its text. */
function valueOf(cell) {
  const text = cell.innerText.trim().replace(/\u2212/g, "-").replace(/,(?=\d{3})/g, "");
  const number = parseFloat(text);
  return Number.isNaN(number) ? text : number;
}

function compare(a, b) {
  if (typeof a === typeof b) return typeof a === "number" ? a - b : a.localeCompare(b);
  return typeof a === "number" ? -1 : 1; // texts, such as a dash, come last
}

function sortBy(table, column, head) {
  const up = head.getAttribute("aria-sort") !== "ascending";
  table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const rows = [...table.tBodies[0].rows].map((row) => [valueOf(row.cells[column]), row]);
  rows.sort((a, b) => (up ? 1 : -1) * compare(a[0], b[0]));
  table.tBodies[0].append(...rows.map((pair) => pair[1]));
}

function makeSortable(table) {
  const body = table.tBodies[0];
  const merged = table.querySelector("thead tr + tr, [rowspan]:not([rowspan='1']), [colspan]:not([colspan='1'])");
  if (!body || !table.tHead || body.rows.length <= LONG || merged) return;
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    head.classList.add("haste-sort");
    head.tabIndex = 0;
    head.title = "Sort by this column";
    head.addEventListener("click", () => sortBy(table, column, head));
    head.addEventListener("keydown", (event) => {
      if (event.key === "Enter") sortBy(table, column, head);
    });
  });
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".bd-article table").forEach(makeSortable);
});

let folded = [];
window.addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach((one) => (one.open = true));
});
window.addEventListener("afterprint", () => folded.forEach((one) => (one.open = false)));
