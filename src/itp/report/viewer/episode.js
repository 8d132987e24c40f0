// One episode: what it was about, a strip of its steps, and the chosen step in full.

let opened = null;  // {entry, content}

const episodePane = () => el('article.episode-pane', { id: 'episode', 'aria-live': 'off', tabindex: '-1' },
  el('p.empty', {}, 'Choose an episode.'));

async function openEpisode(entry, step) {
  state.current = entry;
  document.body.dataset.pane = 'episode';
  revealCurrent();
  try {
    const content = opened && opened.entry === entry ? opened.content : await episodeOf(entry);
    if (state.current !== entry) return;  // another one was chosen meanwhile
    opened = { entry, content };
  } catch (error) {
    show(byId('episode'), el('p.empty', {}, `This episode cannot be shown: ${error.message}`));
    return;
  }
  drawEpisode(step);
}

function drawEpisode(step) {
  const { entry, content } = opened;
  show(byId('episode'),
    el('header.episode-head', {},
      el('button.back', { onclick: () => { document.body.dataset.pane = 'list'; } }, '‹ Episodes'),
      el('h2', {}, entry.goal || entry.id),
      el('p.facts', {}, verdictOf(entry), ` ${entry.family} · ${runOf(entry).name} #${entry.number} · `, el('code', {}, entry.id)),
      entry.error ? el('p.error', {}, entry.error) : null,
      el('details', {}, el('summary', {}, 'What is seen at the beginning'), el('p.text', {}, content.first))),
    el('nav.strip', { id: 'strip', 'aria-label': 'Steps' }, content.steps.map(stripButton)),
    el('div', { id: 'step' }));
  selectStep(step);
}

function verdictOf(entry) {
  const won = entry.stop === 'won';
  const badge = el(`span.badge.${won ? 'good' : 'bad'}`, {}, won ? 'won' : entry.stop.replaceAll('_', ' '));
  const lost = entry.flags.includes('irreversible') ? el('span.badge.bad', {}, 'irreversible mistake') : null;
  return [badge, lost];
}

function stripButton(step, number) {
  const signs = [step.changed ? 'plan changed' : '', step.surprised ? 'surprised' : '', isUnparsed(step) ? 'unparsed' : ''];
  const title = [`${number + 1}. ${step.action} (K = ${step.k})`, ...signs.filter(Boolean)].join(', ');
  return el(`button.tick.k${Math.min(step.k, 8)}${step.changed ? '.changed' : ''}${step.surprised ? '.surprised' : ''}${isUnparsed(step) ? '.unparsed' : ''}`,
    { title, 'aria-label': title, onclick: () => selectStep(number) }, String(step.k));
}

const isUnparsed = (step) => step.parse === 'unparsed' || step.horizon_parse === 'unparsed';

function selectStep(number) {
  const { entry, content } = opened;
  state.step = Math.max(0, Math.min(number, content.steps.length - 1));
  const strip = byId('strip');
  strip.querySelector('[aria-current]')?.removeAttribute('aria-current');
  const tick = strip.children[state.step];
  if (tick) {
    tick.setAttribute('aria-current', 'step');
    strip.scrollLeft = tick.offsetLeft - strip.clientWidth / 2;
  }
  show(byId('step'), content.steps.length ? stepCard(content, state.step) : el('p.empty', {}, 'It ended before its first step.'));
  writeHash({ run: runOf(entry).name, episode: entry.number, step: state.step + 1 });
}
