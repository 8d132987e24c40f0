// The keyboard: one key for each thing one does all the time.

const KEYS = [
  ['j  ↓', 'next step'], ['k  ↑', 'step before'], ['n  →', 'next episode'], ['p  ←', 'episode before'],
  ['g  G', 'first and last step'], ['/', 'search'], ['o', 'overview'], ['e', 'episodes'], ['t', 'light or dark'],
  ['?', 'this list'], ['Esc', 'close, or leave the search'],
];

const helpDialog = el('dialog.help', { 'aria-label': 'Keys' }, el('h2', {}, 'Keys'),
  el('dl', {}, KEYS.map(([key, what]) => [el('dt', {}, key.split(/\s+/).map((one) => el('kbd', {}, one))), el('dd', {}, what)])),
  el('form', { method: 'dialog' }, el('button', { autofocus: true }, 'Close')));

function moveEpisode(by) {
  const place = state.shown.indexOf(state.current);
  const entry = state.shown[place < 0 ? 0 : place + by];
  if (entry) openEpisode(entry, 0);
}

const moveStep = (number) => { if (opened && state.current) selectStep(number); };

const inEpisodes = {
  j: () => moveStep(state.step + 1), ArrowDown: () => moveStep(state.step + 1),
  k: () => moveStep(state.step - 1), ArrowUp: () => moveStep(state.step - 1),
  n: () => moveEpisode(1), ArrowRight: () => moveEpisode(1),
  p: () => moveEpisode(-1), ArrowLeft: () => moveEpisode(-1),
  g: () => moveStep(0), G: () => moveStep(Infinity),
};
const anywhere = {
  '/': () => { openFirst(); byId('search').focus(); }, o: () => showView('overview'), e: openFirst,
  t: switchTheme, '?': () => helpDialog.showModal(),
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || helpDialog.open) return;
  if (event.target.matches('input, select, textarea')) {
    if (event.key === 'Escape') event.target.blur();
    return;
  }
  const act = anywhere[event.key] || (state.view === 'episodes' ? inEpisodes[event.key] : undefined);
  if (act) { event.preventDefault(); act(); }
}

function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  root.dataset.theme = dark ? 'light' : 'dark';
  redrawCharts();
}
