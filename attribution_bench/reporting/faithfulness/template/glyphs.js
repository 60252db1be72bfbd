// Outlines of letters in a box of 100 by 100, so that a letter fills its cell whatever its size.
const BOX = 100;
const OUTLINES = {
  A: "M0,100L37,0H63L100,100H77L69,76H31L23,100ZM37,58H63L50,18Z",
  C: "M100,35C96,13 79,0 53,0C20,0 0,20 0,50C0,80 20,100 53,100C79,100 96,87 100,65L77,60C75,74 66,82 53,82C34,82 23,70 23,50C23,30 34,18 53,18C66,18 75,26 77,40Z",
  G: "M100,33C96,12 79,0 53,0C20,0 0,20 0,50C0,80 20,100 53,100C74,100 91,93 100,81V46H53V63H78V73C73,79 65,82 54,82C34,82 23,70 23,50C23,30 34,18 53,18C66,18 74,25 77,38Z",
  T: "M0,0H100V19H61.5V100H38.5V19H0Z",
  U: "M0,0H23V60C23,75 33,82 50,82C67,82 77,75 77,60V0H100V62C100,87 82,100 50,100C18,100 0,87 0,62Z",
};
const NARROW = 3;
const LEAST_INK = 0.45;
const inkBoxes = new Map();

// Colour of each letter, by its place in the alphabet.
function letterColours(alphabet) {
  const names = new Map([...alphabet].map((letter, index) => [letter, `var(--letter-${index})`]));
  return (letter) => names.get(letter) ?? "var(--quiet)";
}

// Where the ink of a letter lies around its origin, so that text can be stretched to fill a cell.
function inkBox(letter) {
  if (!inkBoxes.has(letter)) {
    const context = document.createElement("canvas").getContext("2d");
    context.font = `bold ${BOX}px sans-serif`;
    const ink = context.measureText(letter);
    const inkWidth = ink.actualBoundingBoxRight + ink.actualBoundingBoxLeft || BOX;
    // A stroke as slender as an I would otherwise become a block.
    const width = Math.max(inkWidth, LEAST_INK * BOX), left = -ink.actualBoundingBoxLeft - (width - inkWidth) / 2;
    const top = -ink.actualBoundingBoxAscent, height = ink.actualBoundingBoxDescent - top || BOX;
    inkBoxes.set(letter, { left, top, width, height });
  }
  return inkBoxes.get(letter);
}

// A letter from `base` (its score of 0) to `tip`, head down where the tip lies below the base.
function glyph(letter, colour, x, width, base, tip) {
  const gap = Math.min(1, width * 0.05);
  const left = x + gap / 2, across = width - gap, along = base - tip;
  if (width < NARROW) {
    const bar = svg("rect", { class: "glyph", x, y: Math.min(base, tip), width: Math.max(width, 1), height: Math.max(Math.abs(along), 0.4) });
    return coloured(bar, { fill: colour });
  }
  if (OUTLINES[letter]) {
    const place = `matrix(${across / BOX} 0 0 ${along / BOX} ${left} ${tip})`;
    return coloured(svg("path", { class: "glyph", d: OUTLINES[letter], "fill-rule": "evenodd", transform: place }), { fill: colour });
  }
  const ink = inkBox(letter), wide = across / ink.width, high = along / ink.height;
  const place = `matrix(${wide} 0 0 ${high} ${left - ink.left * wide} ${tip - ink.top * high})`;
  const text = svg("text", { class: "glyph", transform: place }, letter);
  return coloured(text, { fill: colour, fontFamily: "sans-serif", fontWeight: "bold", fontSize: `${BOX}px` });
}
