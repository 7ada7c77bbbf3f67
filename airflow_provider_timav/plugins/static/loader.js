// Decides which URLs of a stream this page fetches, and how. Others write the playlist, and the browser that fetches its URLs has
// a login at Airflow.

/** The text of a refusal, which distinguishes it from a server that does not respond. */
export const REFUSED = "This stream leads to Airflow itself, or to an address that is not http or https: this page does not fetch it.";

/** Returns an origin without the dot at the end of its host: with the dot it is another origin, but the same host. */
const undotted = (origin) => origin.replace(/\.+(?=(:\d+)?$)/, "");

/**
 * Returns whether this page fetches a URL: http or https (only https if the page itself is https), without a user name, and
 * not on Airflow's own origin, whatever the path. Another port of Airflow's host is another origin.
 */
export function mayFetch(url, page = location) {
  let to;
  try {
    to = new URL(typeof url === "string" ? url : "");
  } catch {
    return false; // a relative one too: it would be relative to this page
  }
  if (to.protocol !== "https:" && !(to.protocol === "http:" && page.protocol === "http:")) return false;
  if (to.username || to.password) return false;
  return undotted(to.origin) !== undotted(page.origin);
}

/** Returns whether a URL may become a link: as `mayFetch`, but http on an https page, too, because a link leaves the page. */
export const mayOpen = (url) => mayFetch(url, { protocol: "http:", origin: location.origin });

/**
 * Returns the loader through which hls.js fetches everything: playlists, segments, their maps, keys. It sends no cookies and no
 * other login, also after a redirect, and discards a response that came from Airflow in the end.
 */
export function guarded(FetchLoader) {
  return class extends FetchLoader {
    constructor(config) {
      super({ ...config, fetchSetup: ({ url }, init) => new Request(url, { ...init, credentials: "omit" }) });
    }

    load(context, config, callbacks) {
      const refuse = () => callbacks.onError({ code: 0, text: REFUSED }, context, null, this.stats);
      if (!mayFetch(context.url)) {
        this.context = context;
        queueMicrotask(() => this.stats && refuse()); // hls.js expects no callback before `load` returns
        return;
      }
      const { onProgress, onSuccess } = callbacks;
      const came = () => mayFetch(this.response?.url);
      super.load(context, config, {
        ...callbacks,
        onProgress: onProgress && ((...part) => came() && onProgress(...part)),
        onSuccess: (...whole) => (came() ? onSuccess(...whole) : refuse()),
      });
    }
  };
}
