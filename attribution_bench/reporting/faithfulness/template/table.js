// The numbers behind the metric table.
function startTable(data) {
  offersData("metric-data", "metrics.csv", () => [
    ["method", "metric", "mean", "low", "high"],
    ...data.methods.filter((method) => method.seconds !== null).map((method) => [method.name, "seconds_per_100_sequences", method.seconds, "", ""]),
    ...data.methods.flatMap((method) => Object.entries(method.means).map(([name, found]) => [method.name, name, ...found])),
  ]);
}
