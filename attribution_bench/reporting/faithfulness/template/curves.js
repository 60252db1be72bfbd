// What the model predicts while letters are replaced or put back.
function startCurves(data) {
  const host = byId("curves-figure");
  const shown = data.methods.map((method, index) => ({ ...method, index })).filter((method) => Object.keys(method.curves).length);
  const names = Object.keys(data.curves).filter((name) => shown.some((method) => method.curves[name]));
  if (!names.length) {
    isEmpty(host, "No curves are stored.");
    byId("curves-data").disabled = true;
    return;
  }
  byId("curves-legend").replaceChildren(...shown.map((method) => {
    const line = svg("svg", { width: 34, height: 12, "aria-hidden": "true" }, lineOf(method.index, "M1,6H33"));
    return element("span", {}, line, method.label);
  }));
  const values = shown.flatMap((method) => names.flatMap((name) => ["low", "high", "mean"].flatMap((part) => method.curves[name]?.[part] ?? [])));
  const range = [Math.min(...values), Math.max(...values)];
  const panels = names.map((name) => host.appendChild(element("div", { class: "panel" })));
  names.forEach((name, place) => drawsInto(panels[place], (width) => drawCurves(panels[place], width, data, shown, name, range)));
  byId("curves-note").textContent = "Lines are means over sequences; bands hold the middle half of the sequences. Letters go the highest score first, of equal scores the one nearer to the start.";
  offersData("curves-data", "curves.csv", () => [
    ["method", "curve", "share", "mean", "lower_quartile", "upper_quartile"],
    ...shown.flatMap((method) => names.filter((name) => method.curves[name]).flatMap((name) => data.shares.map((share, at) => [method.name, name, share, ...["mean", "low", "high"].map((part) => method.curves[name][part][at])]))),
  ]);
}

function lineOf(index, d) {
  return coloured(svg("path", { class: "curve", d, "stroke-dasharray": DASHES[index % 7] }), { stroke: seriesColour(index) });
}

function drawCurves(host, width, data, shown, name, [low, high]) {
  const height = Math.round(Math.max(240, Math.min(330, width * 0.65)));
  const area = { left: 52, right: width - 16, top: 30, bottom: height - 42 };
  const room = 0.04 * (high - low || 1);
  const x = linear([data.shares[0], data.shares[data.shares.length - 1]], [area.left, area.right]);
  const y = linear([low - room, high + room], [area.bottom, area.top]);
  const [heading, across, better] = data.curves[name];
  const shape = drawing(width, height, `${heading} curves`);
  shape.append(svg("text", { class: "heading", x: area.left, y: 16 }, heading, svg("tspan", { class: "detail" }, `  ${better}`)));
  const ticks = linearTicks(low - room, high + room, 5);
  for (const value of ticks.values) {
    shape.append(svg("line", { class: "grid", x1: area.left, x2: area.right, y1: y(value), y2: y(value) }));
    shape.append(svg("text", { class: "tick", x: area.left - 6, y: y(value) + 4, "text-anchor": "end" }, tickText(value, ticks.step)));
  }
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    shape.append(svg("text", { class: "tick", x: x(share), y: area.bottom + 16, "text-anchor": "middle" }, `${100 * share}%`));
  }
  shape.append(svg("text", { class: "axis-title", x: (area.left + area.right) / 2, y: height - 6, "text-anchor": "middle" }, across));
  shape.append(svg("text", { class: "axis-title", transform: `translate(11 ${(area.top + area.bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, "prediction"));
  const path = (values) => values.map((value, at) => `${x(data.shares[at])},${y(value)}`);
  const drawn = shown.filter((method) => method.curves[name]);
  for (const method of drawn) {
    const found = method.curves[name];
    const band = svg("path", { class: "band", d: `M${[...path(found.low), ...path(found.high).reverse()].join("L")}Z` });
    shape.append(coloured(band, { fill: seriesColour(method.index) }));
  }
  for (const method of drawn) shape.append(lineOf(method.index, `M${path(method.curves[name].mean).join("L")}`));
  const cursor = svg("line", { class: "axis", y1: area.top, y2: area.bottom, visibility: "hidden" });
  shape.append(cursor);
  const at = (event) => {
    const box = shape.getBoundingClientRect(), place = ((event.clientX - box.left) / box.width) * width;
    const nearest = data.shares.reduce((best, share, index) => (Math.abs(x(share) - place) < Math.abs(x(data.shares[best]) - place) ? index : best), 0);
    cursor.setAttribute("x1", x(data.shares[nearest]));
    cursor.setAttribute("x2", x(data.shares[nearest]));
    cursor.setAttribute("visibility", "visible");
    const rows = drawn.map((method) => [method.label, numberText(method.curves[name].mean[nearest])]);
    showTooltip(event.clientX, event.clientY, element("strong", {}, `${heading}, ${Math.round(100 * data.shares[nearest])}%`), pairs(rows));
  };
  shape.addEventListener("pointermove", at);
  shape.addEventListener("pointerdown", at);
  leaves(shape, () => { cursor.setAttribute("visibility", "hidden"); hideTooltip(); });
  host.replaceChildren(shape);
}
