// Requests to Airflow, and texts for people. Every request goes to Airflow's own origin, with the browser's login.

/** The URL of a path below Airflow's own, wherever that is mounted. */
export const address = (path) => new URL(path, document.baseURI).href;

/** A request failed: Airflow refused it, or it did not arrive. The message is for people. */
export class Refused extends Error {}

const REASONS = new Map([
  [401, "Your session has expired. Reload the page to log in."],
  [403, "Airflow refuses this: you do not have the permission."],
]);

const UNREADABLE = "Airflow's response cannot be read.";

async function request(path, options) {
  let response;
  try {
    response = await fetch(address(path), options);
  } catch (failed) {
    if (failed.name === "AbortError") throw failed;
    throw new Refused("Airflow does not respond.");
  }
  if (!response.ok) throw new Refused(REASONS.get(response.status) ?? `Airflow answered ${response.status}: ${await reason(response)}`);
  try {
    return await response.json();
  } catch (failed) {
    if (failed.name === "AbortError") throw failed;
    throw new Refused(UNREADABLE);
  }
}

async function reason(response) {
  try {
    const { detail } = await response.json();
    return short(typeof detail === "string" ? detail : JSON.stringify(detail));
  } catch {
    return response.statusText;
  }
}

/** Fetches one of the page's two lists: its rows, and the server's time. */
export async function list(name, rows, signal) {
  const response = await request(`timav/${name}`, { signal, headers: { Accept: "application/json" } });
  if (!Array.isArray(response?.[rows])) throw new Refused(UNREADABLE);
  return { rows: response[rows], now: moment(response.now) ?? new Date() };
}

const patch = (path, body) =>
  request(path, { method: "PATCH", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

/** One segment of a path. Browsers resolve `.` and `..` within it, however they are encoded. */
function part(name) {
  if (typeof name !== "string" || ["", ".", ".."].includes(name)) throw new Refused("This run cannot be addressed by its name.");
  return encodeURIComponent(name);
}

const ofTask = (row, taskId) => {
  const [dag, run, task] = [row.dag_id, row.run_id, taskId].map(part);
  return `api/v2/dags/${dag}/dagRuns/${run}/taskInstances/${task}`;
};

/** Ends a broadcast by marking the task that the server named. */
export function stop(row) {
  const path = ofTask(row, row.stop.task_id);
  return patch(row.map_index < 0 ? path : `${path}/${row.map_index}`, {
    new_state: row.stop.new_state,
    note: "Stopped on the page Broadcasts",
  });
}

/** Moves the end of a broadcast. */
export const extend = (row, end) =>
  patch(`${ofTask(row, row.task_id)}/xcomEntries/control`, {
    value: { end: end.toISOString() },
    map_index: row.map_index,
  });

/** Fetches the broadcast again: the page may be seconds old, and a task that has moved on must not be marked. */
export async function fresh(id) {
  const { rows } = await list("on-air", "broadcasts");
  const row = rows.find((one) => one?.id === id);
  if (row === undefined) throw new Refused("It has ended already.");
  return row;
}

export const runPath = (row) => `/dags/${part(row.dag_id)}/runs/${part(row.run_id)}`;

const LONGEST = 300;
const short = (words) => (words.length > LONGEST ? `${words.slice(0, LONGEST)}…` : words);

/** Returns a string or number for display; people can write what the server reads, so it may be anything else. */
export function text(value, instead = "Unknown") {
  if (typeof value === "number") return String(value);
  return typeof value === "string" && value !== "" ? short(value) : instead;
}

/** Returns a point in time, or null if the text is none. */
export function moment(value) {
  const time = typeof value === "string" ? new Date(value) : null;
  return time === null || Number.isNaN(time.getTime()) ? null : time;
}

const same = (a, b) => a.toDateString() === b.toDateString();

/** Formats a point in time; today's without the date. */
export function clock(time, now) {
  const hours = time.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
  return same(time, now)
    ? hours
    : `${time.toLocaleDateString(undefined, { day: "numeric", month: "short" })}, ${hours}`;
}

/** Formats a duration. */
export function span(milliseconds) {
  const minutes = Math.floor(milliseconds / 60_000);
  if (minutes < 1) return "less than a minute";
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours >= 48) return `${Math.floor(hours / 24)} days`;
  return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
}

export const named = (row) => text(row.title, `Room ${text(row.room_id)}`);
