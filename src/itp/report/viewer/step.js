// One decision: the imagined future beside what really happened, then thoughts, and the rest on demand.

function stepCard(content, number) {
  const step = content.steps[number];
  const before = number ? content.steps[number - 1].observation : content.first;
  return el('div.step-card', {},
    el('div.step-head', {},
      el('span.number', {}, `Step ${number + 1} of ${content.steps.length}`),
      el('h3', {}, step.action || '(nothing)'),
      el('p.badges', {}, badgesOf(step))),
    el('details.before', {}, el('summary', {}, 'What was seen before'), el('p.text', {}, before)),
    warnings(step),
    step.imagined ? comparison(content, number) : el('section.pair.single', {},
      el('div.side', {}, el('h4', {}, 'What happened'), el('p.text', {}, step.observation))),
    step.reflection ? said('Reflection', step.reflection) : null,
    step.thought ? said('Thought', step.thought) : null,
    onDemand(content, step));
}

/** Foresights of commands that were tried in imagination and not taken. */
function passedOver(step) {
  return ((step.more || {}).passed_over || []).map((foresight) => foresight.steps).filter((steps) => steps.length);
}

function firstImagined(step) {
  return [...passedOver(step).map((steps) => steps[0].action), step.imagined[0][0]][0];
}

/** What each of them would have led to, one line a command. */
function warnings(step) {
  const lines = passedOver(step).map((steps) => steps.map((s) => `${s.action} → ${s.observation}`).join(' ⇒ '));
  return lines.length ? said('Tried in imagination and passed over', lines.join('\n')) : null;
}

function badgesOf(step) {
  const badge = (kind, text, title) => el(`span.badge${kind}`, { title }, text);
  return [
    badge(`.k${Math.min(step.k, 8)}`, `K = ${step.k}`, 'How many steps were imagined'),
    step.changed && badge('.warn', 'plan changed', `The imagination began with “${firstImagined(step)}”`),
    step.surprised && badge('.bad', 'surprised', 'It did what it had imagined, and something else happened'),
    step.parse && badge(step.parse === 'unparsed' ? '.bad' : '', `read: ${step.parse}`, 'How the answer was read'),
    step.horizon_parse && badge(step.horizon_parse === 'unparsed' ? '.bad' : '', `K read: ${step.horizon_parse}`, 'How K was read'),
    step.expert && step.expert !== step.action && badge('', `expert: ${step.expert}`, 'What the expert would have done'),
    step.reward ? badge('.good', `reward ${step.reward}`, 'Of the environment') : null,
  ];
}

/** Imagined and real steps side by side, depth by depth; words that differ are marked as long as the ways agree. */
function comparison(content, number) {
  let together = true;
  const rows = content.steps[number].imagined.map(([action, observation], depth) => {
    const real = content.steps[number + depth];
    together = together && real !== undefined && real.action === action;
    const [imagined, happened] = together ? differences(observation, real.observation) : [[[observation, true]], []];
    return el(`div.pair${together ? '' : '.apart'}`, {},
      el('div.side.imagined', {}, el('p.command', {}, `› ${action}`), marked(imagined, 'del')),
      el('div.side.real', {}, realSide(real, together, happened)));
  });
  return el('section.comparison', {},
    el('div.pair.heads', {}, el('h4', {}, 'Imagined'), el('h4', {}, 'What really happened')), rows);
}

function realSide(real, together, happened) {
  if (real === undefined) return el('p.note', {}, 'The episode was over.');
  const text = together ? marked(happened, 'ins') : el('p.text', {}, real.observation);
  return [el('p.command', {}, `› ${real.action}`, together ? null : el('small', {}, ' took another way')), text];
}

const said = (title, text) => el('section.said', {}, el('h4', {}, title), el('p.text', {}, text));

function onDemand(content, step) {
  const parts = [
    step.prompt ? ['Prompt', el('pre', {}, step.prompt)] : null,
    step.raw ? ['Raw output', el('pre', {}, step.raw)] : null,
    step.admissible ? [`Admissible commands (${step.admissible.length})`, el('ul.commands', {},
      step.admissible.map((n) => el(`li${content.commands[n] === step.action ? '.chosen' : ''}`, {}, content.commands[n])))] : null,
    step.probs ? ['p(K)', probabilities(step)] : null,
    step.usage && Object.keys(step.usage).length ? ['Tokens, calls, seconds', usageTable(step.usage)] : null,
    step.more && Object.keys(step.more).length ? ['More', el('pre', {}, JSON.stringify(step.more, null, 1))] : null,
  ];
  return parts.filter(Boolean).map(([title, node]) => el('details', {}, el('summary', {}, title), node));
}

const probabilities = (step) => el('div.probs', {}, step.probs.map((p, k) => {
  const bar = el('i');
  bar.style.width = `${100 * (p || 0)}%`;
  return el(`div${k === step.k ? '.chosen' : ''}`, {}, `K = ${k}`, el('span.track', {}, bar), (p || 0).toFixed(3));
}));

function usageTable(usage) {
  const rows = Object.entries(usage).map(([role, values]) => el('tr', {}, el('th', { scope: 'row' }, role),
    values.map((value) => el('td', {}, value === null ? '–' : Number(value.toPrecision(4)).toLocaleString('en')))));
  const heads = ['', 'prompt', 'answer', 'calls', 'seconds', 'cached'].map((name) => el('th', { scope: 'col' }, name));
  return el('table', {}, el('thead', {}, el('tr', {}, heads)), el('tbody', {}, rows));
}
