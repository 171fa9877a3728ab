// Points under a rubric, exactly as `Manual.score` and `Given.score` compute them in Python.

// Cents, which floats add up without error.
const cents = (points) => Math.round(100 * points);

// The points before they are cut to what the part gives.
function uncut(part, mark) {
  const given = part.items.filter((item) => mark.items.includes(item.name));
  const all = [part.start, mark.adjustment, ...given.map((item) => item.points)];
  return all.map(cents).reduce((sum, one) => sum + one, 0) / 100;
}

// The points of a mark; null leaves them to the grader.
function score(part, mark) {
  if (mark.points !== null) return Math.min(Math.max(mark.points, 0), part.points);
  if (!part.manual) return null;
  return Math.min(Math.max(uncut(part, mark), 0), cents(part.points) / 100);
}

const signed = (points) => (points < 0 ? `−${-points}` : `+${points}`);

// Read points that somebody typed: null for none, NaN for what is no number of cents.
function readPoints(text) {
  const plain = text.trim().replace(",", ".").replace("−", "-");
  if (plain === "") return null;
  return /^[+-]?(\d{1,6}(\.\d{0,2})?|\.\d{1,2})$/.test(plain) ? Number(plain) : NaN;
}
