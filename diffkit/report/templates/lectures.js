"use strict";
// The arrow keys lead to the neighbouring rows, unless something that scrolls sideways has the focus.
addEventListener("keydown", (event) => {
  const rel = { ArrowLeft: "prev", ArrowRight: "next" }[event.key], held = document.activeElement;
  if (!rel || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (held && (held.scrollWidth > held.clientWidth && held !== document.body || /^(INPUT|TEXTAREA|SELECT)$/.test(held.tagName))) return;
  const link = document.querySelector(`a[rel=${rel}]`);
  if (link) link.click();
});
for (const code of document.querySelectorAll("pre.code")) {
  const button = Object.assign(document.createElement("button"), { type: "button", className: "copy", textContent: "copy" });
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(code);  // where the clipboard is out of reach, the keyboard's own way
      button.textContent = "selected";
    }
    setTimeout(() => { button.textContent = "copy"; }, 2000);
  });
  const frame = Object.assign(document.createElement("div"), { className: "copies" });
  code.replaceWith(frame);
  frame.append(button, code);
}
