"use strict";
// The arrow keys lead to the neighbouring rows, unless something that scrolls sideways has the focus.
addEventListener("keydown", (event) => {
  const rel = { ArrowLeft: "prev", ArrowRight: "next" }[event.key], held = document.activeElement;
  if (!rel || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (held && (held.scrollWidth > held.clientWidth && held !== document.body || /^(INPUT|TEXTAREA|SELECT)$/.test(held.tagName))) return;
  const link = document.querySelector(`a[rel=${rel}]`);
  if (link) link.click();
});
