// Elements. Text goes in as text nodes, never as markup: names come from files that others wrote.
function byId(id) {
  return document.getElementById(id);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

// The page's policy forbids style attributes; properties set from here are allowed.
function coloured(node, properties) {
  Object.assign(node.style, properties);
  return node;
}

// A figure is one image to a reader of the screen: its label says what is drawn, with the numbers.
function drawing(width, height, title, said = []) {
  const label = [title, ...said].join(". ");
  return svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
}

// A name that may be longer than its room; 7.6 pixels are a generous letter of a label.
function shortened(name, room) {
  const most = Math.max(8, Math.floor(room / 7.6));
  return name.length > most ? `${name.slice(0, most - 1)}…` : name;
}

function options(select, entries, chosen) {
  select.replaceChildren(...entries.map(([value, label]) => element("option", { value }, label)));
  if (chosen !== null) select.value = chosen;
}

function isEmpty(host, sentence) {
  host.replaceChildren(element("p", { class: "note" }, sentence));
}

function csvField(value) {
  const text = value === null || value === undefined ? "" : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function download(name, rows) {
  const content = rows.map((row) => row.map(csvField).join(",")).join("\n") + "\n";
  const link = element("a", { href: URL.createObjectURL(new Blob([content], { type: "text/csv" })), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function offersData(id, name, rows) {
  byId(id).addEventListener("click", () => download(name, rows()));
}

// Redraws a figure whenever the room that it has changes; the style sheet decides on the room.
function drawsInto(host, draw) {
  let width = 0;
  const redraw = () => {
    width = host.clientWidth;
    if (width > 0) draw(width, host.clientHeight);
  };
  new ResizeObserver(() => { if (Math.abs(host.clientWidth - width) > 1) redraw(); }).observe(host);
  redraw();
  return redraw;
}
