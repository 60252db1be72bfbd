// One box that says what is under the pointer, the finger or the cursor. What it says of an element is remembered by the
// element, so that a drawing that leaves takes it along; the listeners are the document's, set once.
const pointed = new WeakMap();
let current = null;

// `content` gets the event and returns nodes; `left` is called when the pointer is elsewhere.
function pointsAt(node, content, left = () => {}) {
  node.classList.add("pointed");
  pointed.set(node, { content, left });
  return node;
}

function explains(node, title, rows) {
  return pointsAt(node, () => [element("strong", {}, title), pairs(rows())]);
}

function pairs(rows) {
  const body = element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, cell)))));
  return element("table", {}, body);
}

function showTooltip(x, y, ...content) {
  const box = byId("tooltip");
  box.replaceChildren(...content);
  box.hidden = false;
  const left = x + 16 + box.offsetWidth > window.innerWidth ? x - 16 - box.offsetWidth : x + 16;
  const top = Math.min(y + 12, window.innerHeight - box.offsetHeight - 8);
  coloured(box, { left: `${Math.max(4, Math.min(left, window.innerWidth - box.offsetWidth - 4))}px`, top: `${Math.max(4, top)}px` });
}

function leaveAll() {
  if (current) pointed.get(current).left();
  current = null;
  byId("tooltip").hidden = true;
}

function startTooltip() {
  const follow = (event) => {
    const node = event.target.closest?.(".pointed") ?? null;
    if (node !== current) leaveAll();
    current = node;
    const content = node ? pointed.get(node).content(event) : [];
    if (content.length) showTooltip(event.clientX, event.clientY, ...content);
  };
  document.addEventListener("pointerdown", follow);
  // A finger leaves as soon as it is lifted; what it touched stays until the next touch.
  document.addEventListener("pointermove", (event) => { if (event.pointerType !== "touch") follow(event); });
  root.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") leaveAll(); });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") leaveAll(); });
  window.addEventListener("scroll", leaveAll, { passive: true });
}
