// Light or dark: the reader's system decides until the button does.
const systemDark = window.matchMedia("(prefers-color-scheme: dark)");
const themeListeners = [];
let printing = false;

function isDark() {
  if (printing) return false;
  return root.dataset.theme ? root.dataset.theme === "dark" : systemDark.matches;
}

function themeChanged() {
  byId("theme").textContent = isDark() ? "Light" : "Dark";
  for (const listener of themeListeners) listener();
}

function startTheme(state) {
  const follow = () => {
    if (state.values.theme) root.dataset.theme = state.values.theme;
    else delete root.dataset.theme;
    themeChanged();
  };
  byId("theme").addEventListener("click", () => state.choose({ theme: isDark() ? "light" : "dark" }));
  systemDark.addEventListener("change", themeChanged);
  state.watch("theme", follow);
  follow();
}
