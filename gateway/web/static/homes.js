// Homes: their values with the age of each, and their waves.

import { Sweep } from "./ecg.js";
import { age, clock, put } from "./words.js";

const NOW_MS = 5_000;
const USUAL = ["enrolled", "active", ""]; // states of a device that say nothing to a caregiver
const field = (element, name) => element.querySelector(`[data-field=${name}]`);

class Tile {
  constructor(element) {
    this.element = element;
    this.numbers = [...element.querySelectorAll("[data-vital]")];
    this.said = field(element, "age");
    this.staleMs = Number(element.dataset.staleS) * 1000;
    this.lostMs = Number(element.dataset.lostS) * 1000;
  }

  /** readings: of the home, by name; now: the gateway's time. */
  show(readings, now) {
    const found = this.numbers.map((number) => readings.get(number.dataset.vital)).filter(Boolean);
    if (!found.length) return;
    this.element.hidden = false;
    const since = Math.min(...found.map((reading) => reading.since_ms));
    const old = now - since;
    const lost = old > this.lostMs;
    const stage = lost ? "none" : old > this.staleMs ? "stale" : "fresh";
    if (this.element.dataset.age !== stage) this.element.dataset.age = stage;
    for (const number of this.numbers) {
      const reading = readings.get(number.dataset.vital);
      put(number, lost || !reading ? "–" : reading.value.toFixed(Number(number.dataset.digits)));
    }
    if (lost) put(this.said, `no data for ${age(old)}`);
    else if (stage === "stale") put(this.said, `stale, ${age(old)}`);
    else put(this.said, old < NOW_MS ? "now" : age(old));
    this.said.title = `measured at ${clock(since)}`;
  }
}

class Home {
  constructor(element) {
    this.element = element;
    this.device = element.dataset.device;
    this.readings = new Map();
    this.tiles = [...element.querySelectorAll(".vital")].map((tile) => new Tile(tile));
    this.sweeps = new Map(
      [...element.querySelectorAll(".trace")].map((figure) => [figure.dataset.stream, new Sweep(figure)]),
    );
    this.name = field(element, "name").textContent;
    this.state = element.dataset.state;
    this.heardMs = null; // the gateway's time of the last reading
  }

  describe({ name, state, simulated }) {
    if (name) {
      this.name = name;
      put(field(this.element, "name"), name);
      this.element.setAttribute("aria-label", name);
      for (const figure of this.element.querySelectorAll(".trace")) {
        const label = figure.querySelector("figcaption span").textContent;
        figure.querySelector("canvas").setAttribute("aria-label", `${label} of ${name}`);
      }
    }
    if (state) this.element.dataset.state = this.state = state;
    if (typeof simulated === "boolean") field(this.element, "simulated").hidden = !simulated;
  }

  take(values) {
    for (const reading of values) {
      const known = this.readings.get(reading.name);
      if (!known || reading.at_ms >= known.at_ms) this.readings.set(reading.name, reading);
      this.heard(reading.received_ms);
    }
  }

  heard(ms) {
    this.heardMs = Math.max(this.heardMs ?? 0, ms);
  }

  show(now) {
    const old = now - this.heardMs;
    const read = this.heardMs === null ? "no reading yet" : old < NOW_MS ? "reading now" : `last reading ${age(old)} ago`;
    put(field(this.element, "state"), USUAL.includes(this.state) ? read : `${this.state}, ${read}`);
    for (const tile of this.tiles) tile.show(this.readings, now);
  }
}

export class Homes {
  constructor(list, template, none) {
    this.list = list;
    this.template = template;
    this.none = none;
    this.homes = new Map();
    for (const element of list.children) this.homes.set(element.dataset.device, new Home(element));
  }

  /** The home of a device; it is put on the page where it is new. */
  of(device) {
    let home = this.homes.get(device);
    if (!home) {
      const element = this.template.content.firstElementChild.cloneNode(true);
      element.dataset.device = device;
      element.id = `home-${device}`;
      this.list.append(element);
      home = new Home(element);
      home.describe({ name: device });
      this.homes.set(device, home);
      this.none.hidden = true;
    }
    return home;
  }

  /** What a snapshot says; homes that it does not name are gone. */
  reset(homes, values) {
    const named = new Set(homes.map((home) => home.device));
    for (const [device, home] of this.homes) {
      if (!named.has(device)) {
        home.element.remove();
        this.homes.delete(device);
      }
    }
    for (const facts of homes) this.of(facts.device).describe(facts);
    for (const [device, readings] of Object.entries(values)) if (named.has(device)) this.of(device).take(readings);
    this.none.hidden = this.homes.size > 0;
  }

  describe(facts) {
    this.of(facts.device).describe(facts);
  }

  take({ device, values, simulated }) {
    const home = this.of(device);
    home.take(values);
    home.describe({ simulated });
  }

  draw(wave) {
    const home = this.of(wave.device);
    home.heard(wave.now_ms);
    home.sweeps.get(wave.stream)?.feed(wave);
  }

  name(device) {
    return this.homes.get(device)?.name;
  }

  /** Mark the homes that have open alarms with the worst of them. worst: priority by device. */
  mark(worst) {
    for (const [device, home] of this.homes) {
      const priority = worst.get(device) ?? "";
      if (home.element.dataset.alarm !== priority) home.element.dataset.alarm = priority;
    }
  }

  show(now) {
    for (const home of this.homes.values()) home.show(now);
  }

  *sweeps() {
    for (const home of this.homes.values()) yield* home.sweeps.values();
  }
}
