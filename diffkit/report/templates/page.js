"use strict";
(() => {
  const root = document.documentElement, $ = (s) => document.querySelector(s), $$ = (s) => [...document.querySelectorAll(s)];
  root.classList.add("js");

  // ---- light and dark: the system's choice until the reader makes one, which is remembered
  const remember = (key, value) => { try { return value === undefined ? localStorage.getItem(key) : localStorage.setItem(key, value); } catch { return null; } };
  const toggle = $("#theme");
  const dark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const show = () => { toggle.textContent = dark() ? "☀ light" : "☾ dark"; toggle.setAttribute("aria-label", `switch to ${dark() ? "light" : "dark"} colours`); };
  const saved = remember("diffkit-theme");
  if (saved === "dark" || saved === "light") root.dataset.theme = saved;
  toggle.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; remember("diffkit-theme", root.dataset.theme); show(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  show();

  // ---- a section is opened by its address
  const open = () => {
    const place = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (place && place.matches("details")) { place.hidden = false; place.open = true; place.scrollIntoView({ block: "start" }); }
  };
  addEventListener("hashchange", open);
  open();
  const table = $("#summary");
  if (!table) return;

  // ---- sorting: by the cell's data-v (a number) or text; entries without one come last either way
  const body = table.tBodies[0], heads = [...table.tHead.rows[1].cells];
  const key = (row, k) => { const c = row.cells[k], v = c.dataset.v; return v === undefined ? c.textContent.trim().toLowerCase() : v === "" ? null : Number(v); };
  const sort = (k) => {
    const head = heads[k], other = { ascending: "descending", descending: "ascending" };
    const toward = other[head.getAttribute("aria-sort")] || head.dataset.first, sign = toward === "descending" ? -1 : 1;
    heads.forEach((h) => h.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", toward);
    const rows = [...body.rows].map((row) => [key(row, k), row]);
    rows.sort(([a], [b]) => (a === null) - (b === null) || (a === null ? 0 : sign * (typeof a === "number" ? a - b : a.localeCompare(b))));
    body.append(...rows.map(([, row]) => row));
    $("#status").textContent = `sorted by ${head.dataset.name}, ${toward}`;
  };
  heads.forEach((head, k) => head.querySelector("button")?.addEventListener("click", () => sort(k)));

  // ---- filter: every word must occur in a row's name, title, field or outcome; sections follow the table
  const filter = $("#filter"), rows = [...body.rows], place = new Map(rows.map((row) => [row, document.getElementById(row.dataset.to)]));
  const narrow = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    for (const row of rows) {
      const fits = words.every((w) => row.dataset.words.includes(w));
      row.hidden = !fits; left += fits;
      const section = place.get(row); if (section) section.hidden = !fits;
    }
    $("#shown").textContent = words.length ? `${left} of ${rows.length}` : "";
  };
  filter.addEventListener("input", narrow);
  filter.addEventListener("keydown", (e) => { if (e.key === "Escape") { filter.value = ""; narrow(); } });
  narrow();

  // ---- which columns are shown; all sections at once
  $$("[data-columns]").forEach((b) => b.addEventListener("click", () => {
    table.dataset.view = b.dataset.columns;
    $$("[data-columns]").forEach((o) => o.setAttribute("aria-pressed", String(o === b)));
  }));
  $("#all")?.addEventListener("click", () => {
    const sections = $$("details.formula:not([hidden])"), opening = sections.some((d) => !d.open);
    sections.forEach((d) => { d.open = opening; });
    $("#all").textContent = opening ? "close all" : "open all";
  });

  // ---- dots of the overview: their formula's name, and the way to its section
  const tip = document.createElement("div");
  tip.className = "tip"; tip.hidden = true; document.body.append(tip);
  $$(".overview svg").forEach((svg) => {
    const row = (e) => e.target.dataset.f && rows[Number(e.target.dataset.f)];
    svg.addEventListener("pointermove", (e) => {
      const found = row(e);
      tip.hidden = !found;
      if (found) { tip.textContent = found.cells[0].textContent; tip.style.left = `${Math.min(e.clientX + 12, innerWidth - 200)}px`; tip.style.top = `${e.clientY + 14}px`; }
    });
    svg.addEventListener("pointerleave", () => { tip.hidden = true; });
    svg.addEventListener("click", (e) => { const found = row(e); if (found) location.hash = found.dataset.to; });
  });
})();
