// One sequence: logos of every method under each other, with sites and the effects of every mutation, over one axis of
// positions. Columns are places among the scored positions; `x` turns them into pixels.
class SequenceFigure {
  constructor(browser, sequence, range, room) {
    const { data, methods } = browser;
    Object.assign(this, { browser, data, methods, sequence, range, room });
    this.left = room < 500 ? 40 : 60;
    this.right = room - 6;
    this.cell = (this.right - this.left) / (range[1] - range[0]);
    this.shape = this.drawn();
  }

  x(column) {
    return this.left + (column - this.range[0]) * this.cell;
  }

  // The height depends on the room alone, so that nothing moves when another sequence or range is shown.
  drawn() {
    const { data, room, range, left, right } = this, browser = this.browser;
    const x = (column) => this.x(column);
    const sites = sitesWithin(browser.sites[this.sequence], range, (position) => browser.columnOf(position));
    const lanes = packedSites(sites, range, left, right), high = room < 500 ? 62 : 76;
    const above = Math.max(lanes.count, browser.lanes(left, right)) * LANE;
    let y = above + (above ? 6 : 0);
    const panels = this.methods.map(() => {
      const panel = [y + 20, y + 20 + high];
      y += 20 + high + 8;
      return panel;
    });
    const heatTop = y + (room < 700 ? 38 : 22), line = data.alphabet.length > 6 ? 11 : 15;
    if (data.effects) y = heatTop + line * data.alphabet.length + 6;
    const bottom = y;
    this.height = bottom + 62;
    this.bottom = bottom + 16;
    const shape = drawing(room, this.height, `Scores of every method for ${data.names[this.sequence]}`, [...sites.map(siteText), ...this.methods.map((method) => this.peak(method))]);
    for (const [place, [top, base]] of panels.entries()) siteBands(shape, sites, range, place === 0 ? above : top - 4, base + 4, x);
    if (data.effects && sites.length) siteBands(shape, sites, range, heatTop - 2, bottom - 4, x);
    siteLabels(shape, lanes);
    this.methods.forEach((method, place) => this.logo(shape, method, panels[place]));
    if (data.effects) this.heat(shape, heatTop, line);
    if (this.cell >= 9) this.lettersRow(shape, bottom + 10);
    this.axis(shape, bottom + 18);
    return shape;
  }

  // Where a method's highest score in the range is, for those who cannot see it.
  peak(method) {
    const scores = method.observed[this.sequence], [from, to] = this.range;
    let best = from;
    for (let column = from; column < to; column += 1) if ((scores[column] ?? -Infinity) > (scores[best] ?? -Infinity)) best = column;
    return `${method.label}: highest score ${numberText(scores[best])} at position ${this.browser.positionOf(best)}`;
  }

  logo(shape, method, [top, base]) {
    const { left, right, cell, data } = this, [from, to] = this.range;
    const scores = method.observed[this.sequence], letters = data.strings[this.sequence];
    shape.append(this.title(method, left, top - 6));
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
    if (this.room >= 500) shape.append(svg("text", { class: "axis-title", transform: `translate(10 ${(top + base) / 2}) rotate(-90)`, "text-anchor": "middle" }, "score"));
    const group = svg("g", { class: "logo" });
    for (let column = from; column < to; column += 1) {
      const letter = letters[this.browser.positionOf(column)]?.toUpperCase(), score = scores[column];
      if (score && data.alphabet.includes(letter)) group.append(glyph(letter, this.browser.colourOf(letter), this.x(column), cell, y(0), y(score)));
    }
    shape.append(group, svg("line", { class: "axis", x1: left, x2: right, y1: y(0), y2: y(0) }));
  }

  title(method, x, y) {
    const metric = this.data.metrics.find((entry) => entry.name === this.data.headline);
    const value = metric ? method.values[metric.name]?.[this.sequence] : null;
    const detail = !metric || value === undefined || value === null || method.references.includes(metric.name) ? "" : `  ${metric.label} ${numberText(value)}`;
    return svg("text", { class: "heading", x, y }, shortened(method.label, 0.55 * (this.right - x)), svg("tspan", { class: "detail" }, detail));
  }

  heat(shape, top, line) {
    const { data, left, right, cell } = this, [from, to] = this.range;
    const rows = data.effects[this.sequence], largest = largestOf(rows, from, to), height = line * rows.length;
    const narrow = this.room < 700, by = `  ${shortened(data.methods[data.effectsOf].label, 0.4 * (right - left))}`;
    shape.append(svg("text", { class: "heading", x: left, y: top - (narrow ? 23 : 7) }, "Every mutation", svg("tspan", { class: "detail" }, by)));
    shape.append(heatLegend(right, top - 8, largest));
    const picture = { class: "heat", x: left, y: top, width: right - left, height, preserveAspectRatio: "none" };
    shape.append(svg("image", { ...picture, href: heatPicture(rows, from, to, largest) }));
    [...data.alphabet].forEach((letter, index) => {
      shape.append(svg("text", { class: "tick", x: left - 5, y: top + (index + 0.5) * line + 4, "text-anchor": "end" }, letter));
    });
    if (cell < 6) return;
    for (let column = from; column < to; column += 1) {
      const index = data.alphabet.indexOf(data.strings[this.sequence][this.browser.positionOf(column)]?.toUpperCase());
      if (index >= 0) shape.append(svg("circle", { class: "there", cx: this.x(column + 0.5), cy: top + (index + 0.5) * line, r: Math.min(3, cell * 0.3) }));
    }
  }

  lettersRow(shape, y) {
    for (let column = this.range[0]; column < this.range[1]; column += 1) {
      const letter = this.data.strings[this.sequence][this.browser.positionOf(column)] ?? "";
      shape.append(svg("text", { class: "letter", x: this.x(column) + this.cell / 2, y }, letter));
    }
  }

  axis(shape, y) {
    const { left, right, cell } = this, [from, to] = this.range;
    shape.append(svg("line", { class: "axis", x1: left, x2: right, y1: y, y2: y }));
    const step = Math.max(1, niceStep(to - from, (right - left) / 60));
    for (let column = from; column < to; column += 1) {
      const position = this.browser.positionOf(column);
      if (position % step !== 0) continue;
      const middle = this.x(column) + cell / 2;
      shape.append(svg("line", { class: "axis", x1: middle, x2: middle, y1: y, y2: y + 5 }));
      shape.append(svg("text", { class: "tick position", x: middle, y: y + 18, "text-anchor": "middle" }, String(position)));
    }
    shape.append(svg("text", { class: "axis-title", x: (left + right) / 2, y: y + 36, "text-anchor": "middle" }, "position in the sequence (0-based)"));
  }
}
