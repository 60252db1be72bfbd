// Labels beside what they name, placed where they hide nothing.
// Writes a name in the colour of its series, with a line to what it names where it stands far off.
function labelPoint(shape, name, index, x, y, placed, area, distances) {
  const text = coloured(svg("text", { class: "label", "text-anchor": "middle" }, shortened(name, 0.6 * (area.right - area.left))), { fill: seriesColour(index) });
  const box = place(shape, text, x, y, placed, area, distances, 0);
  const near = { x: Math.max(box.left, Math.min(x, box.right)), y: Math.max(box.top, Math.min(y, box.bottom)) };
  const gap = Math.hypot(near.x - x, near.y - y);
  if (gap > 20) {
    const start = 9 / gap;
    const line = svg("line", { class: "leader", x1: x + (near.x - x) * start, y1: y + (near.y - y) * start, x2: near.x, y2: near.y });
    text.before(coloured(line, { stroke: seriesColour(index) }));
  }
}

// Tries places around a point, near ones first, and takes the first that hides nothing.
function place(shape, text, x, y, placed, area, distances, first) {
  shape.append(text);
  const size = text.getBBox(), across = size.width / 2, along = size.height / 2;
  let best = null;
  for (const distance of distances) {
    for (let turn = 0; turn < 16; turn += 1) {
      const angle = first + (Math.PI * turn) / 8;
      const middle = { x: x + (distance + across) * Math.cos(angle), y: y - (distance + along) * Math.sin(angle) };
      const box = { left: middle.x - across, right: middle.x + across, top: middle.y - along, bottom: middle.y + along };
      const cost = placed.reduce((sum, other) => sum + overlap(box, other), 0) + 3 * (4 * across * along - overlap(box, area));
      if (best === null || cost < best.cost - 0.01) best = { cost, box, middle };
    }
  }
  text.setAttribute("x", best.middle.x);
  text.setAttribute("y", best.middle.y + along * 0.55);
  placed.push(best.box);
  return best.box;
}

function overlap(one, two) {
  const across = Math.min(one.right, two.right) - Math.max(one.left, two.left);
  const along = Math.min(one.bottom, two.bottom) - Math.max(one.top, two.top);
  return across > 0 && along > 0 ? across * along : 0;
}
