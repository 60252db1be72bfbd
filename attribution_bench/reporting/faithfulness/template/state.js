// What the reader chose. It stands in the address, so that a link leads there, and in the history, so that Back undoes it:
// #sequence=NAME&range=20-60&metric=auroc&agreement=spearman&theme=dark. Positions are 0-based and half-open.
class State {
  constructor(data) {
    this.data = data;
    this.watchers = [];
    this.values = { sequence: 0, range: null, metric: null, agreement: null, theme: null };
    const { values, unknown } = this.read();
    Object.assign(this.values, values);
    this.linked = "sequence" in values || "range" in values;
    this.tell(unknown);
    this.keep("replaceState");
    window.addEventListener("popstate", (event) => this.restore(event.state));
  }

  // Calls an action when any of the named values has changed.
  watch(names, action) {
    this.watchers.push([names.split(" "), action]);
  }

  // A choice that Back undoes.
  choose(changes) {
    if (this.change(changes)) this.keep("pushState", this.address());
    this.tell([]);
  }

  // A step of a movement, such as one turn of a wheel: the address follows, Back does not stop at it.
  adjust(changes) {
    if (this.change(changes)) this.keep("replaceState", this.address());
  }

  // An entry that this page did not make comes from a link to a section or from an address that was typed.
  restore(stored) {
    const { values, unknown } = stored ? { values: stored, unknown: [] } : this.read();
    this.change(values);
    this.keep("replaceState");
    this.tell(unknown);
  }

  change(changes) {
    const changed = Object.keys(changes).filter((name) => String(changes[name]) !== String(this.values[name]));
    Object.assign(this.values, changes);
    for (const [names, action] of this.watchers) if (names.some((name) => changed.includes(name))) action();
    return changed.length > 0;
  }

  keep(how, address = null) {
    // A page opened from a file may not be allowed to change its address.
    try { window.history[how]({ ...this.values }, "", address); } catch { /* stays as it is */ }
  }

  address() {
    const { sequence, range, metric, agreement, theme } = this.values, { names } = this.data;
    const name = names[sequence], found = new URLSearchParams();
    if (names.indexOf(name) === names.lastIndexOf(name)) found.set("sequence", name);
    else found.set("number", sequence + 1);
    if (range) found.set("range", range.join("-"));
    for (const [key, value] of Object.entries({ metric, agreement, theme })) if (value) found.set(key, value);
    return `#${found}`;
  }

  // The values that the address names, and a sentence for each that this page does not have.
  read() {
    const given = new URLSearchParams(window.location.hash.slice(1)), values = {}, unknown = [];
    const known = (key, list, what) => {
      if (!given.has(key)) return;
      if (list.includes(given.get(key))) values[key] = given.get(key);
      else unknown.push(`${what} “${given.get(key)}” is not on this page.`);
    };
    this.readSequence(given, values, unknown);
    if (given.has("range")) {
      const ends = /^(\d+)-(\d+)$/.exec(given.get("range"));
      if (ends && Number(ends[1]) < Number(ends[2])) values.range = [Number(ends[1]), Number(ends[2])];
      else unknown.push(`The range “${given.get("range")}” is not of the form 20-60; all positions are shown.`);
    }
    known("metric", this.data.metrics.map((metric) => metric.name), "The metric");
    known("agreement", this.data.pairMetrics.map((metric) => metric.name), "The agreement");
    known("theme", ["light", "dark"], "The theme");
    return { values, unknown };
  }

  // By name; a number counts sequences from 1, and links of earlier releases have one in the place of the name.
  readSequence(given, values, unknown) {
    const key = given.has("sequence") ? "sequence" : "number", { names, count } = this.data;
    if (!given.has(key)) return;
    const wanted = given.get(key), number = /^\d+$/.test(wanted) ? Number(wanted) - 1 : -1;
    const place = key === "sequence" && names.includes(wanted) ? names.indexOf(wanted) : number;
    if (place >= 0 && place < names.length) values.sequence = place;
    else unknown.push(`No sequence named “${wanted}” is among the ${names.length}${count > names.length ? ` of ${count}` : ""} on this page; the first is shown.`);
    if (!("sequence" in values)) values.sequence = 0;
    if (!given.has("range")) values.range = null;
  }

  // Stays in view until the next choice, and takes no room from the page.
  tell(sentences) {
    const box = byId("notice");
    box.textContent = sentences.join(" ");
    box.hidden = !sentences.length;
  }
}
