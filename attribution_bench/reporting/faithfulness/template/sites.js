// Known sites over a sequence: bands through the figure, and their names above it in as few lanes as keep them apart.
const LANE = 17;

// Those of one sequence that lie in a range of columns.
function sitesWithin(sites, [from, to], columnOf) {
  return sites
    .map((site) => ({ ...site, from: columnOf(site.start), to: columnOf(site.stop) }))
    .filter((site) => site.from < site.to && site.to > from && site.from < to)
    .sort((one, two) => one.from - two.from);
}

function siteColour(site) {
  return site.effect < 0 ? "var(--lowers)" : "var(--raises)";
}

function packedSites(sites, [from, to], left, right) {
  const cell = (right - left) / (to - from), ends = [], placed = [];
  for (const site of sites) {
    const arrow = { "+": " →", "-": " ←" }[site.strand] ?? "";
    const label = site.name.length > 24 ? `${site.name.slice(0, 23)}…` : site.name;
    const named = `${site.effect < 0 ? "▼" : "▲"} ${label}${arrow}`;
    const words = site.unread ? `[${named}]` : named, wide = 7.6 * words.length + 10;
    const start = Math.min(Math.max(left, left + (site.from - from) * cell), right - wide);
    let lane = ends.findIndex((end) => end <= start);
    if (lane < 0) lane = ends.length;
    ends[lane] = start + wide;
    placed.push({ site, words, x: start, lane });
  }
  return { count: ends.length, placed };
}

function siteBands(shape, sites, [from, to], top, bottom, x) {
  for (const site of sites) {
    const start = x(Math.max(site.from, from)), end = x(Math.min(site.to, to)), colour = siteColour(site);
    shape.append(coloured(svg("rect", { class: "site", x: start, y: top, width: end - start, height: bottom - top }), { fill: colour }));
    const edges = svg("path", { class: "site-edge", d: `M${start},${top}V${bottom}M${end},${top}V${bottom}` });
    shape.append(coloured(edges, { stroke: colour }));
  }
}

function siteLabels(shape, lanes) {
  for (const { site, words, x, lane } of lanes.placed) {
    shape.append(coloured(svg("text", { class: "site-label", x, y: lane * LANE + 12 }, words), { fill: siteColour(site) }));
  }
}

function siteText(site) {
  return `${site.name}, strand ${site.strand}, positions ${site.start} to ${site.stop}, given as ${site.effect < 0 ? "lowering" : "raising"} the prediction${site.unread ? ", not read by the target" : ""}`;
}
