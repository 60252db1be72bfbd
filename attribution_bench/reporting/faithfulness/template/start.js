// Everything is drawn once; a test knows by the root element that the script came to its end.
const data = JSON.parse(byId("data").textContent);
const state = new State(data);
startTheme(state);
startTooltip();
startTable(data);
startPlane(data, state);
startMatrix(data, state);
startCurves(data);
const browser = new SequenceBrowser(data, state);
browser.start();
new Paper(data, browser).start();
root.dataset.ready = "true";
