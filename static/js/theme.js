// Sets light or dark before the first paint; loaded in <head>, because an inline script is not allowed.
(() => {
  const chosen = document.documentElement.dataset.theme || "auto";
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const theme = chosen === "auto" ? (dark.matches ? "dark" : "light") : chosen;
    document.documentElement.setAttribute("data-bs-theme", theme);
  };
  dark.addEventListener("change", apply);
  apply();
})();
