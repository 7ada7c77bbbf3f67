// The page "Broadcasts": a component for the host's React. Texts reach the document as React's text nodes only.

import { clock, list, runPath } from "./airflow.js";
import { STYLE } from "./style.js";
import { Copy, Inside, Tile } from "./tile.js";

const { createElement: h, Fragment, useCallback, useEffect, useRef, useState } = globalThis.React;

const ON_AIR_MS = 3000;
const RECORDINGS_MS = 10_000;

const OUTCOMES = { deadline: "at its end", stopped: "stopped by hand", stream_ended: "the stream ended" };
const MISSING = { lost: "The file ids are lost: look for the file name in Tencent's console." };

/** Asks for a list again and again, while the page is in view; what was shown stays where an update fails. */
function useList(name, pause) {
  const [state, setState] = useState({ data: null, failed: null });
  const renew = useRef(() => {});
  useEffect(() => {
    const leaving = new AbortController();
    let timer;
    let asking = false;
    const update = async () => {
      clearTimeout(timer);
      if (asking || document.hidden || leaving.signal.aborted) return;
      asking = true;
      try {
        setState({ data: await list(name, leaving.signal), failed: null });
      } catch (refused) {
        if (leaving.signal.aborted) return;
        setState((before) => ({ ...before, failed: refused.message }));
      } finally {
        asking = false;
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
  }, [name, pause]);
  return { ...state, renew: useCallback(() => renew.current(), []) };
}

function count(rows) {
  const on = rows.filter((row) => row.phase === "on_air").length;
  const waiting = rows.filter((row) => row.phase === "waiting").length;
  const words = [`${on} on air`];
  if (waiting) words.push(`${waiting} waiting for the host`);
  return words.join(" · ");
}

function OnAir() {
  const { data, failed, renew } = useList("on-air", ON_AIR_MS);
  const [said, setSaid] = useState("");
  const done = useCallback((text) => {
    setSaid(text);
    renew();
  }, []);
  useEffect(() => {
    const timer = setTimeout(() => setSaid(""), 10_000);
    return () => clearTimeout(timer);
  }, [said]);
  const rows = data?.broadcasts ?? [];
  return h(
    "section",
    { "aria-labelledby": "timav-on-air" },
    h("header", { className: "timav-head" }, h("h2", { id: "timav-on-air" }, "Broadcasts"), rows.length > 0 && h("span", { className: "timav-count" }, count(rows))),
    h("p", { className: "timav-said", role: "status" }, said),
    failed && h("p", { className: "timav-error", role: "alert" }, `${failed} What is shown may be old.`),
    data === null
      ? !failed && h("p", { className: "timav-empty" }, "Loading")
      : rows.length === 0
        ? h("p", { className: "timav-empty" }, "Nothing is on air.")
        : h(
            "div",
            { className: "timav-grid" },
            rows.map((row) => h(Tile, { key: row.id, row, text: JSON.stringify(row), now: new Date(data.now), done })),
          ),
  );
}

function FileIds({ row }) {
  if (row.file_ids.length === 0) return MISSING[row.file_ids_status] ?? "None";
  return row.file_ids.map((id) =>
    h("span", { key: id, className: "timav-file" }, h("code", null, id), h(Copy, { text: id, what: `file id ${id}` })),
  );
}

function When({ row, now }) {
  const [from, to] = [row.started_at, row.ended_at].map((at) => (at ? clock(new Date(at), now) : null));
  return from && to ? `${from} to ${to}` : (to ?? from ?? "Not known");
}

function Show({ row }) {
  const where = row.room_id === undefined ? null : `Room ${row.room_id} · ${row.user_id}`;
  if (!row.title) return where ?? "Not known";
  return h(Fragment, null, row.title, where && h("div", { className: "timav-where" }, where));
}

function Recordings() {
  const { data, failed } = useList("recordings", RECORDINGS_MS);
  const now = new Date();
  const rows = data?.recordings ?? [];
  const cell = (name, content) => h("td", { "data-name": name }, content);
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
        h("thead", null, h("tr", null, ...["Show", "Recording", "On air", "Ended", "File ids", "Run"].map((name) => h("th", { key: name, scope: "col" }, name)))),
        h(
          "tbody",
          null,
          rows.map((row) =>
            h(
              "tr",
              { key: `${row.dag_id} ${row.run_id} ${row.file_name}` },
              cell("Show", h(Show, { row })),
              cell("Recording", row.file_name ?? "Not known"),
              cell("On air", h(When, { row, now })),
              cell("Ended", OUTCOMES[row.outcome] ?? row.outcome ?? "Not known"),
              cell("File ids", h(FileIds, { row })),
              cell("Run", h(Inside, { to: runPath(row) }, row.dag_id)),
            ),
          ),
        ),
      ),
  );
}

function Broadcasts() {
  return h("div", { className: "timav-page" }, h("style", null, STYLE), h(OnAir), h(Recordings));
}

// Airflow looks for the component under the name of the menu's entry.
globalThis.Broadcasts = Broadcasts;
