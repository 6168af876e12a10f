// Brings the page up to date every few seconds and leaves the reader where they are: what is open stays open, what is
// focused or selected is not touched, and a page that cannot be refreshed says how old it is.
"use strict";
(() => {
  const EVERY = 5000;
  const main = document.getElementById("main");
  const age = document.getElementById("age");
  let fetched = Date.now();
  let failed = false;

  const say = () => {
    const seconds = Math.round((Date.now() - fetched) / 1000);
    const text = failed ? `not up to date: badgateway has not answered for ${seconds} s` : "";
    if (age.textContent !== text) age.textContent = text;
    document.body.classList.toggle("stale", failed);
  };

  const inUse = (section) => {
    const selection = getSelection();
    const selected = !selection.isCollapsed && section.contains(selection.anchorNode);
    const focused = section.contains(document.activeElement);
    return selected || (focused && document.activeElement.matches("input, textarea"));
  };

  const keepOpen = (from, to) => {
    for (const old of from.querySelectorAll("details[id]")) {
      const next = to.querySelector(`#${CSS.escape(old.id)}`);
      if (next) next.open = old.open;
    }
  };

  // Section by section; all at once where the sections are others than before.
  const takeOver = (next) => {
    const fresh = next.getElementById("main");
    const focused = document.activeElement && document.activeElement.id;
    const names = (root) => [...root.children].map((section) => section.id).join(" ");
    if (names(fresh) !== names(main)) {
      keepOpen(main, fresh);
      main.replaceChildren(...fresh.children);
    } else {
      for (const section of [...fresh.children]) {
        const old = document.getElementById(section.id);
        if (!old || inUse(old)) continue;
        keepOpen(old, section);
        if (old.outerHTML !== section.outerHTML) old.replaceWith(document.adoptNode(section));
      }
    }
    prepare();
    const wanted = focused && document.getElementById(focused);
    if (wanted && document.activeElement !== wanted) wanted.focus({ preventScroll: true });
  };

  const refresh = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch(location.href, { cache: "no-store", credentials: "same-origin" });
      if (!answer.ok) throw new Error(answer.status);
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      takeOver(next);
      document.title = next.title;
      const asOf = next.getElementById("as-of");
      if (asOf) document.getElementById("as-of").replaceWith(document.adoptNode(asOf));
      fetched = Date.now();
      failed = false;
    } catch {
      failed = true;
    }
    say();
  };

  const copy = async (button) => {
    const text = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(text.textContent);
    } catch {
      // Without HTTPS the clipboard is closed to scripts; a selection can still be copied.
      const details = text.closest("details");
      if (details) details.open = true;
      getSelection().selectAllChildren(text);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy summary"), 2000);
  };

  const prepare = () => {
    for (const button of document.querySelectorAll("button[data-copy]")) button.hidden = false;
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest("button[data-copy]");
    if (button) copy(button);
  });
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
  prepare();
  setInterval(refresh, EVERY);
})();
