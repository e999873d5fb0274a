// Waves as a monitor draws them: a pen that sweeps from left to right over the old trace, with a gap before it.
//
// The place of a sample on the canvas follows from its own time, so that what is missing stays empty and is never
// joined. Only the stretch under the pen is painted in a frame; a canvas that cannot be seen is not painted at all.

const PX_PER_MM = 96 / 25.4; // CSS's own millimetre; a screen's real one is not known to a page
const MM_PER_S = 25;
const PULSE_LEAST = 0.2; // of a usual pulse: less is not blown up until its noise looks like one
const GAP_PX = 14; // empty before the pen
const TOP_PX = 22; // the caption's
const GAINS = [20, 10, 5, 2.5]; // mm/mV, the usual ones
const FRAME_MS = 30; // some 33 frames a second are smooth at this speed
const MARGIN_MS = 350; // a stretch may come this much later than expected before the pen has to wait
const LATEST_MS = 4_000; // further behind, the pen jumps
const QUIET_MS = 4_000; // nothing new for so long is "no signal"
const STRETCHES_MAX = 256;

/** int16, little-endian, from base64. */
function counts(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length >> 1 }, (_, index) => view.getInt16(2 * index, true));
}

export class Sweep {
  /** figure: holds the canvas; its data-seen and data-quiet tell the style sheet what there is. */
  constructor(figure) {
    this.figure = figure;
    this.canvas = figure.querySelector("canvas");
    this.note = figure.querySelector("[data-field=scale]");
    this.pen = this.canvas.getContext("2d");
    this.kind = figure.dataset.stream;
    this.stretches = [];
    this.headMs = null; // the signal's time under the pen
    this.gain = 10;
    this.middle = 0;
    this.visible = true;
    this.width = this.height = 0;
    this.paintedAt = 0;
    new ResizeObserver(() => this.fit()).observe(this.canvas);
    new IntersectionObserver((found) => (this.visible = found.at(-1).isIntersecting)).observe(this.canvas);
  }

  /** Milliseconds from the left edge to the right. */
  get spanMs() {
    return (this.width / (MM_PER_S * PX_PER_MM)) * 1000;
  }

  get endMs() {
    return this.stretches.at(-1)?.endMs ?? null;
  }

  /** Take a stretch from the stream. One that is older than what is here is history, and not drawn. */
  feed(wave) {
    const values = counts(wave.samples).map((count) => count * wave.scale);
    const stepMs = 1000 / wave.rate_hz;
    const last = this.endMs;
    if (!values.length || (last !== null && wave.t0_ms < last - stepMs && wave.t0_ms > last - 60_000)) return;
    if (last !== null && Math.abs(wave.t0_ms - last) > 60_000) this.restart(); // the device's clock was set
    this.stretches.push({ t0Ms: wave.t0_ms, stepMs, values, endMs: wave.t0_ms + values.length * stepMs });
    this.lastMs = values.length * stepMs;
    this.fedAt = performance.now();
    this.figure.dataset.seen = "true";
    this.place = wave.place;
    if (this.headMs === null) this.headMs = wave.t0_ms;
    const keepFrom = this.headMs - this.spanMs - 1000;
    while (this.stretches.length > STRETCHES_MAX || this.stretches[0].endMs < keepFrom) {
      if (this.stretches.length === 1) break;
      this.stretches.shift();
    }
    if (!this.measured) this.measure();
  }

  restart() {
    this.stretches = [];
    this.headMs = null;
    this.measured = false;
    this.pen.clearRect(0, 0, this.width, this.height);
  }

  /** Choose the middle line and the gain from what was drawn lately; done as the pen comes round. */
  measure() {
    const lately = this.stretches.flatMap((stretch) => Array.from(stretch.values));
    if (!lately.length || !this.height) return;
    lately.sort((a, b) => a - b);
    const low = lately[Math.floor(lately.length * 0.002)];
    const high = lately[Math.ceil(lately.length * 0.998) - 1];
    const usableMm = ((this.height - TOP_PX) / PX_PER_MM) * 0.9;
    if (this.kind === "ecg") {
      this.gain = GAINS.filter((gain) => gain <= 10).find((gain) => (high - low) * gain <= usableMm) ?? GAINS.at(-1);
      this.middle = (high + low) / 2;
      this.note.textContent = `${this.place} · ${MM_PER_S} mm/s · ${this.gain} mm/mV`;
    } else {
      this.gain = usableMm / Math.max(high - low, PULSE_LEAST);
      this.middle = (high + low) / 2;
      this.note.textContent = `${this.place} · ${MM_PER_S} mm/s`;
    }
    this.measured = true;
  }

  fit() {
    const { clientWidth, clientHeight } = this.canvas;
    const ratio = window.devicePixelRatio || 1;
    if (!clientWidth || !clientHeight) return;
    this.width = clientWidth;
    this.height = clientHeight;
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    this.pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.restyle();
    this.measure();
    if (this.headMs !== null) this.paint(this.headMs - this.spanMs + this.gapMs, this.headMs);
  }

  get gapMs() {
    return (GAP_PX / this.width) * this.spanMs;
  }

  restyle() {
    this.colour = getComputedStyle(this.canvas).color;
  }

  /** One frame. at: performance.now(). */
  step(at) {
    const seen = this.stretches.length > 0;
    this.figure.dataset.quiet = String(!seen || at - this.fedAt > QUIET_MS);
    if (!seen || !this.width || !this.visible || at - this.paintedAt < FRAME_MS) return;
    const passedMs = this.paintedAt ? Math.min(at - this.paintedAt, 1000) : 0;
    this.paintedAt = at;
    const from = this.headMs;
    const wanted = this.lastMs + MARGIN_MS;
    const behind = this.endMs - from;
    if (behind > wanted + LATEST_MS) {
      this.jump(this.endMs - wanted);
      return;
    }
    // The pen goes a little faster or slower, to stay as far behind the newest sample as stretches are long.
    const pace = 1 + Math.max(-0.08, Math.min(0.08, (behind - wanted) / 4000));
    const to = Math.min(from + passedMs * pace, this.endMs);
    if (to <= from) return;
    if (Math.floor(to / this.spanMs) !== Math.floor(from / this.spanMs)) this.measure();
    this.paint(from, to);
    this.headMs = to;
  }

  jump(toMs) {
    this.erase(this.headMs, Math.min(toMs, this.headMs + this.spanMs));
    this.headMs = toMs;
  }

  x(ms) {
    return ((ms % this.spanMs) / this.spanMs) * this.width;
  }

  y(value) {
    return (this.height + TOP_PX) / 2 - (value - this.middle) * this.gain * PX_PER_MM;
  }

  /** Clear what lies between two times, and the gap after them. */
  erase(from, to) {
    const left = this.x(from + this.gapMs);
    const wide = ((to - from) / this.spanMs) * this.width + 1;
    this.pen.clearRect(left, 0, wide, this.height);
    if (left + wide > this.width) this.pen.clearRect(0, 0, left + wide - this.width, this.height);
  }

  paint(from, to) {
    this.erase(from, to);
    const pen = this.pen;
    pen.strokeStyle = this.colour;
    pen.lineWidth = 1.6;
    pen.lineJoin = pen.lineCap = "round";
    pen.beginPath();
    let before = null; // the last point: {ms, x}
    for (const { t0Ms, stepMs, values, endMs } of this.stretches) {
      if (endMs < from - stepMs || t0Ms > to) continue;
      const first = Math.max(0, Math.floor((from - t0Ms) / stepMs));
      const last = Math.min(values.length - 1, Math.floor((to - t0Ms) / stepMs));
      for (let index = first; index <= last; index += 1) {
        const ms = t0Ms + index * stepMs;
        const x = this.x(ms);
        // Joined only to a neighbour in time, and not over the right edge.
        if (before !== null && ms - before.ms < 1.5 * stepMs + 1 && x >= before.x) pen.lineTo(x, this.y(values[index]));
        else pen.moveTo(x, this.y(values[index]));
        before = { ms, x };
      }
    }
    pen.stroke();
  }
}

/** Run `step` of all sweeps in one animation loop, which the browser itself stops while the page is hidden. */
export function animate(sweeps) {
  const frame = (at) => {
    if (!document.hidden) for (const sweep of sweeps()) sweep.step(at);
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}
