// What of a stream this page fetches, and how. A playlist is written by others, and each address in it would be fetched by the
// viewer's browser, which has a login at Airflow.

/** The text of a refusal, by which it is told from a server that does not answer. */
export const REFUSED = "This stream leads to Airflow itself, or to an address that is not http or https: this page does not fetch it.";

/** An origin without the dot at the end of its host: that leads to the same host, and is another origin by name only. */
const undotted = (origin) => origin.replace(/\.+(?=(:\d+)?$)/, "");

/**
 * Whether this page fetches an address: http or https (https only, where the page itself is https), without a user name in
 * it, and not on Airflow's own origin, whatever the path. Another port of Airflow's host is another origin.
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

/** Whether an address may become a link: as `mayFetch`, and http on a page that is https, for a link leaves the page. */
export const mayOpen = (url) => mayFetch(url, { protocol: "http:", origin: location.origin });

/**
 * The loader through which hls.js fetches everything: playlists, segments, their maps, keys. It sends neither cookies nor
 * any other login, also where a server redirects; an answer that came from Airflow in the end is thrown away.
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
        queueMicrotask(() => this.stats && refuse()); // hls.js does not expect an answer before it has asked
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
