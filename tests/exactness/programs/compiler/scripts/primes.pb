use lists;
fn sieve(n) {
  let marks = fill(n + 1, true);
  let p = 2;
  while p * p <= n { if marks[p] { let k = p * p; while k <= n { marks[k] = false; k = k + p; } } p = p + 1; }
  return filter(range(n + 1), fn(k) { return k > 1 and marks[k]; });
}
let found = sieve(5000);
print(len(found), found[len(found) - 1]);
