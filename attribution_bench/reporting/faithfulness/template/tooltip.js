// One box that says what is under the pointer.
function showTooltip(x, y, ...content) {
  const box = byId("tooltip");
  box.replaceChildren(...content);
  box.hidden = false;
  const left = x + 16 + box.offsetWidth > window.innerWidth ? x - 16 - box.offsetWidth : x + 16;
  const top = Math.min(y + 12, window.innerHeight - box.offsetHeight - 8);
  coloured(box, { left: `${Math.max(4, Math.min(left, window.innerWidth - box.offsetWidth - 4))}px`, top: `${Math.max(4, top)}px` });
}

function hideTooltip() {
  byId("tooltip").hidden = true;
}

// A finger leaves as soon as it is lifted; what it touched stays until the next touch.
function leaves(node, action) {
  node.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") action(); });
  document.addEventListener("pointerdown", (event) => { if (!node.contains(event.target)) action(); });
}

function pairs(rows) {
  const body = element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, cell)))));
  return element("table", {}, body);
}

function explains(node, title, rows) {
  const show = (event) => showTooltip(event.clientX, event.clientY, element("strong", {}, title), pairs(rows()));
  node.addEventListener("pointerenter", show);
  node.addEventListener("pointermove", show);
  node.addEventListener("pointerdown", show);
  leaves(node, hideTooltip);
}
