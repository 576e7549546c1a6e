use numbers;
let state = SEED;
let inside = 0;
let i = 0;
while i < 3000 {
  state = next(state); let x = state % 1000;
  state = next(state); let y = state % 1000;
  if x * x + y * y < 1000000 { inside = inside + 1; }
  i = i + 1;
}
print(inside, power(7, 1000003, 998244353));
