// The only way in which text enters the page: as text. Nothing here parses HTML.

const byId = (id) => document.getElementById(id);

/** An element: el('button.chip', {title: '...', onclick: f}, 'text', child, ...). Children that are null are left out. */
function el(kind, attributes, ...children) {
  const [tag, ...classes] = kind.split('.');
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(' ');
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const show = (node, ...children) => node.replaceChildren(...children.flat(3).filter(Boolean));

const plural = (n, word) => `${n.toLocaleString('en')} ${word}${n === 1 ? '' : 's'}`;
