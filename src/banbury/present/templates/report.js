"use strict";
// The page works without this: it filters, sorts, opens the way to a linked place, and reads a map aloud.
const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));
const soon = (work) => {
  let timer = 0;
  return () => { clearTimeout(timer); timer = setTimeout(work, 120); };
};

// Tables and lists: a search box hides the rows that do not hold its words.
for (const box of all("input[data-filter]")) {
  const rows = all(box.dataset.filter);
  box.addEventListener("input", soon(() => {
    const wanted = box.value.toLowerCase();
    for (const row of rows) row.hidden = wanted !== "" && !row.textContent.toLowerCase().includes(wanted);
  }));
}

// Findings: words, severities and states together; a rule without findings left is hidden.
const words = document.getElementById("find-words");
if (words) {
  const boxes = all("input[data-severity], input[data-status]");
  const rules = all("details.rule").map((rule) => ({ rule, found: all(".f", rule), was: rule.open }));
  const apply = () => {
    const wanted = words.value.toLowerCase();
    const off = new Set(boxes.filter((b) => !b.checked).map((b) => b.dataset.severity || b.dataset.status));
    for (const { rule, found, was } of rules) {
      let left = 0;
      for (const f of found) {
        f.hidden = off.has(f.dataset.s) || off.has(f.dataset.t) || (wanted !== "" && !(f.textContent + rule.firstElementChild.textContent).toLowerCase().includes(wanted));
        left += f.hidden ? 0 : 1;
      }
      rule.hidden = left === 0;
      rule.open = wanted !== "" ? left > 0 : was;
    }
  };
  words.addEventListener("input", soon(apply));
  for (const box of boxes) box.addEventListener("change", apply);
}

// Tables marked for it sort by the column whose heading is clicked.
for (const table of all("table[data-sort]")) {
  const heads = all("thead tr:first-child th", table);
  heads.forEach((head, column) => head.addEventListener("click", () => {
    const direction = head.dataset.dir === "1" ? -1 : 1;
    for (const other of heads) delete other.dataset.dir;
    head.dataset.dir = direction;
    const value = (row) => { const cell = row.cells[column]; return cell ? cell.dataset.v ?? cell.textContent : ""; };
    const body = table.tBodies[0];
    const rows = Array.from(body.rows).sort((a, b) => direction * value(a).localeCompare(value(b), "en", { numeric: true }));
    body.append(...rows);
  }));
}

// Maps: what the pointer is on is written below the figure, sooner than a tooltip comes.
for (const figure of all("svg[data-readout]")) {
  const line = document.getElementById(figure.dataset.readout);
  const rest = line.textContent;
  figure.addEventListener("mouseover", (event) => {
    const title = event.target.querySelector && event.target.querySelector("title");
    line.textContent = title ? title.textContent : rest;
  });
  figure.addEventListener("mouseleave", () => { line.textContent = rest; });
}

// The tree: a search lists the places whose names hold the words, each with its way down.
const search = document.getElementById("find-place");
if (search) {
  const out = document.getElementById("places-found");
  const label = (element) => { const b = element.querySelector("b"); return b ? b.firstChild.textContent : ""; };
  search.addEventListener("input", soon(() => {
    const wanted = search.value.toLowerCase();
    out.replaceChildren();
    if (wanted.length < 2) return;
    let left = 100;
    for (const name of document.querySelectorAll(".tree b")) {
      if (!name.firstChild.textContent.toLowerCase().includes(wanted)) continue;
      if (left-- === 0) { out.append("and more"); break; }
      const place = name.closest("[id]");
      if (!place) continue;
      const way = [];
      for (let at = place; at && !at.classList.contains("tree"); at = at.parentElement) way.unshift(label(at));
      const link = document.createElement("a");
      link.href = "#" + place.id;
      link.className = "mono";
      link.textContent = way.join(" / ");
      const item = document.createElement("div");
      item.append(link);
      out.append(item);
    }
    if (!out.firstChild) out.append("no place has such a name");
  }));
}

function reveal() {
  const id = decodeURIComponent(location.hash.slice(1));
  const target = id && document.getElementById(id);
  if (!target) return;
  for (let at = target; at; at = at.parentElement) {
    if (at.tagName === "DETAILS") at.open = true;
    at.hidden = false;
  }
  if (!/^H[1-6]$/.test(target.tagName)) target.scrollIntoView({ block: "center" });
}
addEventListener("hashchange", reveal);
reveal();
