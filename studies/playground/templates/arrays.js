"use strict";

// Matrices and random numbers. A matrix (rows, n) is a Float64Array, one row after another.

// a b': the product of a, (rows, inner), and the transpose of b, (columns, inner).
// It has two rows and two columns at least, because it computes four entries at a time: that takes
// a third of the time of one by one.
function product(a, b, inner) {
  const rows = a.length / inner;
  const columns = b.length / inner;
  const out = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i += 2) {
    const row = Math.min(i, rows - 2); // the last row of an odd number: once more, with its neighbour
    for (let j = 0; j < columns; j += 2) {
      const column = Math.min(j, columns - 2);
      let a0 = row * inner, a1 = a0 + inner, b0 = column * inner, b1 = b0 + inner;
      let sum00 = 0, sum01 = 0, sum10 = 0, sum11 = 0;
      for (const end = a0 + inner; a0 < end; a0++, a1++, b0++, b1++) {
        sum00 += a[a0] * b[b0];
        sum01 += a[a0] * b[b1];
        sum10 += a[a1] * b[b0];
        sum11 += a[a1] * b[b1];
      }
      const at = row * columns + column;
      out[at] = sum00;
      out[at + 1] = sum01;
      out[at + columns] = sum10;
      out[at + columns + 1] = sum11;
    }
  }
  return out;
}

// (rows, n) -> (n, rows)
function transposed(x, n) {
  const rows = x.length / n;
  const out = new Float64Array(x.length);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < n; i++) out[i * rows + row] = x[row * n + i];
  }
  return out;
}

// The columns of x, (rows, n), from `first` to before `end`.
function columns(x, n, first, end) {
  return x.filter((_, at) => at % n >= first && at % n < end);
}

// The columns of a, (rows, n), followed by those of b, (rows, m): (rows, n + m).
function joined(a, n, b, m) {
  const out = new Float64Array(a.length + b.length);
  for (let row = 0; row < a.length / n; row++) {
    out.set(a.subarray(row * n, (row + 1) * n), row * (n + m));
    out.set(b.subarray(row * m, (row + 1) * m), row * (n + m) + n);
  }
  return out;
}

// Pseudo-random numbers from a seed: Marsaglia, "Xorshift RNGs" (2003), with shifts 13, 17 and 5.
class Random {
  constructor(seed) {
    this.state = (seed * 2654435761 + 1) >>> 0 || 1;
    for (let i = 0; i < 20; i++) this.uniform(); // the first numbers of near seeds are alike
  }

  // A draw from the interval [0, 1).
  uniform() {
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    return (this.state >>> 0) / 2 ** 32;
  }

  // `count` draws from N(0, 1): Box and Muller (1958).
  normals(count) {
    return Float64Array.from({ length: count }, () => {
      const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
      return radius * Math.cos(2 * Math.PI * this.uniform());
    });
  }

  // The numbers 0 to count - 1 in random order: Fisher and Yates (1938).
  permutation(count) {
    const order = Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = Math.floor(this.uniform() * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }
}
