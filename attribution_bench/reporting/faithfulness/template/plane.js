// What a method costs against how faithful it is.
function startPlane(data) {
  const host = byId("plane-figure"), select = byId("plane-metric");
  const metrics = data.metrics.filter((metric) => planePoints(data, metric).length);
  if (!metrics.length) {
    isEmpty(host, "No method was timed and measured, so there is nothing to draw.");
    select.disabled = byId("plane-data").disabled = true;
    return;
  }
  options(select, metrics.map((metric) => [metric.name, metric.label]), data.headline);
  if (!select.value) select.selectedIndex = 0;
  const chosen = () => metrics.find((metric) => metric.name === select.value);
  const redraw = drawsInto(host, (width) => drawPlane(host, width, data, chosen()));
  select.addEventListener("change", redraw);
  offersData("plane-data", "plane.csv", () => [
    ["method", "seconds_per_100_sequences", "metric", "mean", "low", "high"],
    ...planePoints(data, chosen()).map((point) => [point.method.name, point.x, chosen().name, point.y, point.low, point.high]),
  ]);
}

function planePoints(data, metric) {
  return data.methods.flatMap((method, index) => {
    const found = method.means[metric.name];
    return method.seconds && found ? [{ method, index, x: method.seconds, y: found[0], low: found[1], high: found[2] }] : [];
  });
}

function drawPlane(host, width, data, metric) {
  const points = planePoints(data, metric);
  const height = Math.round(Math.max(300, Math.min(440, width * 0.55)));
  const area = { left: 58, right: width - 14, top: 16, bottom: height - 48 };
  const seconds = points.map((point) => point.x), ends = points.flatMap((point) => [point.y, point.low, point.high]);
  const low = Math.min(...ends), high = Math.max(...ends), room = 0.14 * (high - low || 1);
  const across = [Math.min(...seconds) / 2.4, Math.max(...seconds) * 2.4];
  const turned = metric.better === "lower";
  const x = logarithmic(across, [area.left, area.right]);
  const y = linear([low - room, high + room], turned ? [area.top, area.bottom] : [area.bottom, area.top]);
  const shape = drawing(width, height, `Seconds per 100 sequences against ${metric.label}`);
  const ticks = linearTicks(low - room, high + room, 6);
  for (const value of ticks.values) {
    shape.append(svg("line", { class: "grid", x1: area.left, x2: area.right, y1: y(value), y2: y(value) }));
    shape.append(svg("text", { class: "tick", x: area.left - 6, y: y(value) + 4, "text-anchor": "end" }, tickText(value, ticks.step)));
  }
  for (const value of logTicks(...across)) {
    shape.append(svg("line", { class: "grid", x1: x(value), x2: x(value), y1: area.top, y2: area.bottom }));
    shape.append(svg("text", { class: "tick", x: x(value), y: area.bottom + 16, "text-anchor": "middle" }, secondsText(value)));
  }
  const middle = (area.top + area.bottom) / 2;
  shape.append(svg("text", { class: "axis-title", x: (area.left + area.right) / 2, y: height - 8, "text-anchor": "middle" }, "seconds per 100 sequences (less is better)"));
  shape.append(svg("text", { class: "axis-title", transform: `translate(13 ${middle}) rotate(-90)`, "text-anchor": "middle" }, `${metric.label}${metric.group === "agreement" ? " with exact ISM" : ""} (${turned ? "lower is better, axis turned" : "higher is better"})`));
  const front = data.fronts[metric.name].map((index) => points.find((point) => point.index === index)).filter(Boolean);
  const placed = points.map((point) => ({ left: x(point.x) - 9, right: x(point.x) + 9, top: y(point.y) - 9, bottom: y(point.y) + 9 }));
  for (const point of points) {
    const [one, two] = [y(point.low), y(point.high)].sort((a, b) => a - b);
    placed.push({ left: x(point.x) - 3, right: x(point.x) + 3, top: one, bottom: two });
    const bar = svg("path", { d: `M${x(point.x)},${one}V${two}M${x(point.x) - 4},${one}h8M${x(point.x) - 4},${two}h8` });
    shape.append(coloured(bar, { stroke: seriesColour(point.index), strokeWidth: 1.6 }));
    const marker = markerAt(point.index, x(point.x), y(point.y));
    explains(marker, point.method.label, () => [
      [metric.label, intervalText([point.y, point.low, point.high])],
      ["seconds per 100 sequences", secondsText(point.x)],
    ]);
    shape.append(marker);
  }
  host.replaceChildren(shape);
  if (points.length > 1 && front.length) drawFront(shape, front, x, y, placed, area);
  for (const point of points) placeLabel(shape, point, x(point.x), y(point.y), placed, area);
  const missing = data.methods.filter((method) => method.scored && !(method.seconds && method.means[metric.name]));
  byId("plane-note").textContent = [
    metric.definition,
    "Bars are 95% bootstrap intervals over sequences.",
    points.length > 1 && front.length ? "The dashed line is the Pareto front: at that speed or a faster one, no method lies beyond it." : "",
    missing.length ? `Without a value or a time: ${missing.map((method) => method.label).join(", ")}.` : "",
  ].filter(Boolean).join(" ");
}

// The front's parts and its label are kept free of the other labels.
function drawFront(shape, front, x, y, placed, area) {
  const corners = [[x(front[0].x), y(front[0].y)]];
  for (const point of front.slice(1)) corners.push([x(point.x), corners[corners.length - 1][1]], [x(point.x), y(point.y)]);
  corners.push([area.right, corners[corners.length - 1][1]]);
  shape.prepend(svg("path", { class: "front", d: `M${corners.join("L")}` }));
  let longest = null;
  corners.slice(1).forEach(([right, bottom], index) => {
    const [left, top] = corners[index];
    placed.push({ left: left - 1, right: right + 1, top: Math.min(top, bottom) - 1, bottom: Math.max(top, bottom) + 1 });
    if (top === bottom && (!longest || right - left > longest.length)) longest = { length: right - left, x: (left + right) / 2, y: top };
  });
  const text = svg("text", { class: "front-label", "text-anchor": "middle" }, "Pareto front");
  place(shape, text, longest.x, longest.y, placed, area, [3, 12, 24, 40], Math.PI / 2);
}

function placeLabel(shape, point, x, y, placed, area) {
  const text = coloured(svg("text", { class: "label", "text-anchor": "middle" }, point.method.label), { fill: seriesColour(point.index) });
  const box = place(shape, text, x, y, placed, area, [11, 18, 28, 42, 60], 0);
  const near = { x: Math.max(box.left, Math.min(x, box.right)), y: Math.max(box.top, Math.min(y, box.bottom)) };
  const gap = Math.hypot(near.x - x, near.y - y);
  if (gap > 20) {
    const start = 9 / gap;
    const line = svg("line", { class: "leader", x1: x + (near.x - x) * start, y1: y + (near.y - y) * start, x2: near.x, y2: near.y });
    text.before(coloured(line, { stroke: seriesColour(point.index) }));
  }
}

// Tries places around a point, near ones first, and takes the first that hides nothing.
function place(shape, text, x, y, placed, area, distances, first) {
  shape.append(text);
  const size = text.getBBox(), across = size.width / 2, along = size.height / 2;
  let best = null;
  for (const distance of distances) {
    for (let turn = 0; turn < 16; turn += 1) {
      const angle = first + (Math.PI * turn) / 8;
      const middle = { x: x + (distance + across) * Math.cos(angle), y: y - (distance + along) * Math.sin(angle) };
      const box = { left: middle.x - across, right: middle.x + across, top: middle.y - along, bottom: middle.y + along };
      const cost = placed.reduce((sum, other) => sum + overlap(box, other), 0) + 3 * (4 * across * along - overlap(box, area));
      if (best === null || cost < best.cost - 0.01) best = { cost, box, middle };
    }
  }
  text.setAttribute("x", best.middle.x);
  text.setAttribute("y", best.middle.y + along * 0.55);
  placed.push(best.box);
  return best.box;
}

function overlap(one, two) {
  const across = Math.min(one.right, two.right) - Math.max(one.left, two.left);
  const along = Math.min(one.bottom, two.bottom) - Math.max(one.top, two.top);
  return across > 0 && along > 0 ? across * along : 0;
}
