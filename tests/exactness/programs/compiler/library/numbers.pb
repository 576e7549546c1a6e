// Whole numbers.
const SEED = 12345;
fn gcd(a, b) { while b != 0 { let t = a % b; a = b; b = t; } return a; }
fn power(base, n, m) {
  let out = 1;
  while n > 0 { if n % 2 == 1 { out = out * base % m; } base = base * base % m; n = n / 2; }
  return out;
}
fn next(state) { return (state * 1103515245 + 12345) % 2147483648; }
fn max(a, b) { if a > b { return a; } return b; }
