use lists;
fn make(n, seed) { return map(range(n), fn(i) { return map(range(n), fn(j) { return (i * seed + j * 7) % 10; }); }); }
fn multiply(a, b, n) {
  return map(range(n), fn(i) { return map(range(n), fn(j) {
    let t = 0; let k = 0;
    while k < n { t = t + a[i][k] * b[k][j]; k = k + 1; }
    return t;
  }); });
}
let c = multiply(make(19, 3), make(19, 5), 19);
print(c[0][0], c[9][9], c[18][18]);
