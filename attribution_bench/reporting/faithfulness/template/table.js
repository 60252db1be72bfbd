// The metric table: its columns sort, the better end first.
function startTable(data) {
  const table = byId("metric-table"), body = table.tBodies[0];
  const rows = [...body.rows];
  table.querySelectorAll("button.sort").forEach((button, column) => {
    button.addEventListener("click", () => {
      const head = button.closest("th");
      const first = button.dataset.better === "higher" ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = head.getAttribute("aria-sort") === first ? other : first;
      table.querySelectorAll("th[aria-sort]").forEach((found) => found.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      body.append(...[...rows].sort((one, two) => compareCells(one.cells[column], two.cells[column], sign)));
    });
  });
  offersData("metric-data", "metrics.csv", () => [
    ["method", "metric", "mean", "low", "high"],
    ...data.methods.filter((method) => method.seconds !== null).map((method) => [method.name, "seconds_per_100_sequences", method.seconds, "", ""]),
    ...data.methods.flatMap((method) => Object.entries(method.means).map(([name, found]) => [method.name, name, ...found])),
  ]);
}

// Cells without a number stay at the end in either order.
function compareCells(one, two, sign) {
  if (one?.tagName === "TH") return sign * one.textContent.localeCompare(two.textContent);
  const [first, second] = [one, two].map((cell) => (cell?.dataset.value === undefined ? null : Number(cell.dataset.value)));
  if (first === null || second === null) return (first === null) - (second === null);
  return sign * (first - second);
}
