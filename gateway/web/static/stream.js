// The connection to the gateway: server-sent events, and the certainty that silence is noticed.
//
// A connection that is open and silent counts as lost: the gateway says something at least every ten seconds.

const SILENT_AFTER_MS = 15_000;
const AGAIN_AFTER_MS = 3_000;
const CHECK_EVERY_MS = 500;

export class Stream {
  /** handlers: by event's name, called with its data; changed: called with this stream whenever it is found or lost. */
  constructor(address, handlers, changed) {
    this.address = address;
    this.handlers = handlers;
    this.changed = changed;
    this.live = false;
    this.heardAt = performance.now(); // the browser's own clock, which no correction of the time of day moves
    this.aheadMs = 0; // how far the gateway's clock is ahead of this browser's
    this.known = false; // whether the gateway's clock has been heard at all
    this.open();
    setInterval(() => this.check(), CHECK_EVERY_MS);
  }

  /** The gateway's time, as well as it is known here. */
  now() {
    return Date.now() + this.aheadMs;
  }

  /** Milliseconds since the gateway was last heard. */
  silentMs() {
    return performance.now() - this.heardAt;
  }

  open() {
    this.source?.close();
    this.openedAt = performance.now();
    this.source = new EventSource(this.address);
    for (const [name, handle] of Object.entries({ heartbeat: () => {}, ...this.handlers })) {
      this.source.addEventListener(name, (event) => {
        const data = JSON.parse(event.data);
        this.heard(data.now_ms);
        handle(data);
      });
    }
    this.source.addEventListener("error", () => this.set(false));
  }

  heard(nowMs) {
    this.heardAt = performance.now();
    if (typeof nowMs === "number") {
      // An event can only be late: the largest difference is the truest. It sinks slowly, should a clock be set back.
      const ahead = nowMs - Date.now();
      this.aheadMs = this.known ? Math.max(ahead, this.aheadMs - 5) : ahead;
      this.known = true;
    }
    this.set(true);
  }

  check() {
    const now = performance.now();
    const silent = this.silentMs() > SILENT_AFTER_MS;
    if (silent) this.set(false);
    const closed = this.source.readyState === EventSource.CLOSED; // after an answer that was no stream
    const wait = closed ? AGAIN_AFTER_MS : SILENT_AFTER_MS;
    if ((closed || silent) && now - this.openedAt > wait) this.open();
  }

  set(live) {
    if (live === this.live) return;
    this.live = live;
    this.changed(this);
  }
}
