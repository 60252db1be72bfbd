// What the reader does to the sequences: buttons, the pointer, the wheel and keys. All of it is listened to once.
function listenToControls(browser) {
  const click = (name, action) => byId(name).addEventListener("click", action);
  byId("sequence").addEventListener("change", (event) => browser.chooseSequence(Number(event.target.value)));
  click("previous", () => browser.chooseSequence(browser.sequence - 1));
  click("next", () => browser.chooseSequence(browser.sequence + 1));
  click("zoom-in", () => browser.show(...browser.zoomed(0.5)));
  click("zoom-out", () => browser.show(...browser.zoomed(2)));
  click("pan-left", () => browser.pan(-0.5));
  click("pan-right", () => browser.pan(0.5));
  click("reset", () => browser.show(0, browser.width));
}

function listenToFigure(browser) {
  const { host } = browser;
  let start = null;
  fill(host, { tabindex: 0, role: "application", "aria-label": "Scores by position; arrow keys move a cursor, plus and minus zoom" }, []);
  const dragged = (at) => start !== null && Math.abs(at - start) * browser.figure.cell > 4;
  const hover = (at) => {
    browser.cursor = Math.min(browser.range[1] - 1, Math.floor(at));
    browser.mark(browser.cursor);
    return browser.said(browser.cursor);
  };
  const stop = () => {
    start = null;
    browser.selection.setAttribute("visibility", "hidden");
  };
  pointsAt(host, (event) => {
    const at = columnUnder(browser, event);
    return dragged(at) ? [] : hover(at);
  }, () => {
    browser.cursor = null;
    browser.cursorBox.setAttribute("visibility", "hidden");
  });
  host.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    start = columnUnder(browser, event);
    host.setPointerCapture(event.pointerId);
  });
  host.addEventListener("pointermove", (event) => {
    const at = columnUnder(browser, event);
    if (dragged(at)) selectRange(browser, start, at);
  });
  host.addEventListener("pointerup", (event) => {
    if (start === null) return;
    const at = columnUnder(browser, event), [from, to] = [Math.min(start, at), Math.max(start, at)];
    stop();
    if ((to - from) * browser.figure.cell > 8) browser.show(Math.floor(from), Math.ceil(to));
  });
  host.addEventListener("pointercancel", () => { stop(); browser.unmark(); });
  host.addEventListener("dblclick", () => browser.show(0, browser.width));
  host.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    browser.state.adjust(browser.positions(...browser.zoomed(event.deltaY < 0 ? 0.8 : 1.25, columnUnder(browser, event))));
  }, { passive: false });
  host.addEventListener("keydown", (event) => pressed(browser, event));
}

// Column under the pointer, with its fraction.
function columnUnder({ host, figure, range: [from, to] }, event) {
  const column = from + (event.clientX - host.getBoundingClientRect().left - figure.left) / figure.cell;
  return Math.max(from, Math.min(to, column));
}

function selectRange(browser, one, two) {
  const { figure, selection } = browser;
  const [from, to] = [Math.floor(Math.min(one, two)), Math.ceil(Math.max(one, two))];
  browser.unmark();
  fill(selection, { visibility: "visible", x: figure.x(from), width: (to - from) * figure.cell }, []);
}

function pressed(browser, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { key, shiftKey } = event, sign = key === "ArrowLeft" ? -1 : 1, centre = browser.cursor ?? undefined;
  if (key === "+" || key === "=") browser.show(...browser.zoomed(0.5, centre));
  else if (key === "-") browser.show(...browser.zoomed(2, centre));
  else if (key === "Escape" || key === "0") browser.show(0, browser.width);
  else if ((key === "ArrowLeft" || key === "ArrowRight") && shiftKey) browser.pan(sign * 0.25);
  else if (key === "ArrowLeft" || key === "ArrowRight") step(browser, sign);
  else return;
  event.preventDefault();
}

function step(browser, sign) {
  const [from, to] = browser.range, { figure, host } = browser;
  const next = browser.cursor === null ? Math.floor((from + to) / 2) : browser.cursor + sign;
  browser.cursor = Math.max(from, Math.min(to - 1, next));
  browser.mark(browser.cursor);
  const box = host.getBoundingClientRect();
  showTooltip(box.left + figure.x(browser.cursor + 1), Math.max(box.top, 8), ...browser.said(browser.cursor));
}
