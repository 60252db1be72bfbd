// Logos of every method under each other, with sites and the effects of every mutation, over one axis of positions.
const LEAST_SHOWN = 4;
const LANE = 17;

class SequenceBrowser {
  constructor(data) {
    this.data = data;
    this.methods = data.methods.map((method, index) => ({ ...method, index })).filter((method) => method.observed);
    this.width = data.positions.length;
    this.sequence = 0;
    this.range = [0, this.width];
    this.cursor = null;
    this.colourOf = letterColours(data.alphabet);
    this.host = byId("browser-figure");
  }

  start() {
    if (!this.methods.length) {
      isEmpty(this.host, "No scores are stored beside this evaluation.");
      byId("browser-controls").hidden = true;
      byId("browser-controls").replaceChildren();
      return;
    }
    options(byId("sequence"), this.data.names.map((name, index) => [index, `${index + 1}. ${name}`]), 0);
    const linked = this.readFragment();
    this.redraw = drawsInto(this.host, (room) => this.draw(room));
    if (linked) byId("browser").scrollIntoView({ behavior: "instant" });
    themeListeners.push(this.redraw);
    byId("sequence").addEventListener("change", (event) => this.choose(Number(event.target.value)));
    byId("previous").addEventListener("click", () => this.choose(this.sequence - 1));
    byId("next").addEventListener("click", () => this.choose(this.sequence + 1));
    byId("zoom-in").addEventListener("click", () => this.zoom(0.5));
    byId("zoom-out").addEventListener("click", () => this.zoom(2));
    byId("pan-left").addEventListener("click", () => this.pan(-0.5));
    byId("pan-right").addEventListener("click", () => this.pan(0.5));
    byId("reset").addEventListener("click", () => this.show(0, this.width));
    window.addEventListener("hashchange", () => { if (this.readFragment()) this.redraw(); });
    offersData("browser-data", "scores.csv", () => this.rows());
    this.listen();
    const left = this.data.count - this.data.names.length;
    byId("browser-note").textContent = [
      "Each method has its own scale, which follows the range that is shown. Drag over the letters to zoom in; double-click, Escape or Reset to leave; Ctrl and the wheel zoom too. With the figure focused, arrow keys move a cursor, Shift and arrows the range, + and − zoom.",
      this.data.sites.length ? "Blue bands are sites that are given as raising the prediction, orange ones as lowering it." : "",
      this.data.sites.some((site) => site.unread) ? "Sites in brackets are not read by the target: no single substitution there changes the prediction by more than rounding." : "",
      left > 0 ? `The first ${this.data.names.length} of ${this.data.count} sequences are on this page; scores/ has all of them.` : "",
    ].filter(Boolean).join(" ");
  }

  // A fragment such as #sequence=3&range=20-60: the third sequence, positions 20 to 60 (0-based, half-open).
  readFragment() {
    const found = new URLSearchParams(window.location.hash.slice(1));
    if (!found.has("sequence") && !found.has("range")) return false;
    const number = Number.parseInt(found.get("sequence") ?? "1", 10);
    this.sequence = Math.max(0, Math.min(this.data.names.length - 1, (number || 1) - 1));
    const ends = /^(\d+)-(\d+)$/.exec(found.get("range") ?? "");
    this.range = ends ? this.limited(this.columnOf(Number(ends[1])), this.columnOf(Number(ends[2]))) : [0, this.width];
    return true;
  }

  writeFragment() {
    const whole = this.range[0] === 0 && this.range[1] === this.width;
    const range = whole ? "" : `&range=${this.positionOf(this.range[0])}-${this.endOf(this.range[1])}`;
    // A page opened from a file may not be allowed to change its address.
    try { window.history.replaceState(null, "", `#sequence=${this.sequence + 1}${range}`); } catch { /* stays as it is */ }
  }

  // First column at or after a position.
  columnOf(position) {
    const found = this.data.positions.findIndex((at) => at >= position);
    return found < 0 ? this.width : found;
  }

  positionOf(column) {
    return this.data.positions[column];
  }

  endOf(column) {
    return this.data.positions[column - 1] + 1;
  }

  limited(from, to) {
    const wanted = Math.min(this.width, Math.max(LEAST_SHOWN, Math.round(to - from)));
    const start = Math.max(0, Math.min(this.width - wanted, Math.round(from)));
    return [start, start + wanted];
  }

  choose(sequence) {
    this.sequence = Math.max(0, Math.min(this.data.names.length - 1, sequence));
    this.cursor = null;
    hideTooltip();
    this.writeFragment();
    this.redraw();
  }

  show(from, to) {
    this.range = this.limited(from, to);
    hideTooltip();
    this.writeFragment();
    this.redraw();
  }

  zoom(factor, centre = (this.range[0] + this.range[1]) / 2) {
    const [from, to] = this.range;
    this.show(centre - (centre - from) * factor, centre + (to - centre) * factor);
  }

  pan(share) {
    const step = Math.round(share * (this.range[1] - this.range[0])) || Math.sign(share);
    this.show(this.range[0] + step, this.range[1] + step);
  }

  draw(room) {
    const { data } = this, [from, to] = this.range;
    const left = room < 500 ? 40 : 56, right = room - 6;
    const sites = this.sitesShown(), lanes = this.packed(sites, left, right);
    const cell = (right - left) / (to - from), x = (column) => left + (column - from) * cell;
    const high = room < 500 ? 62 : 76;
    this.view = { left, right, from, cell, room };
    const shape = svg("svg");
    let y = lanes.count * LANE + (lanes.count ? 6 : 0);
    const panels = [];
    for (const method of this.methods) {
      shape.append(this.title(method, left, y + 14));
      panels.push([y + 20, y + 20 + high]);
      y += 20 + high + 8;
    }
    const heatTop = y + 22, line = data.alphabet.length > 6 ? 11 : 15;
    if (data.effects) y = heatTop + line * data.alphabet.length + 6;
    const bottom = y;
    const letters = cell >= 9;
    if (letters) y += 16;
    for (const [place, [top, base]] of panels.entries()) this.bands(shape, sites, lanes, place === 0 ? lanes.count * LANE : top - 4, base + 4, x);
    if (data.effects && sites.length) this.bands(shape, sites, lanes, heatTop - 2, bottom - 4, x);
    this.labels(shape, lanes);
    this.methods.forEach((method, place) => this.logo(shape, method, panels[place], x, cell, left, right));
    if (data.effects) this.heat(shape, heatTop, line, x, cell, left, right);
    if (letters) this.lettersRow(shape, bottom + 10, x, cell);
    this.axis(shape, y + 2, x, cell, left, right);
    const height = y + 44;
    this.cursorBox = svg("rect", { class: "cursor", y: 0, height: y, width: Math.max(cell, 1), visibility: "hidden" });
    this.selection = svg("rect", { class: "selection", y: 0, height: y, width: 0, visibility: "hidden" });
    shape.append(this.cursorBox, this.selection);
    const label = `Scores of every method for ${data.names[this.sequence]}`;
    fill(shape, { width: room, height, viewBox: `0 0 ${room} ${height}`, role: "img", "aria-label": label }, []);
    this.host.replaceChildren(shape);
    byId("sequence").value = this.sequence;
    byId("previous").disabled = this.sequence === 0;
    byId("next").disabled = this.sequence === data.names.length - 1;
    const whole = to - from === this.width;
    for (const name of ["zoom-out", "pan-left", "pan-right", "reset"]) byId(name).disabled = whole;
    byId("zoom-in").disabled = to - from <= LEAST_SHOWN;
    byId("browser-caption").textContent = `${data.names[this.sequence]}: positions ${this.positionOf(from)} to ${this.endOf(to)} of ${data.strings[this.sequence].length} letters (0-based, half-open); the model predicts ${numberText(data.predictions[this.sequence])}.`;
    if (this.cursor !== null) this.mark(this.cursor);
  }

  title(method, x, y) {
    const metric = this.data.metrics.find((entry) => entry.name === this.data.headline);
    const value = metric ? method.values[metric.name]?.[this.sequence] : null;
    const detail = !metric || value === undefined || value === null || method.references.includes(metric.name) ? "" : `  ${metric.label} ${numberText(value)}`;
    return svg("text", { class: "heading", x, y }, method.label, svg("tspan", { class: "detail" }, detail));
  }

  logo(shape, method, [top, base], x, cell, left, right) {
    const scores = method.observed[this.sequence], letters = this.data.strings[this.sequence], [from, to] = this.range;
    let low = 0, high = 0;
    for (let column = from; column < to; column += 1) {
      low = Math.min(low, scores[column] ?? 0);
      high = Math.max(high, scores[column] ?? 0);
    }
    const y = linear([low, high === low ? low + 1 : high], [base, top]);
    const ticks = linearTicks(low, high === low ? low + 1 : high, 3, 3);
    for (const value of ticks.values) {
      shape.append(svg("text", { class: "tick", x: left - 5, y: y(value) + 4, "text-anchor": "end" }, tickText(value, ticks.step)));
      shape.append(svg("line", { class: "axis", x1: left - 3, x2: left, y1: y(value), y2: y(value) }));
    }
    const group = svg("g", { class: "logo" });
    for (let column = from; column < to; column += 1) {
      const letter = letters[this.positionOf(column)]?.toUpperCase(), score = scores[column];
      if (score && this.data.alphabet.includes(letter)) group.append(glyph(letter, this.colourOf(letter), x(column), cell, y(0), y(score)));
    }
    shape.append(group, svg("line", { class: "axis", x1: left, x2: right, y1: y(0), y2: y(0) }));
  }

  heat(shape, top, line, x, cell, left, right) {
    const { data } = this, [from, to] = this.range;
    const rows = data.effects[this.sequence], largest = largestOf(rows, from, to), height = line * rows.length;
    const heading = this.view.room < 500 ? "Effects of mutations" : "What each mutation does to the prediction";
    const by = this.view.room < 700 ? "" : `  ${data.methods[data.effectsOf].label}`;
    shape.append(svg("text", { class: "heading", x: left, y: top - 7 }, heading, svg("tspan", { class: "detail" }, by)));
    shape.append(heatLegend(right, top - 8, largest));
    const picture = { class: "heat", x: left, y: top, width: right - left, height, preserveAspectRatio: "none" };
    shape.append(svg("image", { ...picture, href: heatPicture(rows, from, to, largest) }));
    [...data.alphabet].forEach((letter, index) => {
      shape.append(svg("text", { class: "tick", x: left - 5, y: top + (index + 0.5) * line + 4, "text-anchor": "end" }, letter));
    });
    if (cell < 6) return;
    for (let column = from; column < to; column += 1) {
      const index = data.alphabet.indexOf(data.strings[this.sequence][this.positionOf(column)]?.toUpperCase());
      if (index >= 0) shape.append(svg("circle", { class: "there", cx: x(column + 0.5), cy: top + (index + 0.5) * line, r: Math.min(3, cell * 0.3) }));
    }
  }

  lettersRow(shape, y, x, cell) {
    for (let column = this.range[0]; column < this.range[1]; column += 1) {
      const letter = this.data.strings[this.sequence][this.positionOf(column)] ?? "";
      const text = svg("text", { class: "letter", x: x(column) + cell / 2, y }, letter);
      shape.append(coloured(text, { fill: this.colourOf(letter.toUpperCase()) }));
    }
  }

  axis(shape, y, x, cell, left, right) {
    const [from, to] = this.range;
    shape.append(svg("line", { class: "axis", x1: left, x2: right, y1: y, y2: y }));
    const step = Math.max(1, niceStep(to - from, (right - left) / 60));
    for (let column = from; column < to; column += 1) {
      if (this.positionOf(column) % step !== 0) continue;
      const middle = x(column) + cell / 2;
      shape.append(svg("line", { class: "axis", x1: middle, x2: middle, y1: y, y2: y + 5 }));
      shape.append(svg("text", { class: "tick position", x: middle, y: y + 18, "text-anchor": "middle" }, String(this.positionOf(column))));
    }
    shape.append(svg("text", { class: "axis-title", x: (left + right) / 2, y: y + 36, "text-anchor": "middle" }, "position in the sequence (0-based)"));
  }

  sitesShown() {
    const [from, to] = this.range;
    return this.data.sites
      .filter((site) => site.sequence === this.sequence)
      .map((site) => ({ ...site, from: this.columnOf(site.start), to: this.columnOf(site.stop) }))
      .filter((site) => site.from < site.to && site.to > from && site.from < to)
      .sort((one, two) => one.from - two.from);
  }

  // Labels in as few lanes as keep them apart.
  packed(sites, left, right) {
    const [from, to] = this.range, cell = (right - left) / (to - from), ends = [], placed = [];
    for (const site of sites) {
      const arrow = { "+": " →", "-": " ←" }[site.strand] ?? "";
      const label = site.name.length > 24 ? `${site.name.slice(0, 23)}…` : site.name;
      const words = site.unread ? `[${label}${arrow}]` : `${label}${arrow}`, wide = 7.6 * words.length + 10;
      const start = Math.min(Math.max(left, left + (site.from - from) * cell), right - wide);
      let lane = ends.findIndex((end) => end <= start);
      if (lane < 0) lane = ends.length;
      ends[lane] = start + wide;
      placed.push({ site, words, x: start, lane });
    }
    return { count: ends.length, placed };
  }

  bands(shape, sites, lanes, top, bottom, x) {
    for (const site of sites) {
      const start = x(Math.max(site.from, this.range[0])), end = x(Math.min(site.to, this.range[1]));
      const colour = site.effect < 0 ? "var(--lowers)" : "var(--raises)";
      shape.append(coloured(svg("rect", { class: "site", x: start, y: top, width: end - start, height: bottom - top }), { fill: colour }));
      const edges = svg("path", { class: "site-edge", d: `M${start},${top}V${bottom}M${end},${top}V${bottom}` });
      shape.append(coloured(edges, { stroke: colour }));
    }
  }

  labels(shape, lanes) {
    for (const { site, words, x, lane } of lanes.placed) {
      const said = `${site.name}, strand ${site.strand}, positions ${site.start} to ${site.stop}, given as ${site.effect < 0 ? "lowering" : "raising"} the prediction${site.unread ? ", not read by the target" : ""}`;
      const text = svg("text", { class: "site-label", x, y: lane * LANE + 12 }, words, svg("title", {}, said));
      shape.append(coloured(text, { fill: site.effect < 0 ? "var(--lowers)" : "var(--raises)" }));
    }
  }

  // Column under the pointer.
  under(event) {
    const box = this.host.getBoundingClientRect();
    const column = this.view.from + (event.clientX - box.left - this.view.left) / this.view.cell;
    return Math.max(this.range[0], Math.min(this.range[1], column));
  }

  listen() {
    let start = null;
    fill(this.host, { tabindex: 0, role: "application", "aria-label": "Scores by position; arrow keys move a cursor" }, []);
    this.host.addEventListener("keydown", (event) => this.pressed(event));
    this.host.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      start = this.under(event);
      this.host.setPointerCapture(event.pointerId);
    });
    this.host.addEventListener("pointermove", (event) => {
      const at = this.under(event);
      if (start !== null && Math.abs(at - start) * this.view.cell > 4) this.select(start, at);
      else this.hover(at, event.clientX, event.clientY);
    });
    this.host.addEventListener("pointerup", (event) => {
      if (start === null) return;
      const at = this.under(event), [from, to] = [Math.min(start, at), Math.max(start, at)];
      start = null;
      this.selection.setAttribute("visibility", "hidden");
      if ((to - from) * this.view.cell > 8) this.show(Math.floor(from), Math.ceil(to));
      else this.hover(at, event.clientX, event.clientY);
    });
    const stop = () => {
      start = null;
      this.selection.setAttribute("visibility", "hidden");
      this.unmark();
    };
    this.host.addEventListener("pointercancel", stop);
    leaves(this.host, () => { if (start === null) this.unmark(); });
    this.host.addEventListener("dblclick", () => this.show(0, this.width));
    this.host.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? 0.8 : 1.25, this.under(event));
    }, { passive: false });
  }

  select(one, two) {
    hideTooltip();
    const [from, to] = [Math.floor(Math.min(one, two)), Math.ceil(Math.max(one, two))];
    this.cursorBox.setAttribute("visibility", "hidden");
    this.selection.setAttribute("visibility", "visible");
    this.selection.setAttribute("x", this.view.left + (from - this.view.from) * this.view.cell);
    this.selection.setAttribute("width", (to - from) * this.view.cell);
  }

  hover(at, clientX, clientY) {
    this.cursor = Math.min(this.range[1] - 1, Math.floor(at));
    this.mark(this.cursor);
    showTooltip(clientX, clientY, ...this.said(this.cursor));
  }

  mark(column) {
    const inside = column >= this.range[0] && column < this.range[1];
    this.cursorBox.setAttribute("x", this.view.left + (column - this.view.from) * this.view.cell);
    this.cursorBox.setAttribute("visibility", inside ? "visible" : "hidden");
  }

  unmark() {
    this.cursor = null;
    this.cursorBox.setAttribute("visibility", "hidden");
    hideTooltip();
  }

  said(column) {
    const { data } = this, position = this.positionOf(column);
    const letter = data.strings[this.sequence][position];
    const sites = data.sites.filter((site) => site.sequence === this.sequence && site.start <= position && position < site.stop);
    const rows = this.methods.map((method) => [method.label, numberText(method.observed[this.sequence][column])]);
    const content = [element("strong", {}, `position ${position}: ${letter}${sites.length ? ` (${sites.map((site) => site.name).join(", ")})` : ""}`), pairs(rows)];
    if (data.effects) {
      const effects = data.effects[this.sequence].map((row) => row[column] ?? 0);
      const shown = [...data.alphabet].map((other, index) => [other, effects[index]]).filter(([other]) => other !== letter.toUpperCase());
      if (shown.length > 5) shown.sort((one, two) => Math.abs(two[1]) - Math.abs(one[1])).splice(5);
      content.push(element("strong", {}, "effect of a mutation"), pairs(shown.map(([other, effect]) => [`${letter} → ${other}`, numberText(effect)])));
    }
    return content;
  }

  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { key, shiftKey } = event, sign = key === "ArrowLeft" ? -1 : 1;
    if (key === "+" || key === "=") this.zoom(0.5, this.cursor ?? undefined);
    else if (key === "-") this.zoom(2, this.cursor ?? undefined);
    else if (key === "Escape" || key === "0") this.show(0, this.width);
    else if ((key === "ArrowLeft" || key === "ArrowRight") && shiftKey) this.pan(sign * 0.25);
    else if (key === "ArrowLeft" || key === "ArrowRight") this.step(sign);
    else return;
    event.preventDefault();
  }

  step(sign) {
    const next = this.cursor === null ? Math.floor((this.range[0] + this.range[1]) / 2) : this.cursor + sign;
    this.cursor = Math.max(this.range[0], Math.min(this.range[1] - 1, next));
    this.mark(this.cursor);
    const box = this.host.getBoundingClientRect();
    showTooltip(box.left + this.view.left + (this.cursor + 1 - this.view.from) * this.view.cell, Math.max(box.top, 8), ...this.said(this.cursor));
  }

  rows() {
    const { data } = this, header = ["sequence", "position", "letter", ...this.methods.map((method) => method.name)];
    const letters = data.effects ? [...data.alphabet] : [];
    const body = data.positions.map((position, column) => [
      data.names[this.sequence], position, data.strings[this.sequence][position],
      ...this.methods.map((method) => method.observed[this.sequence][column]),
      ...letters.map((letter, index) => data.effects[this.sequence][index][column]),
    ]);
    return [[...header, ...letters.map((letter) => `effect_of_${letter}`)], ...body];
  }
}
