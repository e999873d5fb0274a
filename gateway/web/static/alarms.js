// The list of open alarms, worst first, and the acknowledging of them.

import { age, clock, iso, put } from "./words.js";

// A button that has just come to lie under a finger is not the one that the finger was meant for. It counts after a moment; at
// most so many moments in a while, so that alarms without end cannot keep anybody from acknowledging.
const SETTLES_MS = 500;
const SETTLES_MOST = 4;
const SETTLES_WITHIN_MS = 5_000;
const PRIORITIES = ["high", "medium", "low"];
const field = (element, name) => element.querySelector(`[data-field=${name}]`);
const unseen = (alert) => alert.acknowledged_ms === null || alert.acknowledged_ms === undefined;

function before(a, b) {
  return (
    Number(!unseen(a)) - Number(!unseen(b)) ||
    PRIORITIES.indexOf(a.priority) - PRIORITIES.indexOf(b.priority) ||
    Number(Boolean(a.technical)) - Number(Boolean(b.technical)) ||
    b.raised_ms - a.raised_ms
  );
}

export class Alarms {
  /** parts: the page's elements {list, template, count, calm, said, cried}; nameOf: a home's name by device. */
  constructor(parts, nameOf) {
    Object.assign(this, parts);
    this.nameOf = nameOf;
    this.alerts = new Map();
    this.elements = new Map();
    this.ready = false; // whether the alarms that were there before have been told
    for (const element of this.list.children) this.elements.set(element.dataset.alert, element);
    this.moves = [];
    this.list.addEventListener("submit", (event) => this.submit(event));
    this.list.addEventListener("click", (event) => {
      const pointed = event.detail > 0; // a keyboard's press goes to what has the focus, wherever it is
      if (pointed && this.list.dataset.settling && event.target.closest("button")) event.preventDefault();
    });
  }

  /** The open alarms of a snapshot; others are over. */
  reset(alerts) {
    const open = new Set(alerts.map((alert) => alert.id));
    for (const id of this.elements.keys()) if (!open.has(id)) this.drop(id);
    for (const alert of alerts) this.keep(alert);
    this.arrange();
    this.ready = true;
  }

  take(alert) {
    if (alert.open) this.keep(alert);
    else {
      if (this.alerts.has(alert.id)) put(this.said, `Over: ${alert.text}, ${this.home(alert)}`);
      this.drop(alert.id);
    }
    this.arrange();
  }

  keep(alert) {
    const known = this.alerts.get(alert.id);
    this.alerts.set(alert.id, alert);
    let element = this.elements.get(alert.id);
    if (!element) {
      element = this.template.content.firstElementChild.cloneNode(true);
      element.dataset.alert = alert.id;
      element.querySelector("form").action = `/alerts/${encodeURIComponent(alert.id)}/acknowledge`;
      this.elements.set(alert.id, element);
      this.list.append(element);
      this.moved();
    }
    this.fill(element, alert);
    if (!known && this.ready && unseen(alert)) {
      const where = alert.priority === "high" ? this.cried : this.said;
      put(where, `${alert.priority} alarm: ${alert.text}, ${this.home(alert)}`);
    }
  }

  home(alert) {
    return this.nameOf(alert.device) ?? alert.home;
  }

  fill(element, alert) {
    const done = !unseen(alert);
    element.dataset.priority = alert.priority;
    element.dataset.acknowledged = String(done);
    put(field(element, "mark"), alert.mark);
    put(field(element, "text"), alert.text);
    put(field(element, "label"), alert.label);
    const home = field(element, "home");
    put(home, this.home(alert));
    home.setAttribute("href", `#home-${encodeURIComponent(alert.device)}`);
    field(element, "simulated").hidden = !alert.simulated;
    const since = field(element, "since");
    put(since, clock(alert.since_ms));
    since.dateTime = iso(alert.since_ms);
    const todo = field(element, "todo");
    put(todo, alert.todo);
    todo.hidden = done || !alert.todo;
    const by = field(element, "by");
    by.hidden = !done;
    delete by.dataset.failed;
    if (done) put(by, `Acknowledged at ${clock(alert.acknowledged_ms)} by ${alert.acknowledged_by || "somebody"}`);
    const form = element.querySelector("form");
    const focused = form.contains(document.activeElement);
    form.hidden = done;
    const button = form.querySelector("button");
    button.ariaDisabled = "false";
    put(button, "Acknowledge");
    button.setAttribute("aria-label", `Acknowledge: ${alert.text}, ${this.home(alert)}`);
    if (done && focused) this.focusNext();
  }

  /** After an acknowledging by keyboard: on to the next alarm, or to the list. */
  focusNext() {
    const next = this.list.querySelector("form:not([hidden]) button");
    (next ?? document.getElementById("alarms")).focus({ preventScroll: true });
  }

  drop(id) {
    const element = this.elements.get(id);
    const focused = element?.contains(document.activeElement);
    element?.remove();
    this.moved();
    this.elements.delete(id);
    this.alerts.delete(id);
    if (focused) this.focusNext();
  }

  /** Something took another place in the list: for a moment, no press counts. */
  moved() {
    const now = performance.now();
    this.moves = this.moves.filter((at) => now - at < SETTLES_WITHIN_MS);
    if (this.moves.length >= SETTLES_MOST || now - this.moves.at(-1) < SETTLES_MS / 10) return;
    this.moves.push(now);
    this.list.dataset.settling = "true";
    clearTimeout(this.settled);
    this.settled = setTimeout(() => delete this.list.dataset.settling, SETTLES_MS);
  }

  /** Put the elements in order, moving only those that are not in their place: moving one would take its focus away. */
  arrange() {
    const sorted = [...this.alerts.values()].sort(before);
    let place = this.list.firstElementChild;
    for (const alert of sorted) {
      const element = this.elements.get(alert.id);
      if (element === place) {
        place = place.nextElementSibling;
      } else {
        const held = element.contains(document.activeElement) ? document.activeElement : null;
        this.list.insertBefore(element, place);
        this.moved();
        held?.focus({ preventScroll: true });
      }
    }
    const waiting = sorted.filter(unseen).length;
    put(this.count, String(sorted.length));
    this.count.dataset.count = String(sorted.length);
    this.calm.hidden = sorted.length > 0;
    document.title = waiting ? `(${waiting}) Vigil` : "Vigil";
  }

  async submit(event) {
    event.preventDefault();
    const form = event.target;
    const element = form.closest("[data-alert]");
    const button = form.querySelector("button");
    if (button.ariaDisabled === "true") return; // on its way. A button that is really disabled would lose the focus.
    button.ariaDisabled = "true";
    put(button, "Sending…");
    try {
      const answer = await fetch(form.action, {
        method: "POST",
        headers: { accept: "application/json" },
        signal: AbortSignal.timeout(10_000),
      });
      const body = await answer.json();
      if (!answer.ok) throw new Error(body.detail || body.code);
      this.take(body);
      put(this.said, `Acknowledged: ${body.text}`);
    } catch (error) {
      const unheard = error instanceof TypeError || error.name === "TimeoutError";
      const why = unheard ? "the gateway does not answer" : error.message;
      const by = field(element, "by");
      by.hidden = false;
      by.dataset.failed = "true";
      put(by, `Not acknowledged: ${why}`);
      put(this.cried, `Not acknowledged: ${why}`);
      put(button, "Try again");
      button.ariaDisabled = "false";
    }
  }

  /** The highest priority that nobody has acknowledged, or null. */
  worst() {
    const found = [...this.alerts.values()].filter(unseen).sort(before)[0];
    return found ? found.priority : null;
  }

  /** The highest open priority of each device. */
  worstByDevice() {
    const worst = new Map();
    for (const alert of [...this.alerts.values()].sort(before)) {
      const known = worst.get(alert.device);
      if (known === undefined || PRIORITIES.indexOf(alert.priority) < PRIORITIES.indexOf(known)) {
        worst.set(alert.device, alert.priority);
      }
    }
    return worst;
  }

  show(now) {
    for (const [id, alert] of this.alerts) {
      put(field(this.elements.get(id), "age"), `(${age(now - alert.since_ms)})`);
    }
  }
}
