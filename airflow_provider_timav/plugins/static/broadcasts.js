// The page "Broadcasts": a component for Airflow's React. Texts reach the document as React's text nodes only.

import { clock, list, moment, runPath, text } from "./airflow.js";
import { Boundary } from "./boundary.js";
import { STYLE } from "./style.js";
import { Copy, Inside, Tile } from "./tile.js";

const { createElement: h, Fragment, useCallback, useEffect, useRef, useState } = globalThis.React;

const ON_AIR_MS = 3000;
const RECORDINGS_MS = 10_000;

const OUTCOMES = new Map([
  ["deadline", "at its end"],
  ["stopped", "stopped by hand"],
  ["stream_ended", "the stream ended"],
]);
const MISSING = new Map([["lost", "The file ids are lost: look for the file name in Tencent's console."]]);

/** Polls a list while the page is in view; keeps the last one if an update fails. */
function useList(name, rows, pause) {
  const [state, setState] = useState({ data: null, failed: null });
  const renew = useRef(() => {});
  useEffect(() => {
    const leaving = new AbortController();
    let timer;
    let polling = false;
    const update = async () => {
      clearTimeout(timer);
      if (polling || document.hidden || leaving.signal.aborted) return;
      polling = true;
      try {
        setState({ data: await list(name, rows, leaving.signal), failed: null });
      } catch (refused) {
        if (leaving.signal.aborted) return;
        setState((before) => ({ ...before, failed: refused.message }));
      } finally {
        polling = false;
        clearTimeout(timer);
        if (!leaving.signal.aborted) timer = setTimeout(update, pause);
      }
    };
    renew.current = update;
    document.addEventListener("visibilitychange", update);
    update();
    return () => {
      leaving.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", update);
    };
  }, [name, rows, pause]);
  return { ...state, renew: useCallback(() => renew.current(), []) };
}

/** Returns each row with its JSON and a unique key: two rows with the same identity are both kept. */
function keyed(rows, name) {
  const seen = new Map();
  return rows.map((row) => {
    const key = name(row ?? {});
    const times = seen.get(key) ?? 0;
    seen.set(key, times + 1);
    return { row, text: JSON.stringify(row), key: `${key} ${times}` };
  });
}

function count(rows) {
  const on = rows.filter((row) => row?.phase === "on_air").length;
  const waiting = rows.filter((row) => row?.phase === "waiting").length;
  const words = [`${on} on air`];
  if (waiting) words.push(`${waiting} waiting for the host`);
  return words.join(" · ");
}

function OnAir() {
  const { data, failed, renew } = useList("on-air", "broadcasts", ON_AIR_MS);
  const [notice, setNotice] = useState("");
  const done = useCallback((text) => {
    setNotice(text);
    renew();
  }, []);
  useEffect(() => {
    const timer = setTimeout(() => setNotice(""), 10_000);
    return () => clearTimeout(timer);
  }, [notice]);
  const rows = data?.rows ?? [];
  return h(
    "section",
    { "aria-labelledby": "timav-on-air" },
    h("header", { className: "timav-head" }, h("h2", { id: "timav-on-air" }, "Broadcasts"), rows.length > 0 && h("span", { className: "timav-count" }, count(rows))),
    h("p", { className: "timav-notice", role: "status" }, notice),
    failed && h("p", { className: "timav-error", role: "alert" }, `${failed} This list may be out of date.`),
    data === null
      ? !failed && h("p", { className: "timav-empty" }, "Loading")
      : rows.length === 0
        ? h("p", { className: "timav-empty" }, "Nothing is on air.")
        : h(
            "div",
            { className: "timav-grid" },
            keyed(rows, (row) => JSON.stringify(row.id)).map((one) => h(Tile, { ...one, now: data.now, done })),
          ),
  );
}

function FileIds({ row }) {
  const ids = Array.isArray(row.file_ids) ? row.file_ids.filter((id) => typeof id === "string") : [];
  if (ids.length === 0) return MISSING.get(row.file_ids_status) ?? "None";
  return ids.map((id, index) =>
    h("span", { key: index, className: "timav-file" }, h("code", null, text(id)), h(Copy, { text: id, what: `file id ${text(id)}` })),
  );
}

function When({ row, now }) {
  const [from, to] = [row.started_at, row.ended_at].map(moment).map((at) => at && clock(at, now));
  return from && to ? `${from} to ${to}` : (to ?? from ?? "Unknown");
}

function Identity({ row }) {
  const where = row.room_id === undefined ? null : `Room ${text(row.room_id)} · ${text(row.user_id)}`;
  if (!row.title) return where ?? "Unknown";
  return h(Fragment, null, text(row.title), where && h("div", { className: "timav-where" }, where));
}

const COLUMNS = ["Broadcast", "Recording", "On air", "Ended", "File ids", "Run"];
const UNSHOWN = h("tr", null, h("td", { colSpan: COLUMNS.length }, "This recording cannot be shown: its stored data cannot be read."));

function Recording({ row, now }) {
  const cell = (name, content) => h("td", { "data-name": name }, content);
  return h(
    "tr",
    null,
    cell("Broadcast", h(Identity, { row })),
    cell("Recording", text(row.file_name)),
    cell("On air", h(When, { row, now })),
    cell("Ended", OUTCOMES.get(row.outcome) ?? text(row.outcome)),
    cell("File ids", h(FileIds, { row })),
    cell("Run", h(Inside, { to: runPath(row) }, text(row.dag_id))),
  );
}

function Recordings() {
  const { data, failed } = useList("recordings", "recordings", RECORDINGS_MS);
  const now = new Date();
  const rows = data?.rows ?? [];
  return h(
    "section",
    { "aria-labelledby": "timav-recordings" },
    h("h2", { id: "timav-recordings" }, "Recent recordings"),
    failed && h("p", { className: "timav-error", role: "alert" }, failed),
    data !== null && rows.length === 0 && h("p", { className: "timav-empty" }, "No broadcast has been recorded yet."),
    rows.length > 0 &&
      h(
        "table",
        { className: "timav-table" },
        h("thead", null, h("tr", null, ...COLUMNS.map((name) => h("th", { key: name, scope: "col" }, name)))),
        h(
          "tbody",
          null,
          keyed(rows, (row) => JSON.stringify([row.dag_id, row.run_id, row.file_name])).map(({ row, text, key }) =>
            h(Boundary, { key, text, instead: UNSHOWN }, h(Recording, { row, now })),
          ),
        ),
      ),
  );
}

const UNLISTED = h("p", { className: "timav-error", role: "alert" }, "This list cannot be shown. Reload the page.");

function Broadcasts() {
  const lists = [OnAir, Recordings].map((list) => h(Boundary, { key: list.name, instead: UNLISTED }, h(list)));
  return h("div", { className: "timav-page" }, h("style", null, STYLE), lists);
}

// Airflow looks the component up under the name of the menu's entry.
globalThis.Broadcasts = Broadcasts;
