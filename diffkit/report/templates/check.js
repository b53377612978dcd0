"use strict";
// Heat maps of errors: the numbers behind the cell under the pointer, or under a cursor that the arrow keys move.
(() => {
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  const say = (x) => (Number.isNaN(x) ? "nan" : !Number.isFinite(x) ? (x > 0 ? "inf" : "-inf") : String(Number(x.toPrecision(9))));
  const bar = (x) => (Number.isFinite(x) ? x.toExponential(1) : say(x));

  document.querySelectorAll(".heat").forEach((heat) => {
    const frame = heat.querySelector(".frame"), out = heat.querySelector("output"), worst = out.textContent;
    const about = JSON.parse(heat.dataset.about), { rows, columns, shape, outputs, lead, labels } = about;
    const cursor = document.createElement("span");
    cursor.className = "cursor"; cursor.hidden = true; frame.append(cursor);
    let numbers = null, at = about.worst;

    const index = (place) => {
      const rest = shape.slice(lead.length), found = [];
      for (const n of [...rest].reverse()) { found.unshift(place % n); place = Math.floor(place / n); }
      return [...lead, ...found];
    };
    const name = (place) => {
      if (labels.length) return labels[place];
      const all = index(place), own = all.slice(outputs);
      return (outputs ? `out[${all.slice(0, outputs).join(", ")}] by ` : "") + about.name + (own.length ? `[${own.join(", ")}]` : "");
    };
    const show = (cell) => {
      numbers = numbers || { given: new Float64Array(bytes(heat.dataset.given)), expected: new Float64Array(bytes(heat.dataset.expected)),
        bar: new Float64Array(bytes(heat.dataset.bar)), places: new Int32Array(bytes(heat.dataset.places)) };
      at = cell;
      const row = Math.floor(cell / columns), column = cell % columns, g = numbers.given[cell], e = numbers.expected[cell];
      cursor.hidden = false;
      cursor.style.cssText = `left:${100 * column / columns}%;top:${100 * row / rows}%;width:${100 / columns}%;height:${100 / rows}%`;
      out.textContent = `${name(numbers.places[cell])}: given ${say(g)}, expected ${Number.isNaN(e) ? "not known" : `${say(e)} ± ${bar(numbers.bar[cell])}`}`;
    };
    const hide = () => { cursor.hidden = true; out.textContent = worst; };
    const under = (event) => {
      const box = frame.getBoundingClientRect(), within = (x, n) => Math.min(n - 1, Math.max(0, Math.floor(x * n)));
      return within((event.clientY - box.top) / box.height, rows) * columns + within((event.clientX - box.left) / box.width, columns);
    };
    frame.addEventListener("pointermove", (event) => show(under(event)));
    frame.addEventListener("pointerdown", (event) => show(under(event)));
    frame.addEventListener("pointerleave", () => { if (document.activeElement !== frame) hide(); });
    frame.addEventListener("focus", () => { if (frame.matches(":focus-visible")) show(at); });
    frame.addEventListener("blur", hide);
    frame.addEventListener("keydown", (event) => {
      const row = Math.floor(at / columns), column = at % columns;
      const to = { ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1], ArrowUp: [row - 1, column], ArrowDown: [row + 1, column],
        Home: [row, 0], End: [row, columns - 1] }[event.key];
      if (!to) return;
      event.preventDefault();
      if (to[0] >= 0 && to[0] < rows && to[1] >= 0 && to[1] < columns) show(to[0] * columns + to[1]);
    });
  });
})();
