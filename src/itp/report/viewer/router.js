// Links: #run=NAME&episode=NUMBER&step=NUMBER opens a step; anything else the overview. The page never goes back by itself.

function writeHash(parts) {
  const text = new URLSearchParams(parts).toString();
  if (location.hash.slice(1) !== text) history.replaceState(null, '', `#${text}`);
}

/** Show a view; `episodes` opens the first episode when none is open. */
function showView(name) {
  state.view = name;
  document.body.dataset.view = name;
  for (const view of ['overview', 'episodes']) {
    byId(view).hidden = view !== name;
    byId(`tab-${view}`).setAttribute('aria-selected', String(view === name));
  }
  if (name === 'overview') { history.replaceState(null, '', location.pathname + location.search); redrawCharts(); } else drawList();
}

/** Open what the address says; returns whether it names an episode that is there. */
function followHash() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const number = Number(asked.get('episode'));
  const entry = state.entries.find((one) => one.number === number && runOf(one).name === asked.get('run'));
  if (!entry) return false;
  showView('episodes');
  openEpisode(entry, Number(asked.get('step') || 1) - 1);
  return true;
}

function openFirst() {
  showView('episodes');
  if (!state.current && state.shown.length && matchMedia('(min-width: 800px)').matches) openEpisode(state.shown[0], 0);
}
