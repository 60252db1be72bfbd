// How far every pair of methods agrees.
function startMatrix(data) {
  const host = byId("matrix-figure"), select = byId("matrix-metric");
  const metrics = data.pairMetrics;
  if (!metrics.length) {
    isEmpty(host, data.pairs.length ? "No agreement of any two methods is defined for any sequence." : "Agreement takes two methods with scores, and there are fewer.");
    select.disabled = byId("matrix-data").disabled = true;
    return;
  }
  options(select, metrics.map((metric) => [metric.name, metric.label]), metrics[0].name);
  const chosen = () => metrics.find((metric) => metric.name === select.value);
  const redraw = drawsInto(host, (width) => drawMatrix(host, width, data, chosen()));
  select.addEventListener("change", redraw);
  themeListeners.push(redraw);
  offersData("matrix-data", "agreement.csv", () => [
    ["first", "second", "metric", "mean", "low", "high"],
    ...data.pairs.flatMap((pair) => Object.entries(pair.means).map(([name, found]) => [data.methods[pair.first].name, data.methods[pair.second].name, name, ...found])),
  ]);
}

function drawMatrix(host, width, data, metric) {
  const shown = data.methods.map((method, index) => ({ ...method, index })).filter((method) => method.scored);
  const left = Math.min(170, width * 0.38);
  const size = Math.min(84, (width - left - 4) / shown.length);
  const tilted = size < 76;
  const top = tilted ? 150 : 40;
  const shape = drawing(width, top + size * shown.length + 4, `${metric.label} of every pair of methods`);
  shown.forEach((row, line) => {
    shape.append(fitted(svg("text", { class: "name", x: left - 8, y: top + (line + 0.5) * size + 4, "text-anchor": "end" }, row.label), row.label));
    const x = left + (line + 0.5) * size;
    const place = tilted ? { transform: `translate(${x + 4} ${top - 8}) rotate(-90)`, "text-anchor": "start" } : { x, y: top - 8, "text-anchor": "middle" };
    for (const [part, words] of (tilted ? [row.label] : wrapped(row.label)).entries()) {
      const label = svg("text", { class: "name", ...place }, words);
      if (!tilted) label.setAttribute("y", top - 8 - 13 * (wrapped(row.label).length - 1 - part));
      shape.append(label);
    }
    shown.forEach((column, across) => shape.append(matrixCell(data, metric, row, column, left + across * size, top + line * size, size)));
  });
  host.replaceChildren(shape);
  byId("matrix-note").textContent = `${metric.between} Means over the sequences where it is defined; point at a cell for its 95% interval.`;
}

function matrixCell(data, metric, row, column, x, y, size) {
  const pair = data.pairs.find((entry) => (entry.first === row.index && entry.second === column.index) || (entry.second === row.index && entry.first === column.index));
  const same = row.index === column.index;
  const found = same ? null : pair?.means[metric.name];
  const colour = found ? divergingColour(found[0], 1) : null;
  const group = svg("g", { class: "cell" });
  const box = svg("rect", { x: x + 1, y: y + 1, width: size - 2, height: size - 2, rx: 3 });
  group.append(coloured(box, colour ? { fill: `rgb(${colour})` } : { fill: "var(--raised)" }));
  const text = svg("text", { class: "cell-text", x: x + size / 2, y: y + size / 2 }, found ? found[0].toFixed(2).replace("-", "−") : same ? "" : DASH);
  group.append(coloured(text, { fill: colour ? readableOn(colour) : "var(--quiet)", fontSize: size < 44 ? "11px" : "13px" }));
  explains(group, same ? row.label : `${row.label} and ${column.label}`, () => [[metric.label, same ? "with itself: nothing to compare" : found ? intervalText(found) : "undefined"]]);
  return group;
}

function wrapped(label) {
  const words = label.split(" ");
  if (words.length < 2) return [label];
  const half = Math.ceil(words.length / 2);
  return [words.slice(0, half).join(" "), words.slice(half).join(" ")];
}

// Shortens a label that would reach beyond the figure; its title says it in full.
function fitted(text, label) {
  if (label.length > 26) text.textContent = `${label.slice(0, 25)}…`;
  text.append(svg("title", {}, label));
  return text;
}
