// What a method costs against how faithful it is.
function startPlane(data, state) {
  const host = byId("plane-figure"), select = byId("plane-metric");
  const metrics = data.metrics.filter((metric) => planePoints(data, metric).length);
  if (!metrics.length) {
    isEmpty(host, "No method was timed and measured, so there is nothing to draw.");
    host.classList.add("empty");
    byId("plane-controls").remove();
    noNumbers("plane-numbers");
    return;
  }
  const named = (name) => metrics.find((metric) => metric.name === name);
  const chosen = () => named(state.values.metric) ?? named(data.headline) ?? metrics[0];
  options(select, metrics.map((metric) => [metric.name, metric.label]), chosen().name);
  const rows = () => planeRows(data, chosen());
  const write = offersNumbers("plane-numbers", () => rows());
  const redraw = drawsInto(host, (width, height) => drawPlane(host, width, height, data, chosen()));
  select.addEventListener("change", () => state.choose({ metric: select.value }));
  state.watch("metric", () => {
    select.value = chosen().name;
    leaveAll();
    redraw();
    write();
  });
  offersData("plane-data", "plane.csv", rows);
}

function planePoints(data, metric) {
  return data.methods.flatMap((method, index) => {
    const found = method.means[metric.name];
    return method.seconds && found ? [{ method, index, x: method.seconds, y: found[0], low: found[1], high: found[2] }] : [];
  });
}

function planeRows(data, metric) {
  return [
    ["method", "seconds_per_100_sequences", "metric", "mean", "low", "high"],
    ...planePoints(data, metric).map((point) => [point.method.name, point.x, metric.name, point.y, point.low, point.high]),
  ];
}

function drawPlane(host, width, height, data, metric) {
  const points = planePoints(data, metric);
  const area = { left: 58, right: width - 14, top: 16, bottom: height - 48 };
  const seconds = points.map((point) => point.x), ends = points.flatMap((point) => [point.y, point.low, point.high]);
  const low = Math.min(...ends), high = Math.max(...ends), room = 0.14 * (high - low || 1);
  const across = [Math.min(...seconds) / 2.4, Math.max(...seconds) * 2.4];
  const turned = metric.better === "lower";
  const x = logarithmic(across, [area.left, area.right]);
  const y = linear([low - room, high + room], turned ? [area.top, area.bottom] : [area.bottom, area.top]);
  const said = points.map((point) => `${point.method.label}: ${secondsText(point.x)} seconds, ${metric.label} ${intervalText([point.y, point.low, point.high])}`);
  const shape = drawing(width, height, `Seconds per 100 sequences against ${metric.label}`, said);
  planeAxes(shape, area, x, y, across, [low - room, high + room], metric);
  const front = data.fronts[metric.name].map((index) => points.find((point) => point.index === index)).filter(Boolean);
  const placed = points.map((point) => ({ left: x(point.x) - 9, right: x(point.x) + 9, top: y(point.y) - 9, bottom: y(point.y) + 9 }));
  for (const point of points) {
    const [one, two] = [y(point.low), y(point.high)].sort((a, b) => a - b);
    placed.push({ left: x(point.x) - 3, right: x(point.x) + 3, top: one, bottom: two });
    const bar = svg("path", { d: `M${x(point.x)},${one}V${two}M${x(point.x) - 4},${one}h8M${x(point.x) - 4},${two}h8` });
    const reach = svg("circle", { class: "reach", cx: x(point.x), cy: y(point.y), r: 18 });
    const marker = svg("g", {}, reach, coloured(bar, { stroke: seriesColour(point.index), strokeWidth: 1.6 }), markerAt(point.index, x(point.x), y(point.y)));
    shape.append(explains(marker, point.method.label, () => [
      [metric.label, intervalText([point.y, point.low, point.high])],
      ["seconds per 100 sequences", secondsText(point.x)],
    ]));
  }
  host.replaceChildren(shape);
  if (points.length > 1 && front.length) drawFront(shape, front, x, y, placed, area);
  for (const point of points) labelPoint(shape, point.method.label, point.index, x(point.x), y(point.y), placed, area, [11, 18, 28, 42, 60]);
  const missing = data.methods.filter((method) => method.scored && !(method.seconds && method.means[metric.name]));
  byId("plane-note").textContent = [
    metric.definition,
    "Bars are 95% bootstrap intervals over sequences.",
    points.length > 1 && front.length ? "The dashed line is the best at each speed: at that speed or a faster one, no method lies beyond it." : "",
    missing.length ? `Without a value or a time: ${missing.map((method) => method.label).join(", ")}.` : "",
  ].filter(Boolean).join(" ");
}

function planeAxes(shape, area, x, y, across, along, metric) {
  const ticks = linearTicks(...along, 6);
  for (const value of ticks.values) {
    shape.append(svg("line", { class: "grid", x1: area.left, x2: area.right, y1: y(value), y2: y(value) }));
    shape.append(svg("text", { class: "tick", x: area.left - 6, y: y(value) + 4, "text-anchor": "end" }, tickText(value, ticks.step)));
  }
  for (const value of logTicks(...across)) {
    shape.append(svg("line", { class: "grid", x1: x(value), x2: x(value), y1: area.top, y2: area.bottom }));
    shape.append(svg("text", { class: "tick", x: x(value), y: area.bottom + 16, "text-anchor": "middle" }, secondsText(value)));
  }
  const middle = (area.top + area.bottom) / 2, better = metric.better === "lower" ? "lower is better, axis turned" : "higher is better";
  shape.append(svg("text", { class: "axis-title", x: (area.left + area.right) / 2, y: area.bottom + 40, "text-anchor": "middle" }, "seconds per 100 sequences (less is better)"));
  shape.append(svg("text", { class: "axis-title", transform: `translate(13 ${middle}) rotate(-90)`, "text-anchor": "middle" }, `${metric.label}${metric.group === "agreement" ? " with exact ISM" : ""} (${better})`));
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
  const text = svg("text", { class: "front-label", "text-anchor": "middle" }, "best at its speed");
  place(shape, text, longest.x, longest.y, placed, area, [3, 12, 24, 40], Math.PI / 2);
}
