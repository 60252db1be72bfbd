// Numbers as text, axes, and the ticks on them.
const DASH = "–";

function numberText(value) {
  if (value === null || value === undefined) return DASH;
  const size = Math.abs(value);
  const plain = size === 0 || (size >= 0.001 && size < 1000);
  const text = plain ? value.toFixed(3) : value.toExponential(1).replace(/e\+?(-?)(\d)$/, "e$1 0$2").replace(" ", "");
  return text.replaceAll("-", "−");
}

function intervalText(found) {
  return found ? `${numberText(found[0])} (${numberText(found[1])} to ${numberText(found[2])})` : DASH;
}

function secondsText(seconds) {
  if (seconds === null) return DASH;
  return seconds >= 100 ? seconds.toFixed(0) : Number(seconds.toPrecision(3)).toString();
}

function tickText(value, step) {
  const decimals = Math.max(0, Math.min(6, -Math.floor(Math.log10(step) + 1e-9)));
  const size = Math.abs(value);
  const text = size > 0 && (step < 1e-4 || size >= 1e5) ? value.toExponential(1) : value.toFixed(decimals);
  return text.replaceAll("-", "−");
}

function linear(domain, range) {
  const slope = (range[1] - range[0]) / (domain[1] - domain[0] || 1);
  return (value) => range[0] + (value - domain[0]) * slope;
}

function logarithmic(domain, range) {
  const inner = linear(domain.map(Math.log10), range);
  return (value) => inner(Math.log10(value));
}

function niceStep(span, count) {
  const raw = span / Math.max(1, count) || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999) * power;
}

// At least the number of ticks that was asked for, at round values.
function linearTicks(low, high, count, least = 2) {
  const step = niceStep(high - low, count);
  const found = [];
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + step * 1e-9; index += 1) found.push(index * step);
  if (found.length < least && count < 20) return linearTicks(low, high, count + 2, least);
  return { step, values: found };
}

// Powers of ten, with 2 and 5 between them where the range is short.
function logTicks(low, high) {
  const factors = Math.log10(high / low) > 2.5 ? [1] : [1, 2, 5];
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const factor of factors) {
      const value = factor * 10 ** power;
      if (value >= low && value <= high) found.push(value);
    }
  }
  return found;
}

const DASHES = ["", "8 4", "8 3 2 3", "2 3", "8 3 2 3 2 3", "12 4", "4 2"];
const MARKERS = [
  (r) => `M${-r},0a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0z`,
  (r) => `M${-r},${-r}h${2 * r}v${2 * r}h${-2 * r}z`,
  (r) => `M0,${-1.2 * r}L${1.15 * r},${r}H${-1.15 * r}z`,
  (r) => `M0,${-1.3 * r}L${1.3 * r},0L0,${1.3 * r}L${-1.3 * r},0z`,
  (r) => `M0,${1.2 * r}L${1.15 * r},${-r}H${-1.15 * r}z`,
  (r) => `M${-r},${-r / 3}h${r * 2 / 3}v${-r * 2 / 3}h${r * 2 / 3}v${r * 2 / 3}h${r * 2 / 3}v${r * 2 / 3}h${-r * 2 / 3}v${r * 2 / 3}h${-r * 2 / 3}v${-r * 2 / 3}h${-r * 2 / 3}z`,
  (r) => `M${-r},${-r}L${r},${r}M${r},${-r}L${-r},${r}`,
];

function seriesColour(index) {
  return `var(--series-${index % 7})`;
}

function markerAt(index, x, y, size = 6) {
  const shape = svg("path", { d: MARKERS[index % 7](size), transform: `translate(${x} ${y})` });
  return coloured(shape, { fill: seriesColour(index), stroke: seriesColour(index), strokeWidth: index % 7 === 6 ? 2.5 : 0 });
}
