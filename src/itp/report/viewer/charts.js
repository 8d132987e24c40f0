// Charts by plotly, which is unpacked after the first paint and draws a chart when it comes into sight.

let plotly = null;
let watcher = null;
const figures = new Map();  // element -> figure with names of colours

function loadPlotly() {
  plotly ??= unpack(byId('plotly').textContent).then((source) => {
    document.head.append(el('script', {}, source));  // allowed by its hash in the page's policy
    return window.Plotly;
  });
  return plotly;
}

/** The same value with "@name" replaced by the theme's colour of that name. */
function coloured(value, style) {
  if (typeof value === 'string') return value.startsWith('@') ? style.getPropertyValue(`--${value.slice(1)}`).trim() : value;
  if (Array.isArray(value)) return value.map((item) => coloured(item, style));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, coloured(item, style)]));
}

async function drawChart(node) {
  const figure = figures.get(node);
  const library = await loadPlotly();
  if (!figure || !node.isConnected) return;
  const style = getComputedStyle(document.documentElement);
  const { data: traces, layout } = coloured(figure, style);
  const axis = { gridcolor: style.getPropertyValue('--line').trim(), zerolinecolor: style.getPropertyValue('--line').trim() };
  library.react(node, traces, {
    height: 330, margin: { l: 56, r: 16, t: 10, b: traces.length > 1 ? 48 + 19 * Math.ceil(traces.length / 3) : 48 }, paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)',
    font: { family: 'system-ui, sans-serif', size: 12, color: style.getPropertyValue('--text').trim() },
    hovermode: 'closest', showlegend: traces.length > 1, ...layout,
    legend: { orientation: 'h', yref: 'container', y: 0, yanchor: 'bottom', ...layout.legend },
    xaxis: { ...axis, ...layout.xaxis }, yaxis: { ...axis, ...layout.yaxis },
  }, { displaylogo: false, responsive: true, displayModeBar: false });
}

function drawCharts() {
  watcher?.disconnect();
  figures.clear();
  watcher = new IntersectionObserver((seen) => {
    for (const { target, isIntersecting } of seen) if (isIntersecting) { watcher.unobserve(target); drawChart(target); }
  }, { rootMargin: '200px' });
  show(byId('charts'), state.overview.groups.map((group) => el('section.group', {},
    el('h2', {}, group.title),
    el('div.grid', {}, group.charts.map((chart) => {
      const node = el('div.plot', { role: 'img', 'aria-label': chart.title });
      node.style.minHeight = `${chart.figure.layout.height || 330}px`;
      figures.set(node, chart.figure);
      watcher.observe(node);
      return el(`figure.card${chart.small ? '.small' : ''}`, {}, el('figcaption', {}, el('b', {}, chart.title),
        chart.note ? el('small', {}, chart.note) : null), node);
    })))));
}

/** Draw what is drawn again, in the colours of another theme. */
function redrawCharts() {
  for (const node of figures.keys()) if (node.classList.contains('js-plotly-plot')) drawChart(node);
}
