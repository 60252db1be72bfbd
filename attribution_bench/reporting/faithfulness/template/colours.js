// Colours of areas: red raises the prediction, blue lowers it, the page's own colour is 0; agreement has one hue.
function channels(name) {
  const colour = data.palette[name][isDark() ? 1 : 0];
  return [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));
}

function between(start, end, part) {
  return start.map((channel, index) => Math.round(channel + (end[index] - channel) * part));
}

function divergingColour(value, largest) {
  const share = largest ? Math.max(-1, Math.min(1, value / largest)) : 0;
  return between(channels("page"), channels(share < 0 ? "lowers" : "raises"), Math.abs(share) ** 0.8);
}

// From the smallest value that is shown to the largest.
function sequentialColour(value, [least, most]) {
  return between(channels("least"), channels("most"), most > least ? (value - least) / (most - least) : 0.5);
}

function luminance(colour) {
  const [red, green, blue] = colour.map((channel) => {
    const share = channel / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

// Black or white, whichever has more contrast, which is at least 4.58.
function readableOn(colour) {
  return luminance(colour) > 0.179 ? "#000000" : "#ffffff";
}

// A strip of colours with what it stands for, its least and its largest value.
function colourBar(what, least, most, colourAt) {
  const steps = 9, wide = 90, bar = svg("svg", { width: wide, height: 10, "aria-hidden": "true" });
  for (let step = 0; step < steps; step += 1) {
    const box = svg("rect", { x: (step * wide) / steps, y: 0, width: wide / steps + 0.4, height: 10 });
    bar.append(coloured(box, { fill: `rgb(${colourAt(step / (steps - 1))})` }));
  }
  return element("span", { class: "colour-bar" }, `${what}:`, element("span", {}, least), bar, element("span", {}, most));
}
