// Everything put together; a live page asks its server for what is new.

const POLL = 2000;  // milliseconds

async function refresh() {
  const sign = byId('live');
  try {
    const answer = await fetch(`api/state?since=${state.entries.length}`);
    const news = await answer.json();
    sign.textContent = news.running ? 'live' : 'done';
    sign.classList.remove('lost');
    if (news.entries.length) take(news);
  } catch {
    sign.textContent = 'server gone';
    sign.classList.add('lost');
  }
  setTimeout(refresh, POLL);
}

/** Take in new episodes and the figures that came with them. */
function take(news) {
  state.entries.push(...news.entries);
  state.overview = news.overview;
  byId('subtitle').textContent = news.subtitle;
  drawSummary();
  drawSelects();
  const top = byId('rows').scrollTop;
  applyFilters();
  byId('rows').scrollTop = top;
  drawCharts();
}

/** The summary table's figures anew; its rows and columns stand in the page already unless a column is new. */
function drawSummary() {
  const { columns, rows } = state.overview.table;
  const heads = [...byId('summary').tHead.rows[0].cells].slice(0, 2);
  show(byId('summary').tHead.rows[0], heads, columns.map((column) => el('th', { scope: 'col', title: column.help }, column.title)));
  show(byId('summary').tBodies[0], rows.map((row) => el('tr', { 'data-run': row.run },
    el('th', { scope: 'row' }, el('button.link', {}, el(`i.dot.${state.overview.runs[row.run].colour}`), state.overview.runs[row.run].name)),
    el('td.rate', {}, row.success ? [el('b', {}, row.success.rate.toFixed(1)),
      el('small', {}, ` ${row.success.low.toFixed(1)}–${row.success.high.toFixed(1)}`)] : '–'),
    row.cells.map((cell) => el('td', {}, cell)))));
}

function showRun(number) {
  state.run = String(number);
  drawSelects();
  applyFilters();
  state.current = null;
  openFirst();
}

async function start() {
  byId('tab-overview').addEventListener('click', () => showView('overview'));
  byId('tab-episodes').addEventListener('click', openFirst);
  byId('theme').addEventListener('click', switchTheme);
  byId('help-button').addEventListener('click', () => helpDialog.showModal());
  byId('summary')?.tBodies[0].addEventListener('click', (event) => {
    const row = event.target.closest('button') && event.target.closest('tr');
    if (row) showRun(row.dataset.run);
  });
  document.body.append(helpDialog);
  document.addEventListener('keydown', onKey);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redrawCharts);
  show(byId('episodes'), el('div.viewer', {}, listPane(), episodePane()));
  await loadIndex();
  drawSelects();
  applyFilters();
  if (!followHash()) showView('overview');
  addEventListener('hashchange', followHash);
  addEventListener('resize', () => drawList());
  drawCharts();
  document.documentElement.dataset.ready = 'yes';
  if (state.meta.live) setTimeout(refresh, POLL);
}

start();
