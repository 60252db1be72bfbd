// The numbers behind a figure, for readers who cannot see it or cannot point at it: a table, written when it is opened.
function offersNumbers(id, rows) {
  const details = byId(id), place = details.querySelector("div");
  const write = () => {
    if (!details.open) return;
    const [header, ...body] = rows();
    const head = element("tr", {}, ...header.map((name) => element("th", { scope: "col" }, name)));
    const lines = body.map(([first, ...cells]) => {
      const texts = cells.map((cell) => element("td", {}, typeof cell === "number" ? numberText(cell) : String(cell ?? DASH)));
      return element("tr", {}, element("th", { scope: "row" }, String(first)), ...texts);
    });
    place.replaceChildren(element("table", {}, element("thead", {}, head), element("tbody", {}, ...lines)));
  };
  details.addEventListener("toggle", write);
  return write;
}

function noNumbers(id) {
  byId(id).remove();
}
