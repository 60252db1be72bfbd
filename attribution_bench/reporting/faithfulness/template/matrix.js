// How far every pair of methods agrees, as a table whose cells are coloured from the smallest value to the largest.
function startMatrix(data, state) {
  const host = byId("matrix-figure"), select = byId("matrix-metric");
  const metrics = data.pairMetrics;
  if (!metrics.length) {
    isEmpty(host, data.pairs.length ? "No agreement of any two methods is defined for any sequence." : "Agreement takes two methods with scores, and there are fewer.");
    byId("matrix-controls").remove();
    return;
  }
  const chosen = () => metrics.find((metric) => metric.name === state.values.agreement) ?? metrics[0];
  options(select, metrics.map((metric) => [metric.name, metric.label]), chosen().name);
  const redraw = () => {
    select.value = chosen().name;
    leaveAll();
    drawMatrix(host, data, chosen());
  };
  redraw();
  select.addEventListener("change", () => state.choose({ agreement: select.value }));
  state.watch("agreement", redraw);
  themeListeners.push(redraw);
  offersData("matrix-data", "agreement.csv", () => [
    ["first", "second", "metric", "mean", "low", "high"],
    ...data.pairs.flatMap((pair) => Object.entries(pair.means).map(([name, found]) => [data.methods[pair.first].name, data.methods[pair.second].name, name, ...found])),
  ]);
}

function drawMatrix(host, data, metric) {
  const shown = data.methods.map((method, index) => ({ ...method, index })).filter((method) => method.scored);
  const values = data.pairs.flatMap((pair) => (pair.means[metric.name] ? [pair.means[metric.name][0]] : []));
  const range = [Math.min(...values), Math.max(...values)];
  const header = element("tr", {}, element("td"), ...shown.map((method) => element("th", { scope: "col" }, method.label)));
  const rows = shown.map((row) => element("tr", {}, element("th", { scope: "row" }, row.label), ...shown.map((column) => matrixCell(data, metric, row, column, range))));
  const caption = element("caption", { class: "hidden" }, `${metric.label} of every pair of methods, with its 95% interval`);
  const table = element("table", { class: "matrix" }, caption, element("thead", {}, header), element("tbody", {}, ...rows));
  const bar = colourBar(metric.label, numberText(range[0]), numberText(range[1]), (part) => between(channels("least"), channels("most"), part));
  host.replaceChildren(table, bar);
  byId("matrix-note").textContent = `${metric.between} Means over the sequences where it is defined, with 95% bootstrap intervals.`;
}

function matrixCell(data, metric, row, column, range) {
  if (row.index === column.index) return element("td", { class: "cell same" }, element("span", { class: "hidden" }, "itself"));
  const pair = data.pairs.find((entry) => [entry.first, entry.second].every((index) => index === row.index || index === column.index));
  const found = pair?.means[metric.name];
  if (!found) return element("td", { class: "cell same" }, DASH);
  const colour = sequentialColour(found[0], range);
  const interval = element("span", { class: "interval" }, `${numberText(found[1])} to ${numberText(found[2])}`);
  const cell = element("td", { class: "cell" }, element("span", { class: "mean" }, numberText(found[0])), interval);
  coloured(cell, { backgroundColor: `rgb(${colour})`, color: readableOn(colour) });
  return explains(cell, `${row.label} and ${column.label}`, () => [[metric.label, intervalText(found)]]);
}
