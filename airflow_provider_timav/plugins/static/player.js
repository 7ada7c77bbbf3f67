// The picture of one broadcast, or why there is none here. hls.js is loaded once the first picture comes into view.

import { guarded, mayFetch, mayOpen, REFUSED } from "./loader.js";

const { createElement: h, useEffect, useRef, useState } = globalThis.React;

const AGAIN_MS = 4000;
let hls;

/** hls.js, loaded once; where that fails, the next picture tries anew. */
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
 * Why this page cannot play a broadcast, as far as that is known without trying; null where it can be tried.
 * `protocol` is the page's own.
 */
export function obstacle(row, protocol = location.protocol) {
  if (row.phase === "waiting") return { text: "Waiting for the host" };
  if (row.foreign) return { text: "This push was started elsewhere: its address is not known here." };
  if (row.phase === "starting") return { text: "Starting" };
  if (row.protected) return { text: "A player password is set: only Tencent's own player can play this stream." };
  const [hls, rtmp] = [row.hls_url, row.rtmp_url].map((url) => (typeof url === "string" ? url : ""));
  if (!hls && rtmp) {
    return { text: "RTMP only: browsers cannot play it. Open its address in a player such as VLC.", copy: rtmp };
  }
  if (!hls) return { text: "No address is known at which it plays." };
  if (!mayOpen(hls)) return { text: REFUSED };
  if (protocol === "https:" && hls.toLowerCase().startsWith("http:")) {
    return {
      text: "This page comes over https and the stream over http: browsers do not play that here (mixed content).",
      open: hls,
    };
  }
  return null;
}

/** Why an address cannot be read: a request that asks for no permission tells a forbidden one from one that is not there. */
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

/** Plays `url` in `video`; calls `tell` with null once a picture moves, and with the reason where none does. */
function play({ Hls, loader }, video, url, tell) {
  if (!Hls.isSupported()) {
    // Not `video.src = url`, where a browser plays HLS by itself: it would fetch whatever the playlist says, Airflow included.
    tell({ text: "This browser cannot play the stream within a page.", open: url });
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
      player.destroy(); // at once: hls.js would try again for half a minute
      tell({ text: REFUSED });
      return;
    }
    if (!fault.fatal) return;
    if (fault.type === Hls.ErrorTypes.MEDIA_ERROR && !recovered) {
      recovered = true;
      player.recoverMediaError();
      return;
    }
    player.destroy();
    tell(await whyFailed(Hls, fault, url));
  });
  player.on(Hls.Events.MANIFEST_PARSED, () => video.play().catch(() => {})); // a browser may want a click first
  player.loadSource(url);
  player.attachMedia(video);
  return () => player.destroy();
}

/** Whether the element is in view: pictures that nobody sees cost traffic, and a hundred at once a browser's life. */
function useInView(ref) {
  const [inView, setInView] = useState(false);
  useEffect(() => {
    const observer = new IntersectionObserver((entries) => setInView(entries.at(-1).isIntersecting), { threshold: 0.2 });
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, []);
  return inView;
}

function Video({ url, label, tell, again }) {
  const ref = useRef(null);
  const inView = useInView(ref);
  useEffect(() => {
    if (!inView) return undefined;
    let end = () => {};
    let over = false;
    let timer;
    const told = (why) => {
      if (over) return;
      tell(why);
      if (why) timer = setTimeout(again, AGAIN_MS);
    };
    library().then(
      (library) => {
        if (!over) end = play(library, ref.current, url, told);
      },
      () => told({ text: "The player could not be loaded from Airflow." }),
    ).catch(() => told({ text: "The player cannot play this stream.", open: url }));
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
    onPlaying: () => tell(null),
  });
}

/** The picture, or the reason in its place. `Note` shows a reason. */
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
      tell: setFound,
      again: () => setAttempt((before) => before + 1),
    }),
    found && h(Note, { why: found }),
  );
}
