// Times as people read them.

const pad = (number) => String(number).padStart(2, "0");

/** The time of day. */
export function clock(ms) {
  const at = new Date(ms);
  return `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
}

/** For programs: RFC 3339, or nothing where no calendar has such a time. */
export function iso(ms) {
  const at = new Date(ms);
  return Number.isNaN(at.getTime()) ? "" : at.toISOString();
}

/** A span of time in its largest unit, as the server writes it too. */
export function age(ms) {
  const seconds = Math.floor(Math.max(0, ms) / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d`;
}

/** Write a text only where it differs, so that nothing is laid out or read out for nothing. */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
