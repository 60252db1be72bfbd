// Letters by positions as a picture of one pixel a cell, which the page stretches.
function heatPicture(rows, from, to, largest) {
  const canvas = document.createElement("canvas");
  canvas.width = to - from;
  canvas.height = rows.length;
  const context = canvas.getContext("2d"), picture = context.createImageData(canvas.width, canvas.height);
  rows.forEach((row, line) => {
    for (let column = from; column < to; column += 1) {
      picture.data.set([...divergingColour(row[column] ?? 0, largest), 255], 4 * (line * canvas.width + column - from));
    }
  });
  context.putImageData(picture, 0, 0);
  return canvas.toDataURL();
}

function largestOf(rows, from, to) {
  let largest = 0;
  for (const row of rows) for (let column = from; column < to; column += 1) largest = Math.max(largest, Math.abs(row[column] ?? 0));
  return largest;
}

// Left of the bar stands the lowest value, right of it the highest, before both what they are.
function heatLegend(right, y, largest) {
  const wide = 70, group = svg("g", { class: "heat-legend" });
  const steps = [-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1];
  group.append(svg("text", { class: "tick", x: right, y, "text-anchor": "end" }, `+${numberText(largest)}`));
  const edge = right - 48;
  steps.forEach((share, index) => {
    const box = svg("rect", { x: edge - wide + (index * wide) / steps.length, y: y - 9, width: wide / steps.length + 0.3, height: 9 });
    group.append(coloured(box, { fill: `rgb(${divergingColour(share, 1)})` }));
  });
  group.append(svg("text", { class: "tick", x: edge - wide - 5, y, "text-anchor": "end" }, `change of the prediction: −${numberText(largest)}`));
  return group;
}
