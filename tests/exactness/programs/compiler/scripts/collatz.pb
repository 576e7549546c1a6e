fn steps(n) { let count = 0; while n != 1 { if n % 2 == 0 { n = n / 2; } else { n = 3 * n + 1; } count = count + 1; } return count; }
let best = 0;
let at = 0;
let n = 1;
while n < 700 { let s = steps(n); if s > best { best = s; at = n; } n = n + 1; }
print(at, best);
