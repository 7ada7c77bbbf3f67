// Plays one broadcast, or says why it cannot be played here. hls.js is loaded once the first picture comes into view.

import { guarded, mayFetch, mayOpen, REFUSED } from "./loader.js";

const { createElement: h, useEffect, useRef, useState } = globalThis.React;

const AGAIN_MS = 4000;
let hls;

/** Loads hls.js once; if that fails, the next picture tries again. */
function library() {
  hls ??= import("./hls.light.min.mjs").then(
    (module) => ({ Hls: module.default, loader: guarded(module.FetchLoader) }),
    (failed) => {
      hls = undefined;
      throw failed;
    },
  );
  return hls;
}

/**
 * Returns why this page cannot play a broadcast, as far as that is known without trying; null if it can try.
 * `protocol` is the page's own.
 */
export function obstacle(row, protocol = location.protocol) {
  if (row.phase === "waiting") return { text: "Waiting for the host" };
  if (row.foreign) return { text: "This push was started elsewhere: its address is unknown here." };
  if (row.phase === "starting") return { text: "Starting" };
  if (row.protected) return { text: "A player password is set: only Tencent's own player can play this stream." };
  const [hls, rtmp] = [row.hls_url, row.rtmp_url].map((url) => (typeof url === "string" ? url : ""));
  if (!hls && rtmp) {
    return { text: "RTMP only: browsers cannot play it. Open its address in a player such as VLC.", copy: rtmp };
  }
  if (!hls) return { text: "Its address is unknown." };
  if (!mayOpen(hls)) return { text: REFUSED };
  if (protocol === "https:" && hls.toLowerCase().startsWith("http:")) {
    return {
      text: "This page is served over https and the stream over http: browsers do not play that here (mixed content).",
      open: hls,
    };
  }
  return null;
}

/** Returns why a URL cannot be read: a request without CORS succeeds if only the permission is missing. */
async function whyUnreadable(url) {
  if (!mayFetch(url)) return { text: REFUSED };
  try {
    await fetch(url, { mode: "no-cors", cache: "no-store", credentials: "omit" });
    return { text: "The stream's server does not let this page read it (no CORS header).", open: url };
  } catch {
    return { text: "The stream's server cannot be reached from this browser.", open: url };
  }
}

async function whyFailed(Hls, fault, url) {
  if (fault.type !== Hls.ErrorTypes.NETWORK_ERROR) return { text: "This browser cannot decode the stream." };
  const status = fault.response?.code ?? 0;
  if (status === 0) return whyUnreadable(url);
  return { text: status === 404 ? "No picture at the moment" : `The stream's server answers ${status}.` };
}

/** Plays `url` in `video`; calls `report` with null once a picture moves, and with the reason if none does. */
function play({ Hls, loader }, video, url, report) {
  if (!Hls.isSupported()) {
    // Not `video.src = url`, even if the browser plays HLS natively: it would fetch any URL in the playlist, Airflow's included.
    report({ text: "This browser cannot play the stream within a page.", open: url });
    return () => {};
  }
  const player = new Hls({
    loader,
    enableWorker: false, // the worker would be one more file, and these pictures are small
    maxBufferLength: 12,
    backBufferLength: 10,
    capLevelToPlayerSize: true,
  });
  let recovered = false;
  player.on(Hls.Events.ERROR, async (_, fault) => {
    if (fault.response?.text === REFUSED) {
      player.destroy(); // at once: hls.js would retry for half a minute
      report({ text: REFUSED });
      return;
    }
    if (!fault.fatal) return;
    if (fault.type === Hls.ErrorTypes.MEDIA_ERROR && !recovered) {
      recovered = true;
      player.recoverMediaError();
      return;
    }
    player.destroy();
    report(await whyFailed(Hls, fault, url));
  });
  player.on(Hls.Events.MANIFEST_PARSED, () => video.play().catch(() => {})); // a browser may want a click first
  player.loadSource(url);
  player.attachMedia(video);
  return () => player.destroy();
}

/** Returns whether the element is in view: a hundred pictures at once would exhaust a browser. */
function useInView(ref) {
  const [inView, setInView] = useState(false);
  useEffect(() => {
    const observer = new IntersectionObserver((entries) => setInView(entries.at(-1).isIntersecting), { threshold: 0.2 });
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, []);
  return inView;
}

function Video({ url, label, report, again }) {
  const ref = useRef(null);
  const inView = useInView(ref);
  useEffect(() => {
    if (!inView) return undefined;
    let end = () => {};
    let over = false;
    let timer;
    const reported = (why) => {
      if (over) return;
      report(why);
      if (why) timer = setTimeout(again, AGAIN_MS);
    };
    library().then(
      (library) => {
        if (!over) end = play(library, ref.current, url, reported);
      },
      () => reported({ text: "The player could not be loaded from Airflow." }),
    ).catch(() => reported({ text: "The player cannot play this stream.", open: url }));
    return () => {
      over = true;
      clearTimeout(timer);
      end();
    };
  }, [inView, url]);
  return h("video", {
    ref,
    muted: true,
    playsInline: true,
    controls: true,
    "aria-label": label,
    onPlaying: () => report(null),
  });
}

/** Shows the picture, or in its place the reason why there is none, in a `Note`. */
export function Player({ row, label, Note }) {
  const known = obstacle(row);
  const [found, setFound] = useState(null);
  const [attempt, setAttempt] = useState(0);
  useEffect(() => setFound(null), [row.hls_url]);
  if (known) return h(Note, { why: known });
  return h(
    "div",
    { className: "timav-screen" },
    h(Video, {
      key: attempt,
      url: row.hls_url,
      label,
      report: setFound,
      again: () => setAttempt((before) => before + 1),
    }),
    found && h(Note, { why: found }),
  );
}
