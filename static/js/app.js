// The few behaviours that HTML has no attribute for.

// htmx: the CSRF token goes along with every request that changes something.
document.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["X-CSRFToken"] = document.querySelector("meta[name=csrf-token]").content;
});

// A double click starts one job and not two: for a moment the same form is not sent again, unless it was refused.
const sent = new WeakSet();
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  if (sent.has(form)) {
    event.preventDefault();
    event.stopImmediatePropagation();
    return;
  }
  sent.add(form);
  setTimeout(() => sent.delete(form), 1000);
}, true);
document.addEventListener("htmx:afterRequest", (event) => {
  const { elt, xhr } = event.detail;
  if (!["HX-Redirect", "HX-Refresh"].some((name) => xhr.getResponseHeader(name))) sent.delete(elt);
});

// A fragment that holds a <dialog data-open> is shown as a modal as soon as it arrives.
document.addEventListener("htmx:load", (event) => {
  const dialog = event.target.matches?.("dialog[data-open]") ? event.target : event.target.querySelector?.("dialog[data-open]");
  if (dialog && !dialog.open) {
    dialog.addEventListener("close", () => dialog.remove());
    dialog.showModal();
  }
});

document.addEventListener("click", (event) => {
  const closer = event.target.closest("[data-close]");
  if (closer) closer.closest("dialog")?.close();
  if (event.target.matches?.("dialog")) event.target.close(); // the backdrop
  const copier = event.target.closest("[data-copy]");
  if (copier) {
    copied(copier.dataset.copy).then((isDone) => copier.classList.toggle("is-copied", isDone));
    setTimeout(() => copier.classList.remove("is-copied"), 1200);
  }
  // Takes away a part of a form; without a script the button asks the server to do it.
  const remover = event.target.closest("[data-remove]");
  if (remover) {
    event.preventDefault();
    remover.closest(remover.dataset.remove)?.remove();
  }
  // Open menus close when something else is clicked.
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
    else if (event.target.closest(".menu-items a, .menu-items button")) closeMenu(menu);
  }
});

// Without TLS browsers offer no clipboard; what is selected can be copied all the same.
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const isDone = document.execCommand("copy");
    area.remove();
    return isDone;
  }
}

// A menu that was closed from inside gives the focus back; a dialog that is opened next returns it there as well.
function closeMenu(menu) {
  menu.open = false;
  menu.querySelector("summary").focus();
}

document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && document.querySelector("details.menu[open]");
  if (menu) closeMenu(menu);
});

// In a table a menu would be cut off at the table's edge: it lies over the page instead, beside its button.
function placeMenu() {
  const menu = document.querySelector("td details.menu[open]");
  if (!menu) return;
  const items = menu.querySelector(".menu-items");
  items.classList.add("is-over");
  const button = menu.querySelector("summary").getBoundingClientRect();
  const below = button.bottom + 4;
  const fits = below + items.offsetHeight <= window.innerHeight;
  const rightmost = document.documentElement.clientWidth - items.offsetWidth - 8;
  items.style.top = `${fits ? below : Math.max(8, button.top - items.offsetHeight - 4)}px`;
  items.style.left = `${Math.max(8, Math.min(button.right - items.offsetWidth, rightmost))}px`;
}
for (const name of ["toggle", "scroll"]) document.addEventListener(name, placeMenu, true);
window.addEventListener("resize", placeMenu);

// "/" goes to the search field, as in most tools of the trade.
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.closest("input, textarea, select")) return;
  const search = document.querySelector("input[type=search]");
  if (search) {
    event.preventDefault();
    search.focus();
  }
});

// Of the notices about ended jobs the oldest makes room: more than three would cover the page.
document.addEventListener("htmx:oobAfterSwap", (event) => {
  const place = event.detail.target;
  if (place.id === "notices") while (place.children.length > 3) place.firstElementChild.remove();
});

// A request that failed says so instead of leaving the page as if nothing had happened.
for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, (event) => {
    const place = document.getElementById("flash");
    const template = document.getElementById(event.detail.xhr?.status === 403 ? "flash-forbidden" : "flash-failed");
    if (place && template) place.replaceChildren(template.content.cloneNode(true));
  });
}

// A download that is ready begins by itself, once for each page that shows it.
const begun = new Set();
document.addEventListener("htmx:load", (event) => {
  const link = event.target.matches?.("[data-download]") ? event.target : event.target.querySelector?.("[data-download]");
  if (link && !begun.has(link.href)) {
    begun.add(link.href);
    link.click();
  }
});

// A live part of the page that is refreshed keeps open what its reader has opened; the server opens, but never closes.
if (window.Idiomorph) {
  Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node, kind) =>
    !(name === "open" && kind === "remove" && node instanceof HTMLDetailsElement);
}
