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

// Paper is light, and nothing on it unfolds.
function prints(begins) {
  printing = begins;
  for (const details of document.querySelectorAll("details")) details.open = begins;
  themeChanged();
}

function startTheme() {
  byId("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    themeChanged();
  });
  systemDark.addEventListener("change", themeChanged);
  window.addEventListener("beforeprint", () => prints(true));
  window.addEventListener("afterprint", () => prints(false));
  themeChanged();
}

// Blue below 0, red above; the centre is the colour of the page.
function divergingColour(value, largest) {
  const [low, middle, high] = isDark() ? [[96, 176, 244], [20, 23, 28], [255, 118, 94]] : [[33, 102, 172], [255, 255, 255], [178, 24, 43]];
  const share = largest ? Math.max(-1, Math.min(1, value / largest)) : 0;
  const end = share < 0 ? low : high, part = Math.abs(share) ** 0.8;
  return middle.map((channel, index) => Math.round(channel + (end[index] - channel) * part));
}

function readableOn([red, green, blue]) {
  return 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? "#111111" : "#ffffff";
}
