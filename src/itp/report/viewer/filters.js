// Which episodes the list shows.

const FILTERS = {
  failed: ['failed', 'Not won'],
  irreversible: ['irreversible', 'A mistake had made the goal impossible'],
  unparsed: ['unparsed', 'Some answer could not be read'],
  error: ['error', 'Ended in an error'],
  deep: ['K ≥ 3', 'Imagined three steps or more at least once'],
  changed: ['plan changed', 'Somewhere the action taken is not the one that the imagination began with'],
  surprised: ['surprised', 'Somewhere the imagined action was taken and something else happened'],
};

function fits(entry) {
  if (state.run !== '' && entry.run !== Number(state.run)) return false;
  if (state.family !== '' && entry.family !== state.family) return false;
  for (const name of state.filters) {
    if (name === 'deep' ? entry.max_k < 3 : !entry.flags.includes(name)) return false;
  }
  return state.words === '' || state.words.split(/\s+/).every((word) => haystack(entry).includes(word));
}

const haystack = (entry) => `${entry.goal} ${entry.id} ${entry.family} ${runOf(entry).name} ${entry.error}`.toLowerCase();

function applyFilters() {
  state.shown = state.entries.filter(fits);
  byId('count').textContent = state.shown.length === state.entries.length
    ? plural(state.entries.length, 'episode') : `${state.shown.length.toLocaleString('en')} of ${plural(state.entries.length, 'episode')}`;
  drawList(true);
}

function filterBar() {
  const search = el('input', {
    id: 'search', type: 'search', placeholder: 'Search goal, id, run …  ( / )', 'aria-label': 'Search episodes',
    oninput: () => { state.words = search.value.trim().toLowerCase(); applyFilters(); },
  });
  const chips = Object.entries(FILTERS).map(([name, [label, help]]) => el('button.chip', {
    title: help, 'aria-pressed': 'false', 'data-filter': name,
    onclick: (event) => {
      if (!state.filters.delete(name)) state.filters.add(name);
      event.currentTarget.setAttribute('aria-pressed', String(state.filters.has(name)));
      applyFilters();
    },
  }, label));
  return el('div.filters', {}, search, el('div.selects', {}, el('span', { id: 'selects' }), el('span', { id: 'count', role: 'status' })),
    el('div.chips', { role: 'group', 'aria-label': 'Filters' }, chips));
}

/** Choosers of run and family, made anew when a live run brings new ones. */
function drawSelects() {
  const chooser = (label, key, options) => options.length < 2 ? null : el('select', {
    'aria-label': label, onchange: (event) => { state[key] = event.target.value; applyFilters(); },
  }, el('option', { value: '' }, label), options.map(([value, text]) => el('option', { value, selected: state[key] === value }, text)));
  const played = new Set(state.entries.map((entry) => entry.run));
  const runs = state.overview.runs.map((run, n) => [String(n), run.name]).filter(([n]) => played.has(Number(n)));
  const families = [...new Set(state.entries.map((entry) => entry.family))].sort().map((name) => [name, name]);
  show(byId('selects'), chooser('every run', 'run', runs), chooser('every family', 'family', families));
}
