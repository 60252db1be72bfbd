// Paper: it is light, definitions are unfolded, and it has every sequence that the reader chose for it.
class Paper {
  constructor(data, browser) {
    Object.assign(this, { data, browser, chosen: new Set() });
  }

  start() {
    window.addEventListener("beforeprint", () => this.begins());
    window.addEventListener("afterprint", () => this.ends());
    if (!this.browser.methods.length) return;
    const box = byId("on-paper"), all = byId("all-on-paper");
    box.addEventListener("change", () => {
      if (box.checked) this.chosen.add(this.browser.sequence);
      else this.chosen.delete(this.browser.sequence);
      this.shown();
    });
    all.addEventListener("click", () => {
      const everything = this.data.names.map((_, index) => index);
      this.chosen = new Set(this.chosen.size === everything.length ? [] : everything);
      this.shown();
    });
    this.browser.state.watch("sequence", () => this.shown());
    this.shown();
  }

  shown() {
    const { length } = this.data.names;
    byId("on-paper").checked = this.chosen.has(this.browser.sequence);
    byId("all-on-paper").textContent = this.chosen.size === length ? "None" : `All ${length}`;
    byId("paper-count").textContent = `Printed: ${this.chosen.size ? `${this.chosen.size} of ${length}` : "the one that is shown"}`;
  }

  // The figure that is shown stands for its sequence where that was chosen, or nothing was.
  begins() {
    this.opened = [...document.querySelectorAll("details:not(.numbers):not([open])")];
    for (const details of this.opened) details.open = true;
    printing = true;
    themeChanged();
    const { browser } = this, room = browser.host.clientWidth || 700;
    const others = [...this.chosen].filter((sequence) => sequence !== browser.sequence).sort((one, two) => one - two);
    const whole = [0, browser.width];
    byId("browser-paper").replaceChildren(...others.map((sequence) => element(
      "figure", { class: "figure" }, element("figcaption", {}, browser.caption(sequence, whole)), new SequenceFigure(browser, sequence, whole, room).shape,
    )));
    byId("browser-shown").classList.toggle("off-paper", this.chosen.size > 0 && !this.chosen.has(browser.sequence));
  }

  ends() {
    for (const details of this.opened ?? []) details.open = false;
    printing = false;
    themeChanged();
    byId("browser-paper").replaceChildren();
    byId("browser-shown").classList.remove("off-paper");
  }
}
