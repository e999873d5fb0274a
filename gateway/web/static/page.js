// The caregiver's page: the server has rendered it whole; here it is kept up to date.

import { Alarms } from "./alarms.js";
import { animate } from "./ecg.js";
import { Homes } from "./homes.js";
import { Sound } from "./sound.js";
import { Stream } from "./stream.js";
import { age, clock, put } from "./words.js";

const TICK_MS = 500;
const LATE_MS = 2_000; // a stream that has just been opened is not yet called lost

const by = (id) => document.getElementById(id);

const homes = new Homes(by("home-list"), by("home-template"), by("no-homes"));
const alarms = new Alarms(
  {
    list: by("alarm-list"),
    template: by("alarm-template"),
    count: by("count"),
    calm: by("calm"),
    said: by("said"),
    cried: by("cried"),
  },
  (device) => homes.name(device),
);
const sound = new Sound();

const stream = new Stream(
  "/events",
  {
    snapshot(data) {
      homes.reset(data.homes, data.values);
      alarms.reset(data.alerts);
      tick();
    },
    alert(data) {
      alarms.take(data);
      tick();
    },
    device: (data) => homes.describe(data),
    vitals(data) {
      homes.take(data);
      homes.show(stream.now());
    },
    wave: (data) => homes.draw(data),
  },
  link,
);

/** Say whether what is on the page is live, and for how long it has not been. */
function link() {
  const silent = stream.silentMs();
  const lost = !stream.live && (stream.known || silent > LATE_MS);
  by("link").dataset.link = stream.live ? "live" : lost ? "lost" : "none";
  put(by("link-text"), stream.live ? "Live" : lost ? "Connection lost" : "Connecting…");
  document.body.dataset.link = by("link").dataset.link;
  by("lost").hidden = !lost;
  // The sentence is read out once, as it appears; the age beside it changes every second and is not.
  put(by("lost-text"), lost ? "Not live: no connection to the gateway. What you see is old, and new alarms do not show." : "");
  put(by("lost-age"), lost ? `Not live since ${clock(Date.now() - silent)} (${age(silent)}).` : "");
}

function tick() {
  const now = stream.known ? stream.now() : Date.now();
  const time = by("clock");
  put(time, clock(now));
  time.dateTime = new Date(now).toISOString();
  link();
  homes.show(now);
  homes.mark(alarms.worstByDevice());
  alarms.show(now);
  by("sound").dataset.warn = String(!sound.on && (alarms.worst() !== null || !stream.live));
  sound.follow(stream.live ? alarms.worst() : stream.known ? "medium" : null);
}

const button = by("sound");
button.hidden = false;
button.addEventListener("click", async () => {
  await sound.turn(!sound.on);
  button.setAttribute("aria-pressed", String(sound.on));
  put(button, sound.on ? "Sound is on" : "Sound is off");
});

setInterval(tick, TICK_MS);
animate(() => homes.sweeps());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const sweep of homes.sweeps()) sweep.fit(); // in the new colours
});
