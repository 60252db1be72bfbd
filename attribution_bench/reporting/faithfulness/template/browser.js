// The stored scores by sequence: which sequence and which positions are shown, and what is said of them.
const LEAST_SHOWN = 4;

class SequenceBrowser {
  constructor(data, state) {
    Object.assign(this, { data, state, cursor: null });
    this.methods = data.methods.map((method, index) => ({ ...method, index })).filter((method) => method.observed);
    this.width = data.positions.length;
    this.colourOf = letterColours(data.alphabet);
    this.host = byId("browser-figure");
    this.laneCounts = new Map();
    this.sites = data.names.map(() => []);
    for (const site of data.sites) this.sites[site.sequence].push(site);
  }

  get sequence() {
    return this.state.values.sequence;
  }

  // Columns that are shown; the state holds positions, which not all are scored.
  get range() {
    const { range } = this.state.values;
    return range ? this.limited(this.columnOf(range[0]), this.columnOf(range[1])) : [0, this.width];
  }

  start() {
    if (!this.methods.length) {
      isEmpty(this.host, "No scores are stored beside this evaluation.");
      byId("browser-controls").remove();
      noNumbers("browser-numbers");
      return;
    }
    options(byId("sequence"), this.data.names.map((name, index) => [index, `${index + 1}. ${name}`]), this.sequence);
    this.redraw = drawsInto(this.host, (room) => this.draw(room));
    // Scrolled to in the next frame: what moves in this one was not seen yet.
    const scroll = () => byId("browser").scrollIntoView({ behavior: "instant" });
    if (this.state.linked) requestAnimationFrame(() => requestAnimationFrame(scroll));
    themeListeners.push(this.redraw);
    const write = offersNumbers("browser-numbers", () => this.rows());
    this.state.watch("sequence", () => { this.cursor = null; });
    this.state.watch("sequence range", () => {
      leaveAll();
      this.redraw();
      write();
    });
    offersData("browser-data", "scores.csv", () => this.rows());
    listenToControls(this);
    listenToFigure(this);
    const left = this.data.count - this.data.names.length;
    byId("browser-note").textContent = [
      "Heights are scores; each method has its own scale, which follows the range that is shown. In the heat map, red raises the prediction and blue lowers it. Drag over the letters to zoom in; double-click or Reset to leave; Ctrl and the wheel zoom too. With the figure focused, arrow keys move a cursor, Shift and arrows the range, + and − zoom, Escape leaves.",
      this.data.sites.length ? "Red bands (▲) are sites that are given as raising the prediction, blue ones (▼) as lowering it." : "",
      this.data.sites.some((site) => site.unread) ? "Sites in brackets are not read by the target: no single substitution there changes the prediction by more than rounding." : "",
      left > 0 ? `The first ${this.data.names.length} of ${this.data.count} sequences are on this page; scores/ has all of them.` : "",
    ].filter(Boolean).join(" ");
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

  // Lanes of names that the sequence with the most of them takes.
  lanes(left, right) {
    const whole = [0, this.width], key = right - left;
    if (!this.laneCounts.has(key)) {
      const count = (sites) => packedSites(sitesWithin(sites, whole, (at) => this.columnOf(at)), whole, left, right).count;
      this.laneCounts.set(key, this.sites.reduce((most, sites) => Math.max(most, count(sites)), 0));
    }
    return this.laneCounts.get(key);
  }

  chooseSequence(sequence) {
    this.state.choose({ sequence: Math.max(0, Math.min(this.data.names.length - 1, sequence)) });
  }

  // The range as the state holds it: positions, or null for all of them.
  positions(from, to) {
    const [start, end] = this.limited(from, to);
    return { range: end - start === this.width ? null : [this.positionOf(start), this.endOf(end)] };
  }

  show(from, to) {
    this.state.choose(this.positions(from, to));
  }

  zoomed(factor, centre = (this.range[0] + this.range[1]) / 2) {
    const [from, to] = this.range;
    return [centre - (centre - from) * factor, centre + (to - centre) * factor];
  }

  pan(share) {
    const [from, to] = this.range, step = Math.round(share * (to - from)) || Math.sign(share);
    this.show(from + step, to + step);
  }

  draw(room) {
    const { data, range: [from, to] } = this;
    this.figure = new SequenceFigure(this, this.sequence, [from, to], room);
    const { shape, bottom, cell } = this.figure;
    this.cursorBox = svg("rect", { class: "cursor", y: 0, height: bottom, width: Math.max(cell, 1), visibility: "hidden" });
    this.selection = svg("rect", { class: "selection", y: 0, height: bottom, width: 0, visibility: "hidden" });
    shape.append(this.cursorBox, this.selection);
    this.host.replaceChildren(shape);
    byId("sequence").value = this.sequence;
    byId("previous").disabled = this.sequence === 0;
    byId("next").disabled = this.sequence === data.names.length - 1;
    const whole = to - from === this.width;
    for (const name of ["zoom-out", "pan-left", "pan-right", "reset"]) byId(name).disabled = whole;
    byId("zoom-in").disabled = to - from <= LEAST_SHOWN;
    byId("browser-caption").textContent = this.caption(this.sequence, [from, to]);
    if (this.cursor !== null) this.mark(this.cursor);
  }

  caption(sequence, [from, to]) {
    const { data } = this;
    return `${data.names[sequence]}: positions ${this.positionOf(from)} to ${this.endOf(to)} of ${data.strings[sequence].length} letters (0-based, half-open); the model predicts ${numberText(data.predictions[sequence])}.`;
  }

  mark(column) {
    const [from, to] = this.range, inside = column >= from && column < to;
    fill(this.cursorBox, { x: this.figure.x(column), visibility: inside ? "visible" : "hidden" }, []);
  }

  unmark() {
    this.cursor = null;
    this.cursorBox.setAttribute("visibility", "hidden");
    leaveAll();
  }

  said(column) {
    const { data } = this, position = this.positionOf(column);
    const letter = data.strings[this.sequence][position];
    const sites = this.sites[this.sequence].filter((site) => site.start <= position && position < site.stop);
    const rows = this.methods.map((method) => [method.label, numberText(method.observed[this.sequence][column])]);
    const content = [element("strong", {}, `position ${position}: ${letter}${sites.length ? ` (${sites.map((site) => site.name).join(", ")})` : ""}`), pairs(rows)];
    if (data.effects) {
      const effects = data.effects[this.sequence].map((row) => row[column] ?? 0);
      const shown = [...data.alphabet].map((other, index) => [other, effects[index]]).filter(([other]) => other !== letter.toUpperCase());
      if (shown.length > 5) shown.sort((one, two) => Math.abs(two[1]) - Math.abs(one[1])).splice(5);
      content.push(element("strong", {}, "change of the prediction"), pairs(shown.map(([other, effect]) => [`${letter} → ${other}`, numberText(effect)])));
    }
    return content;
  }

  rows() {
    const { data, sequence } = this, header = ["position", "letter", ...this.methods.map((method) => method.name)];
    const letters = data.effects ? [...data.alphabet] : [];
    const body = data.positions.map((position, column) => [
      position, data.strings[sequence][position],
      ...this.methods.map((method) => method.observed[sequence][column]),
      ...letters.map((letter, index) => data.effects[sequence][index][column]),
      data.names[sequence],
    ]);
    return [[...header, ...letters.map((letter) => `change_by_${letter}`), "sequence"], ...body];
  }
}
