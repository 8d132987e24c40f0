// Word differences between what was imagined and what happened, by the longest common subsequence.

const MOST_CELLS = 250000;  // beyond this the texts are shown without marks: comparing them would take too long

/** [[word, same], ...] of both texts; white space belongs to the word before it. */
function differences(left, right) {
  const [a, b] = [left, right].map((text) => text.match(/\S+\s*|\s+/g) || []);
  if (a.length * b.length > MOST_CELLS) return [a.map((word) => [word, true]), b.map((word) => [word, true])];
  const [x, y] = [a, b].map((words) => words.map((word) => word.trim()));
  const width = b.length + 1;
  const lengths = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      lengths[i * width + j] = x[i] === y[j]
        ? lengths[(i + 1) * width + j + 1] + 1
        : Math.max(lengths[(i + 1) * width + j], lengths[i * width + j + 1]);
    }
  }
  const [marksA, marksB] = [a.map((word) => [word, false]), b.map((word) => [word, false])];
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    if (x[i] === y[j]) { marksA[i][1] = true; marksB[j][1] = true; i += 1; j += 1; }
    else if (lengths[(i + 1) * width + j] >= lengths[i * width + j + 1]) i += 1;
    else j += 1;
  }
  return [marksA, marksB];
}

/** A paragraph whose differing words are marked with `tag` (del or ins). */
const marked = (words, tag) => el('p.text', {}, words.map(([word, same]) => (same ? word : el(tag, {}, word))));
