"use strict";
// The theme, the sign that a page is live, and the focus across a refresh. Without it everything works, only not live.
(() => {
  const root = document.documentElement;
  const kept = localStorage.getItem("theme");
  if (kept === "light" || kept === "dark") root.dataset.theme = kept;

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    button.hidden = false;
    button.addEventListener("click", () => {
      const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      localStorage.setItem("theme", root.dataset.theme);
    });

    const sign = document.getElementById("connection");
    const show = (text) => { if (sign) sign.textContent = text; };
    document.body.addEventListener("htmx:sseOpen", () => show("live"));
    document.body.addEventListener("htmx:sseError", () => show("not live: the connection is lost; trying again"));

    let focused = null;
    document.body.addEventListener("htmx:beforeSwap", () => {
      const active = document.activeElement;
      focused = active && active.closest("#live") ? active.getAttribute("href") : null;
    });
    document.body.addEventListener("htmx:afterSettle", () => {
      if (!focused) return;
      for (const link of document.querySelectorAll("#live a")) {
        if (link.getAttribute("href") === focused) { link.focus({ preventScroll: true }); break; }
      }
    });
  });
})();
