// Requests, times and texts. Everything goes to Airflow's own origin, with the login that the browser has already.

/** An address below Airflow's own, wherever that is mounted. */
export const address = (path) => new URL(path, document.baseURI).href;

/** A request that Airflow refused, or that did not arrive: the message is for people. */
export class Refused extends Error {}

const SAID = new Map([
  [401, "Your session is over. Load the page again to log in."],
  [403, "Airflow refuses this: you lack the permission."],
]);

const UNREADABLE = "Airflow's answer cannot be read.";

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(address(path), options);
  } catch (failed) {
    if (failed.name === "AbortError") throw failed;
    throw new Refused("Airflow does not answer.");
  }
  if (!answer.ok) throw new Refused(SAID.get(answer.status) ?? `Airflow answered ${answer.status}: ${await reason(answer)}`);
  try {
    return await answer.json();
  } catch (failed) {
    if (failed.name === "AbortError") throw failed;
    throw new Refused(UNREADABLE);
  }
}

async function reason(answer) {
  try {
    const { detail } = await answer.json();
    return short(typeof detail === "string" ? detail : JSON.stringify(detail));
  } catch {
    return answer.statusText;
  }
}

/** One of the page's two lists: its rows, and the server's time. */
export async function list(name, rows, signal) {
  const answer = await ask(`timav/${name}`, { signal, headers: { Accept: "application/json" } });
  if (!Array.isArray(answer?.[rows])) throw new Refused(UNREADABLE);
  return { rows: answer[rows], now: moment(answer.now) ?? new Date() };
}

const patch = (path, body) =>
  ask(path, { method: "PATCH", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

/** A part of a path. Browsers take `.` and `..` for steps within it, however they are written. */
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

/** The broadcast as it is now: what was shown may be seconds old, and a mark must not hit a task that has moved on. */
export async function fresh(id) {
  const { rows } = await list("on-air", "broadcasts");
  const row = rows.find((one) => one?.id === id);
  if (row === undefined) throw new Refused("It is over already.");
  return row;
}

export const runPath = (row) => `/dags/${part(row.dag_id)}/runs/${part(row.run_id)}`;

const LONGEST = 300;
const short = (words) => (words.length > LONGEST ? `${words.slice(0, LONGEST)}…` : words);

/** What is shown of a value that should be a text or a number; people can write what the server reads. */
export function text(value, instead = "Not known") {
  if (typeof value === "number") return String(value);
  return typeof value === "string" && value !== "" ? short(value) : instead;
}

/** A point in time, or null where the text is none. */
export function moment(value) {
  const time = typeof value === "string" ? new Date(value) : null;
  return time === null || Number.isNaN(time.getTime()) ? null : time;
}

const same = (a, b) => a.toDateString() === b.toDateString();

/** A point in time as people say it: the clock alone where it is today. */
export function clock(time, now) {
  const hours = time.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
  return same(time, now)
    ? hours
    : `${time.toLocaleDateString(undefined, { day: "numeric", month: "short" })}, ${hours}`;
}

/** A span of time as people say it. */
export function span(milliseconds) {
  const minutes = Math.floor(milliseconds / 60_000);
  if (minutes < 1) return "less than a minute";
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours >= 48) return `${Math.floor(hours / 24)} days`;
  return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
}

export const named = (row) => text(row.title, `Room ${text(row.room_id)}`);
