// Colours are those of the host's theme, which knows light and dark; the second value is for a host that has renamed them.

export const STYLE = `
.timav-page {
  --bg: var(--chakra-colors-bg, canvas);
  --panel: var(--chakra-colors-bg-panel, var(--chakra-colors-bg, canvas));
  --subtle: var(--chakra-colors-bg-muted, color-mix(in srgb, currentColor 10%, transparent));
  --fg: var(--chakra-colors-fg, canvastext);
  --muted: var(--chakra-colors-fg-muted, color-mix(in srgb, canvastext 70%, transparent));
  --line: var(--chakra-colors-border, color-mix(in srgb, canvastext 20%, transparent));
  --accent: var(--chakra-colors-fg-info, #2563eb);
  --bad: var(--chakra-colors-fg-error, #dc2626);
  color: var(--fg); padding: 0.5rem 0.25rem 2rem; height: 100%; overflow-y: auto; container-type: inline-size;
}
.timav-page h2 { font-size: 1.25rem; font-weight: 600; }
.timav-page section + section { margin-top: 2rem; }
.timav-head { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0.25rem 0.75rem; }
.timav-count, .timav-empty, .timav-where, .timav-page dt { color: var(--muted); }
.timav-empty { padding: 2rem 0; }
.timav-notice { min-height: 1.5rem; color: var(--muted); }
.timav-error { color: var(--bad); overflow-wrap: anywhere; font-size: 0.875rem; }
.timav-grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); gap: 1rem; }
.timav-tile {
  display: flex; flex-direction: column; min-width: 0; overflow: hidden;
  background: var(--panel); border: 1px solid var(--line); border-radius: 0.5rem;
}
.timav-picture { position: relative; aspect-ratio: 16 / 9; background: #000; color: #e4e4e7; }
.timav-screen, .timav-screen video { width: 100%; height: 100%; display: block; }
.timav-note {
  position: absolute; inset: 0; padding: 2.25rem 1rem 1rem; background: #18181b; color: #e4e4e7; text-align: center;
  display: flex; flex-direction: column; align-items: center; justify-content: center; gap: 0.5rem; font-size: 0.875rem;
}
.timav-note a { color: #93c5fd; text-decoration: underline; }
.timav-note .timav-small { color: #e4e4e7; border-color: #71717a; }
.timav-badge {
  position: absolute; top: 0.5rem; left: 0.5rem; padding: 0.1rem 0.5rem; border-radius: 0.25rem;
  font-size: 0.75rem; font-weight: 600; background: #3f3f46; color: #fff; pointer-events: none;
}
.timav-badge.live { background: #15803d; }
.timav-badge.wait { background: #a16207; }
.timav-badge.bad { background: #b91c1c; }
.timav-badge.rec { left: auto; right: 0.5rem; background: #18181bcc; }
.timav-badge.rec::before { content: "\\25CF"; color: #ef4444; margin-right: 0.3rem; }
.timav-body { display: flex; flex-direction: column; gap: 0.5rem; padding: 0.75rem; flex: 1; min-width: 0; }
.timav-body h3 { font-weight: 600; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.timav-where { font-size: 0.875rem; margin-top: -0.4rem; overflow-wrap: anywhere; }
.timav-body dl { display: grid; gap: 0.15rem; font-size: 0.875rem; }
.timav-body dl > div { display: grid; grid-template-columns: 5.5rem 1fr; }
.timav-body dd { margin: 0; }
.timav-actions { display: flex; align-items: center; gap: 0.5rem; margin-top: auto; padding-top: 0.25rem; }
.timav-actions > :first-child { flex: 1; min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.timav-link { color: var(--accent); font-size: 0.875rem; overflow-wrap: anywhere; }
.timav-link:hover { text-decoration: underline; }
.timav-button, .timav-small {
  border: 1px solid var(--line); border-radius: 0.375rem; padding: 0.3rem 0.75rem; font-size: 0.875rem; font-weight: 500;
  background: transparent; color: inherit; cursor: pointer; white-space: nowrap;
}
.timav-small { padding: 0.05rem 0.5rem; font-size: 0.75rem; }
.timav-button:hover, .timav-small:hover { background: var(--subtle); }
.timav-button.danger { color: #fff; background: #b91c1c; border-color: #b91c1c; }
.timav-button.danger:hover { background: #991b1b; }
.timav-button.primary { color: #fff; background: #1d4ed8; border-color: #1d4ed8; }
.timav-button.primary:hover { background: #1e40af; }
.timav-button:disabled { opacity: 0.6; cursor: default; }
.timav-page :focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.timav-dialog {
  margin: auto; width: min(28rem, calc(100vw - 2rem)); padding: 1.25rem; border: 1px solid var(--line); border-radius: 0.5rem;
  background: var(--panel); color: var(--fg);
}
.timav-dialog::backdrop { background: #0008; }
.timav-dialog h3 { font-size: 1.05rem; font-weight: 600; margin-bottom: 0.5rem; overflow-wrap: anywhere; }
.timav-dialog p, .timav-dialog label { font-size: 0.9rem; margin-bottom: 0.5rem; display: block; }
.timav-buttons { display: flex; justify-content: flex-end; gap: 0.5rem; margin-top: 1rem; }
.timav-minutes { display: flex; flex-wrap: wrap; gap: 0.5rem; align-items: center; margin-bottom: 0.75rem; }
.timav-minutes input {
  width: 6rem; padding: 0.3rem 0.5rem; border: 1px solid var(--line); border-radius: 0.375rem; background: var(--bg); color: inherit;
}
.timav-table { width: 100%; table-layout: fixed; border-collapse: collapse; font-size: 0.875rem; margin-top: 0.75rem; }
.timav-table th { text-align: left; font-weight: 600; color: var(--muted); }
.timav-table th, .timav-table td { padding: 0.4rem 0.75rem 0.4rem 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
.timav-table :is(th:nth-child(1), th:nth-child(2), th:nth-child(5)) { width: 21%; }
.timav-table .timav-where { margin: 0; }
.timav-file { display: flex; flex-wrap: wrap; gap: 0.25rem 0.5rem; align-items: center; }
.timav-file code { font-family: ui-monospace, monospace; min-width: 0; overflow-wrap: anywhere; }
@container (max-width: 42rem) {
  .timav-table thead { display: none; }
  .timav-table, .timav-table tbody, .timav-table tr, .timav-table td { display: block; }
  .timav-table tr { border-bottom: 1px solid var(--line); padding: 0.5rem 0; }
  .timav-table td { border: 0; padding: 0.1rem 0; display: grid; grid-template-columns: 6rem minmax(0, 1fr); }
  .timav-table td > * { grid-column: 2; }
  .timav-table td:not([data-name]) { display: block; }
  .timav-table td::before { content: attr(data-name); color: var(--muted); }
}
`;
