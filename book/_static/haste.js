// Long tables sort by a click on a column's head; printing opens what is folded.
"use strict";

const LONG = 20; // rows
const NUMBER = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*(%|[±[].*)?$/s; // and its interval

/** The number that a cell holds; else its text. */
function valueOf(cell) {
  const text = cell.innerText.trim().replace(/\u2212/g, "-").replace(/,(?=\d{3})/g, "");
  return NUMBER.test(text) ? parseFloat(text) : text;
}

/** Numbers come before texts, and cells without a value last, either way. */
function compare(a, b, sign) {
  const kind = (value) => (["", "–"].includes(value) ? 2 : Number(typeof value === "string"));
  return kind(a) - kind(b) || sign * (kind(a) ? a.localeCompare(b) : a - b);
}

/** What stands once for several rows stands in each, so that they can part. */
function divide(rows) {
  rows.forEach((row, r) => [...row.cells].forEach((cell, column) => {
    const below = rows.slice(r + 1, r + cell.rowSpan);
    cell.rowSpan = 1;
    below.forEach((other) => other.insertBefore(cell.cloneNode(true), other.cells[column]).removeAttribute("id"));
  }));
}

function sortBy(table, column, head) {
  divide([...table.tBodies[0].rows]);
  const up = head.getAttribute("aria-sort") !== "ascending";
  table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const rows = [...table.tBodies[0].rows].map((row) => [valueOf(row.cells[column]), row]);
  rows.sort((a, b) => compare(a[0], b[0], up ? 1 : -1));
  table.tBodies[0].append(...rows.map((pair) => pair[1]));
}

function makeSortable(table) {
  const body = table.tBodies[0];
  if (!body || !table.tHead || body.rows.length <= LONG) return;
  [...[...table.tHead.rows].at(-1).cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.title = "Sort by this column";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sortBy(table, column, head));
    head.classList.add("haste-sort");
    head.append(button);
  });
}

/** Heads of words stand left, as their columns do; long row labels need room on a phone. */
function align(table) {
  for (const cell of table.querySelectorAll("tbody tr:first-child td.text")) {
    table.querySelector(`thead tr:last-child .${cell.classList[2]}`)?.classList.add("text");
  }
  table.querySelectorAll("tbody th").forEach((one) => one.classList.toggle("long", one.innerText.length > 14));
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".bd-article table").forEach(makeSortable);
  document.querySelectorAll(".bd-article table.haste").forEach(align);
});

let folded = [];
window.addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach((one) => (one.open = true));
});
window.addEventListener("afterprint", () => folded.forEach((one) => (one.open = false)));
