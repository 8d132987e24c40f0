// The list of episodes: only the rows in sight exist, so that ten thousand are as light as ten.

const ROW = 58;  // pixels; the same in viewer.css

function listPane() {
  const rows = el('div.rows', { id: 'rows', role: 'listbox', tabindex: '0', 'aria-label': 'Episodes', onscroll: () => drawList() },
    el('div.spacer', { id: 'spacer' }));
  return el('aside.list-pane', { 'aria-label': 'Episodes' }, filterBar(), rows);
}

function drawList(back = false) {
  const rows = byId('rows');
  if (back) rows.scrollTop = 0;
  const spacer = byId('spacer');
  spacer.style.height = `${state.shown.length * ROW}px`;
  const first = Math.max(0, Math.floor(rows.scrollTop / ROW) - 5);
  const last = Math.min(state.shown.length, Math.ceil((rows.scrollTop + (rows.clientHeight || 800)) / ROW) + 5);
  show(spacer, state.shown.length ? state.shown.slice(first, last).map((entry, n) => rowOf(entry, first + n))
    : el('p.empty', {}, state.entries.length ? 'No episode fits.' : 'No episode yet.'));
}

function rowOf(entry, place) {
  const won = entry.stop === 'won';
  const row = el('div.row', {
    role: 'option', 'aria-selected': String(entry === state.current), onclick: () => openEpisode(entry, 0),
  },
  el(`span.verdict.${won ? 'won' : 'lost'}`, { 'aria-label': won ? 'won' : 'lost' }, won ? '✓' : '✗'),
  el('span.what', {}, el('b', {}, entry.goal || entry.id),
    el('small', {}, el(`i.dot.${runOf(entry).colour}`), ` ${runOf(entry).name} #${entry.number} · ${plural(entry.steps, 'step')} · K ${entry.mean_k.toFixed(2)}`)),
  entry.flags.includes('irreversible') ? el('span.badge.bad', { title: 'irreversible' }, '!') : null);
  row.style.top = `${place * ROW}px`;
  return row;
}

/** Scroll the list so that the current episode is in sight. */
function revealCurrent() {
  const place = state.shown.indexOf(state.current);
  const rows = byId('rows');
  if (place >= 0 && (place * ROW < rows.scrollTop || (place + 1) * ROW > rows.scrollTop + rows.clientHeight)) {
    rows.scrollTop = Math.max(0, place * ROW - rows.clientHeight / 3);
  }
  drawList();
}
