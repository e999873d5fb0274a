// The sound of alarms: bursts of tones by priority, made here. A browser lets a page sound only after somebody pressed
// a button on it.

const HERTZ = { high: 880, medium: 660, low: 520 };
const PULSES_S = {
  high: [0, 0.2, 0.4, 0.75, 0.95, 1.6, 1.8, 2.0, 2.35, 2.55],
  medium: [0, 0.35, 0.7],
  low: [0],
};
const PULSE_S = 0.15;
const RAMP_S = 0.02; // a tone that starts at once would click
const EVERY_MS = { high: 10_000, medium: 25_000, low: 60_000 };

export class Sound {
  constructor() {
    this.context = null;
    this.soundedAt = -Infinity;
    this.sounded = null;
  }

  get on() {
    return this.context !== null;
  }

  /** Turn sound on or off; has to be called from a press of a button. */
  async turn(on) {
    if (on && !this.context) {
      this.context = new AudioContext();
      await this.context.resume();
      this.burst("low");
    } else if (!on && this.context) {
      const context = this.context;
      this.context = null;
      this.sounded = null;
      await context.close();
    }
  }

  /** Called again and again. worst: the highest priority that nobody has acknowledged, or null. */
  follow(worst) {
    if (!this.context) return;
    const now = performance.now();
    const due = now - this.soundedAt >= EVERY_MS[worst];
    if (worst !== null && (due || this.sounded !== worst)) {
      this.burst(worst);
      this.soundedAt = now;
    }
    this.sounded = worst;
  }

  burst(priority) {
    const start = this.context.currentTime + 0.05;
    for (const at of PULSES_S[priority]) {
      const tone = this.context.createOscillator();
      const level = this.context.createGain();
      tone.type = "triangle";
      tone.frequency.value = HERTZ[priority];
      level.gain.setValueAtTime(0, start + at);
      level.gain.linearRampToValueAtTime(0.35, start + at + RAMP_S);
      level.gain.setValueAtTime(0.35, start + at + PULSE_S - RAMP_S);
      level.gain.linearRampToValueAtTime(0, start + at + PULSE_S);
      tone.connect(level).connect(this.context.destination);
      tone.start(start + at);
      tone.stop(start + at + PULSE_S);
    }
  }
}
