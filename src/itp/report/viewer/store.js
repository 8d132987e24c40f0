// What the page knows: runs, the index of episodes, and episodes themselves, unpacked when they are looked at.

const data = JSON.parse(byId('data').textContent);
const state = {
  meta: data.meta, overview: data.overview, entries: [], shown: [], filters: new Set(), run: '', family: '', words: '',
  current: null, step: 0, view: 'overview',
};
const unpacked = new Map();
const KEEP = 12;  // chunks kept unpacked: some megabytes

/** The text behind gzip in base64. */
async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream).text();
}

async function loadIndex() {
  state.entries = JSON.parse(await unpack(byId('index').textContent));
}

/** First observation, commands and steps of an episode. */
async function episodeOf(entry) {
  if (state.meta.live) {
    const answer = await fetch(`api/episode?run=${entry.run}&number=${entry.number}`);
    if (!answer.ok) throw new Error(`the server said ${answer.status}`);
    return answer.json();
  }
  let chunk = unpacked.get(entry.chunk);
  if (chunk === undefined) {
    chunk = unpack(byId(`chunk-${entry.chunk}`).textContent).then(JSON.parse);
    if (unpacked.size >= KEEP) unpacked.delete(unpacked.keys().next().value);
    unpacked.set(entry.chunk, chunk);
  }
  return (await chunk)[entry.at];
}

const runOf = (entry) => state.overview.runs[entry.run];
