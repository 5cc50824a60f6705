// The selection of the fleet list: kept across pages and searches, and told to the server, which says what it frees.
(() => {
  // Asked for anew each time: going back in the browser's history puts others in their place.
  const form = () => document.getElementById("selection-form");
  const bar = () => document.getElementById("selection");
  const chosen = new Set();
  let all = false; // all that match, by the filter and not by ids
  let timer = 0;

  const boxes = () => [...document.querySelectorAll("#fleet input[name=copy]")];
  const query = () => document.getElementById("fleet")?.dataset.query || "";

  // After a page came in: its boxes, the head's box and the exports show the state of now.
  function show() {
    if (!form()) return;
    for (const box of boxes()) {
      box.checked = all || chosen.has(box.value);
      box.closest("tr").classList.toggle("is-selected", box.checked);
    }
    const head = document.querySelector("#fleet [data-select-page]");
    if (head) {
      const checked = boxes().filter((box) => box.checked).length;
      head.checked = checked > 0 && checked === boxes().length;
      head.indeterminate = checked > 0 && !head.checked;
    }
    for (const link of document.querySelectorAll("[data-export]")) link.search = query();
    form().elements.query.value = query();
  }

  function tell() {
    show();
    clearTimeout(timer);
    if (!form()) return;
    if (!all && chosen.size === 0) return bar().replaceChildren();
    timer = setTimeout(() => {
      const values = { copies: all ? "" : [...chosen].join(","), all: all ? "1" : "", query: query() };
      htmx.ajax("POST", form().dataset.selectionUrl, { target: "#selection", swap: "innerHTML", values });
    }, 120);
  }

  document.addEventListener("change", (event) => {
    if (event.target.matches("#fleet [data-select-page]")) {
      all = false;
      for (const box of boxes()) event.target.checked ? chosen.add(box.value) : chosen.delete(box.value);
      tell();
    } else if (event.target.matches("#fleet input[name=copy]")) {
      if (all) for (const box of boxes()) chosen.add(box.value);
      all = false;
      event.target.checked ? chosen.add(event.target.value) : chosen.delete(event.target.value);
      tell();
    }
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-select-all]")) {
      all = true;
      chosen.clear();
      tell();
    } else if (event.target.closest("[data-select-none]")) {
      all = false;
      chosen.clear();
      tell();
    }
    const unfold = event.target.closest("[data-unfold]");
    if (unfold) {
      const open = unfold.getAttribute("aria-expanded") !== "true";
      unfold.setAttribute("aria-expanded", String(open));
      document.getElementById(unfold.getAttribute("aria-controls")).closest(".group-inside").hidden = !open;
    }
  });

  // A change of the filter changes what "all that match" means.
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.target.id === "fleet") all ? tell() : show();
    else if (event.target.id.startsWith("group-")) show();
  });
  document.addEventListener("htmx:historyRestore", tell);
  addEventListener("pageshow", tell); // going back, browsers put ticks where they were: nothing is selected by them
  show();
})();
