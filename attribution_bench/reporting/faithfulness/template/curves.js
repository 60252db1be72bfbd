// What the model predicts while letters are replaced or put back.
function startCurves(data) {
  const host = byId("curves-figure");
  const shown = data.methods.map((method, index) => ({ ...method, index })).filter((method) => Object.keys(method.curves).length);
  const names = Object.keys(data.curves).filter((name) => shown.some((method) => method.curves[name]));
  if (!names.length) {
    isEmpty(host, "No curves are stored.");
    byId("curves-data").remove();
    noNumbers("curves-numbers");
    return;
  }
  const values = shown.flatMap((method) => names.flatMap((name) => ["low", "high", "mean"].flatMap((part) => method.curves[name]?.[part] ?? [])));
  const range = [Math.min(...values), Math.max(...values)];
  const panels = names.map((name) => host.appendChild(element("div", { class: "panel" })));
  names.forEach((name, place) => {
    let drawn = null;
    drawsInto(panels[place], (width, height) => { drawn = drawCurves(panels[place], width, height, data, shown, name, range); });
    pointsAt(panels[place], (event) => drawn.at(event), () => drawn.left());
  });
  byId("curves-note").textContent = "Lines are means over sequences; bands are their 95% bootstrap intervals. Letters go the highest score first, of equal scores the one nearer to the start.";
  const rows = () => [
    ["method", "curve", "share", "mean", "low", "high"],
    ...shown.flatMap((method) => names.filter((name) => method.curves[name]).flatMap((name) => data.shares.map((share, at) => [method.name, name, share, ...["mean", "low", "high"].map((part) => method.curves[name][part][at])]))),
  ];
  offersNumbers("curves-numbers", rows);
  offersData("curves-data", "curves.csv", rows);
}

function lineOf(index, d) {
  return coloured(svg("path", { class: "curve", d, "stroke-dasharray": DASHES[index % 7] }), { stroke: seriesColour(index) });
}

// Draws one panel; returns what it says at a share of the letters.
function drawCurves(host, width, height, data, shown, name, [low, high]) {
  const area = { left: 52, right: width - 16, top: 30, bottom: height - 42 };
  const room = 0.04 * (high - low || 1);
  const x = linear([data.shares[0], data.shares[data.shares.length - 1]], [area.left, area.right]);
  const y = linear([low - room, high + room], [area.bottom, area.top]);
  const [heading, across, better] = data.curves[name];
  const drawn = shown.filter((method) => method.curves[name]);
  const half = data.shares.reduce((best, share, index) => (Math.abs(share - 0.5) < Math.abs(data.shares[best] - 0.5) ? index : best), 0);
  const said = drawn.map((method) => `${method.label}: ${intervalText(["mean", "low", "high"].map((part) => method.curves[name][part][half]))}`);
  const shape = drawing(width, height, `${heading} curves; predictions at ${Math.round(100 * data.shares[half])}% of the letters`, said);
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
  for (const method of drawn) {
    const found = method.curves[name];
    const band = svg("path", { class: "band", d: `M${[...path(found.low), ...path(found.high).reverse()].join("L")}Z` });
    shape.append(coloured(band, { fill: seriesColour(method.index) }));
  }
  for (const method of drawn) shape.append(lineOf(method.index, `M${path(method.curves[name].mean).join("L")}`));
  const cursor = svg("line", { class: "axis", y1: area.top, y2: area.bottom, visibility: "hidden" });
  shape.append(cursor);
  host.replaceChildren(shape);
  labelCurves(shape, drawn, name, data.shares.map(x), y, area);
  return {
    at: (event) => {
      const box = shape.getBoundingClientRect(), place = ((event.clientX - box.left) / box.width) * width;
      const nearest = data.shares.reduce((best, share, index) => (Math.abs(x(share) - place) < Math.abs(x(data.shares[best]) - place) ? index : best), 0);
      fill(cursor, { x1: x(data.shares[nearest]), x2: x(data.shares[nearest]), visibility: "visible" }, []);
      const rows = drawn.map((method) => [method.label, intervalText(["mean", "low", "high"].map((part) => method.curves[name][part][nearest]))]);
      return [element("strong", {}, `${heading}, ${Math.round(100 * data.shares[nearest])}%`), pairs(rows)];
    },
    left: () => cursor.setAttribute("visibility", "hidden"),
  };
}

// Names each line where it is farthest from the others, clear of all lines.
function labelCurves(shape, drawn, name, xs, y, area) {
  const lines = drawn.map((method) => method.curves[name].mean.map(y));
  const placed = lines.flatMap((line) => line.slice(1).map((end, at) => ({
    left: xs[at], right: xs[at + 1], top: Math.min(line[at], end) - 2, bottom: Math.max(line[at], end) + 2,
  })));
  drawn.forEach((method, index) => {
    const away = (at) => Math.min(60, ...lines.filter((line) => line !== lines[index]).map((line) => Math.abs(line[at] - lines[index][at])).filter((gap) => gap > 0.5));
    let anchor = Math.floor(xs.length / 3);
    for (let at = 1; at < xs.length - 1; at += 1) if (away(at) > away(anchor) + 1) anchor = at;
    labelPoint(shape, method.label, method.index, xs[anchor], lines[index][anchor], placed, area, [4, 10, 18, 30, 45, 65, 90]);
  });
}
