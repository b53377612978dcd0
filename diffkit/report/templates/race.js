"use strict";
// The runs run: dots move along their paths and curves by gradient evaluations, to a slider's place.
(() => {
  const slider = document.querySelector("#evaluations"), button = document.querySelector("#play"), said = document.querySelector("#spent");
  if (!slider) return;
  const steps = Number(slider.max), cursor = document.querySelector(".cursor");
  const runs = [...document.querySelectorAll("path.run[data-e]")].map((path) => ({
    path, dot: path.nextElementSibling, at: path.dataset.e.split(" ").map(Number), xy: path.getAttribute("d").slice(1).split(" ").map(Number),
  }));
  const show = (time) => {
    for (const { path, dot, at, xy } of runs) {
      let k = at.length - 1;
      while (k > 0 && at[k] > time) k -= 1;
      const part = k + 1 < at.length ? (time - at[k]) / (at[k + 1] - at[k]) : 0, far = xy.slice(0, 2 * k + 2);
      if (part > 0) far.push(...[0, 1].map((c) => Number((xy[2 * k + c] + part * (xy[2 * k + 2 + c] - xy[2 * k + c])).toFixed(1))));
      path.setAttribute("d", `M${far.join(" ")}`);
      dot.setAttribute("cx", far.at(-2));
      dot.setAttribute("cy", far.at(-1));
    }
    const left = Number(cursor.dataset.left), place = left + (time / steps) * (Number(cursor.dataset.right) - left);
    cursor.setAttribute("transform", `translate(${(place - Number(cursor.dataset.right)).toFixed(1)} 0)`);
    said.textContent = `${Math.floor(time)} of ${steps} evaluations`;
  };

  // ---- play: the whole race in eight seconds
  let playing = false, time = steps, before = 0;
  const label = () => { button.textContent = playing ? "❚❚ pause" : time >= steps ? "↻ replay" : "▶ play"; };
  const tick = (now) => {
    if (!playing) return;
    time = Math.min(steps, time + ((now - before) / 8000) * steps);
    before = now;
    slider.value = Math.floor(time);
    show(time);
    if (time >= steps) playing = false; else requestAnimationFrame(tick);
    label();
  };
  const play = () => { if (time >= steps) time = 0; playing = true; before = performance.now(); label(); requestAnimationFrame(tick); };
  button.addEventListener("click", () => { if (playing) { playing = false; label(); } else play(); });
  slider.addEventListener("input", () => { playing = false; time = Number(slider.value); show(time); label(); });
  show(steps);
  label();
  // nothing moves by itself for those who asked for calm
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) play();

  // ---- who is shown
  document.querySelectorAll(".who button").forEach((b) => b.addEventListener("click", () => {
    const hidden = b.getAttribute("aria-pressed") === "true";
    b.setAttribute("aria-pressed", String(!hidden));
    document.querySelectorAll(`.fig [data-run="${b.dataset.of}"]`).forEach((part) => part.classList.toggle("out", hidden));
  }));
})();
