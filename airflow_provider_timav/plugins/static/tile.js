// The tile of one broadcast, with the buttons Extend and Stop now.

import { clock, extend, fresh, moment, named, runPath, span, stop, text } from "./airflow.js";
import { Boundary } from "./boundary.js";
import { mayOpen } from "./loader.js";
import { Player } from "./player.js";

const { createElement: h, memo, useEffect, useId, useRef, useState } = globalThis.React;
const Link = globalThis.ReactRouterDOM?.Link;

// Maps, not objects: an object also has `constructor` and the like, which a row may contain.
const ON_AIR = ["On air", "calm"];
const VERDICTS = new Map([
  ["LIVE", ["Live", "live"]],
  ["STARTING", ["Starting", "wait"]],
  ["RESET", ["Restarted", "wait"]],
  ["STALLED", ["Stalled", "bad"]],
  ["ABSENT", ["No picture", "bad"]],
  ["EMPTY", ["No picture yet", "wait"]],
  ["ENDED", ["Picture ended", "bad"]],
  ["UNKNOWN", ON_AIR],
]);
const PHASES = new Map([
  ["waiting", ["Waiting for the host", "wait"]],
  ["starting", ["Starting", "wait"]],
  ["ending", ["Ending", "calm"]],
]);
const RECORDINGS = new Map([
  ["on", "On"],
  ["starting", "Starting"],
  ["due", "Planned"],
  ["stopped", "Stopped"],
  ["foreign", "Started elsewhere"],
  ["off", "Off"],
]);

/** A link within Airflow. */
export function Inside({ to, title, children }) {
  const shown = { className: "timav-link", title };
  return Link ? h(Link, { to, ...shown }, children) : h("a", { href: to.slice(1), ...shown }, children);
}

/** A button that copies a text to the clipboard and says so. */
export function Copy({ text, what, label = "Copy" }) {
  const [done, setDone] = useState(null);
  useEffect(() => {
    if (done === null) return undefined;
    const timer = setTimeout(() => setDone(null), 2000);
    return () => clearTimeout(timer);
  }, [done]);
  const copy = async () => setDone((await toClipboard(text)) ? "Copied" : "Not copied");
  return h("button", { type: "button", className: "timav-small", "aria-label": `Copy ${what}`, onClick: copy }, done ?? label);
}

async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // without https, browsers have only this older way
    const area = Object.assign(document.createElement("textarea"), { value: text });
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
  }
}

/** Says why there is no picture, and what to do instead. */
export function Note({ why }) {
  return h(
    "div",
    { className: "timav-note" },
    h("p", null, why.text),
    why.copy && h(Copy, { text: why.copy, what: "address", label: "Copy address" }),
    mayOpen(why.open) && h("a", { href: why.open, target: "_blank", rel: "noopener noreferrer" }, "Open the stream by itself"),
  );
}

function Dialog({ title, close, children }) {
  const ref = useRef(null);
  const id = useId();
  useEffect(() => {
    ref.current.showModal();
  }, []);
  // The browser fires `close` only with its next frame: a key pressed before that would be lost.
  const leave = () => {
    ref.current.close();
    close();
  };
  const cancel = (event) => {
    event.preventDefault();
    leave();
  };
  return h(
    "dialog",
    { ref, className: "timav-dialog", "aria-labelledby": id, onCancel: cancel, onClose: close },
    h("h3", { id }, title),
    children(leave),
  );
}

/** Asks for confirmation before it acts; stays open with the reason if Airflow refuses. */
function Confirm({ title, yes, danger, act, close, children }) {
  const [busy, setBusy] = useState(false);
  const [failed, setFailed] = useState(null);
  const submit = (leave) => async (event) => {
    event.preventDefault();
    setBusy(true);
    setFailed(null);
    try {
      await act();
      leave();
    } catch (refused) {
      setFailed(refused.message);
      setBusy(false);
    }
  };
  return h(Dialog, { title, close }, (leave) =>
    h(
      "form",
      { onSubmit: submit(leave) },
      children,
      failed && h("p", { className: "timav-error", role: "alert" }, failed),
      h(
        "div",
        { className: "timav-buttons" },
        h("button", { type: "button", className: "timav-button", onClick: leave, autoFocus: danger }, "Cancel"),
        h("button", { type: "submit", className: `timav-button ${danger ? "danger" : "primary"}`, disabled: busy }, busy ? "One moment" : yes),
      ),
    ),
  );
}

function ConfirmStop({ row, close, done }) {
  const act = async () => {
    const now = await fresh(row.id);
    if (!now.stop) throw new Error("It is ending already.");
    await stop(now);
    done(`${named(row)} is being stopped.`);
  };
  const what =
    row.phase === "waiting" || row.phase === "starting"
      ? "It does not go on air, and its run fails."
      : row.foreign
        ? "The run ends. The push goes on, because it was started elsewhere."
        : "It goes off air within seconds, and its run continues with the recording. This cannot be undone: a new run is a new broadcast.";
  return h(
    Confirm,
    { title: `Stop ${named(row)} now?`, yes: "Stop now", danger: true, act, close },
    h("p", null, `Room ${text(row.room_id)}, ${text(row.user_id)}. ${what}`),
  );
}

function ConfirmExtend({ row, now, close, done }) {
  const [minutes, setMinutes] = useState("15");
  const id = useId();
  const until = moment(row.until);
  const end = (from) => new Date(Math.max(from, now) + Number(minutes) * 60_000);
  const act = async () => {
    const current = await fresh(row.id);
    if (!current.extend) throw new Error("Its end can no longer be moved.");
    const from = moment(current.until);
    if (from === null) throw new Error("Its end cannot be read.");
    const moved = end(from);
    await extend(current, moved);
    done(`${named(row)} now ends at ${clock(moved, new Date())}.`);
  };
  const valid = Number(minutes) >= 1;
  return h(
    Confirm,
    { title: `Extend ${named(row)}`, yes: "Extend", act, close },
    h("label", { htmlFor: id }, "By how many minutes?"),
    h(
      "div",
      { className: "timav-minutes" },
      h("input", {
        id,
        type: "number",
        min: 1,
        max: 1440,
        step: 1,
        required: true,
        autoFocus: true,
        value: minutes,
        onChange: (event) => setMinutes(event.target.value),
      }),
      ...[5, 15, 30, 60].map((choice) =>
        h("button", { key: choice, type: "button", className: "timav-small", onClick: () => setMinutes(String(choice)) }, `${choice} min`),
      ),
    ),
    h("p", null, `It ends at ${clock(until, now)} now${valid ? `, then at ${clock(end(until), now)}` : ""}.`),
  );
}

function Line({ name, children }) {
  return h("div", null, h("dt", null, name), h("dd", null, children));
}

function Moment({ time, now, children }) {
  return time === null ? "Unknown" : h("time", { dateTime: time.toISOString(), title: time.toString() }, clock(time, now), children);
}

function ShownTile({ row, now, done }) {
  const id = useId();
  const [dialog, setDialog] = useState(null);
  const close = () => setDialog(null);
  const [word, tone] = PHASES.get(row.phase) ?? VERDICTS.get(row.verdict) ?? ON_AIR;
  const [since, until, verdictSince] = [row.since, row.until, row.verdict_since].map(moment);
  const left = until - now;
  return h(
    "article",
    { className: "timav-tile", "aria-labelledby": id, "data-broadcast": text(row.id), "data-phase": text(row.phase) },
    h(
      "div",
      { className: "timav-picture" },
      h(Player, { row, label: `Picture of ${named(row)}, muted`, Note }),
      h("span", { className: `timav-badge ${tone}` }, word),
      row.recording === "on" && h("span", { className: "timav-badge rec" }, "REC"),
    ),
    h(
      "div",
      { className: "timav-body" },
      h("h3", { id, title: named(row) }, named(row)),
      h("p", { className: "timav-where" }, `Room ${text(row.room_id)} · ${text(row.user_id)}${row.kind === "screen" ? " · screen" : ""}`),
      h(
        "dl",
        null,
        since && h(Line, { name: "Since" }, h(Moment, { time: since, now }, ` (${span(now - since)})`)),
        h(
          Line,
          { name: "Until" },
          h(Moment, { time: until, now }, left > 0 ? ` (${span(left)} left)` : ""),
        ),
        h(Line, { name: "Recording" }, RECORDINGS.get(row.recording) ?? "Unknown"),
        verdictSince &&
          h(Line, { name: "Picture" }, `${(VERDICTS.get(row.verdict) ?? ON_AIR)[0]} since `, h(Moment, { time: verdictSince, now })),
      ),
      row.overdue && h("p", { className: "timav-error" }, "Its end has passed, and nothing has stopped it yet. Check that the reaper DAG is switched on."),
      row.orphan && h("p", { className: "timav-error" }, "Its task on_air is gone. The reaper DAG will end it."),
      row.error && h("p", { className: "timav-error" }, text(row.error)),
      h(
        "div",
        { className: "timav-actions" },
        h(Inside, { to: runPath(row), title: text(row.run_id) }, `Run of ${text(row.dag_id)}`),
        row.extend && until && h("button", { type: "button", className: "timav-button", "aria-describedby": id, onClick: () => setDialog("extend") }, "Extend"),
        typeof row.stop?.task_id === "string" && h("button", { type: "button", className: "timav-button danger", "aria-describedby": id, onClick: () => setDialog("stop") }, "Stop now"),
      ),
    ),
    dialog === "stop" && h(ConfirmStop, { row, close, done }),
    dialog === "extend" && h(ConfirmExtend, { row, now, close, done }),
  );
}

const minute = (time) => Math.floor(time / 60_000);

const UNSHOWN = h(
  "article",
  { className: "timav-tile" },
  h("p", { className: "timav-body timav-error" }, "This broadcast cannot be shown: its stored data cannot be read."),
);

function OwnTile({ row, text, now, done }) {
  return h(Boundary, { text, instead: UNSHOWN }, h(ShownTile, { row, now, done }));
}

/** Redrawn only if its broadcast or the minute has changed: there may be a hundred tiles. */
export const Tile = memo(OwnTile, (before, after) => before.text === after.text && minute(before.now) === minute(after.now));
