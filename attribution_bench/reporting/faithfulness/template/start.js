// Everything is drawn once; a test knows by the root element that the script came to its end.
const data = JSON.parse(byId("data").textContent);
startTheme();
startTable(data);
startPlane(data);
startMatrix(data);
startCurves(data);
new SequenceBrowser(data).start();
root.dataset.ready = "true";
